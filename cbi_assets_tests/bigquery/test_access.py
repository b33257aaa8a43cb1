"""`cbi config --check`: every missing right has a line of its own, with the command that mends it.

The refusals have the bodies that BigQuery sends, answered for single paths by the proxy before the
emulator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import bigquery

from cbi_assets.settings import Settings
from cbi_assets.warehouse.access import Finding, check_access
from cbi_assets.warehouse.bigquery.access import DATASETS
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.bigquery.proxy import (
    QUERY,
    TABLES,
    Answer,
    Proxy,
    Request,
    Rule,
    hang,
    run_proxy,
)

pytestmark = pytest.mark.bigquery

PROJECT = "cbi-tests"
JOBS = "/(queries|jobs)$"
ROLES = ["bigquery.jobUser", "billing", "bigquery.readSessionUser"]


def deny(
    proxy: Proxy,
    path: str,
    status: int,
    reason: str,
    message: str,
    method: str = "POST",
    when: Callable[[Request], bool] = lambda request: True,
    detail: dict[str, Any] | None = None,
) -> None:
    """Refuse the requests to a path for good, with the body that BigQuery sends."""
    errors = [{"message": message, "domain": "global", "reason": reason}]
    error = {"code": status, "message": message, "errors": errors, **(detail or {})}
    answer(proxy, method, path, status, {"error": error}, when)


def answer(
    proxy: Proxy,
    method: str,
    path: str,
    status: int,
    body: dict[str, Any],
    when: Callable[[Request], bool] = lambda request: True,
) -> None:
    """Answer the requests to a path in the service's place."""
    answered = Answer.of(body, status)
    proxy.add(Rule(method, path, lambda exchange: exchange.answer(answered), when, times=None))


@pytest.fixture
def settings(
    proxy: Proxy, warehouse: dict[str, Any], tmp_path: Path, drive: Path
) -> dict[str, Any]:
    """The settings that lead through the proxy to an empty project."""
    own = {"cbi_home": tmp_path / "home", "cbi_drive": drive, "cbi_bq_patience": 2.0}
    return proxy.settings(warehouse) | own


def check(settings: dict[str, Any]) -> list[Finding]:
    """What is found; nothing is left in the environment or the project."""
    before = dict(os.environ)
    found = list(check_access(Settings(_env_file=None, **settings)))  # type: ignore[call-arg]
    assert dict(os.environ) == before
    assert all("\n" not in finding.text for finding in found)
    return found


def missing(found: list[Finding]) -> dict[str, str]:
    """The text of what is missing, by its name."""
    return {finding.name: finding.text for finding in found if finding.verdict == "missing"}


def make_datasets(emulator: Emulator, **options: Any) -> None:
    with emulator.client(PROJECT) as client:
        for name in DATASETS:
            dataset = bigquery.Dataset(f"{PROJECT}.{name}")
            dataset.location = "us-central1"
            for option, value in options.get(name, {}).items():
                setattr(dataset, option, value)
            client.create_dataset(dataset)


def held(emulator: Emulator) -> dict[str, list[str]]:
    """Every dataset of the project with its tables."""
    with emulator.client(PROJECT) as client:
        return {
            item.dataset_id: [table.table_id for table in client.list_tables(item.dataset_id)]
            for item in client.list_datasets()
        }


def test_a_fresh_project_lacks_nothing_and_stays_as_it_was(
    settings: dict[str, Any], emulator: Emulator
) -> None:
    found = check(settings)
    assert missing(found) == {}
    assert [f.name for f in found if f.verdict == "note"] == [f"dataset {n}" for n in DATASETS]
    assert [f.name for f in found if f.verdict == "ok"] == [
        "home", "disk", "drive", "settings", "bigquery.jobUser", "new datasets", "billing",
        "bigquery.readSessionUser",
    ]  # fmt: skip
    assert held(emulator) == {}


def test_made_datasets_are_tried_and_stay_as_they_were(
    settings: dict[str, Any], emulator: Emulator, proxy: Proxy
) -> None:
    make_datasets(emulator)
    found = check(settings)
    assert {f.verdict for f in found} == {"ok"}
    assert [f.name for f in found if f.name.startswith("dataset")] == [
        f"dataset {name}" for name in DATASETS
    ]
    assert held(emulator) == {name: [] for name in DATASETS}
    made = proxy.sent("POST", TABLES)
    assert len(made) == len(DATASETS) + 1
    assert all("expirationTime" in request.body for request in made)
    assert all("$" not in request.body["tableReference"]["tableId"] for request in made)
    assert all("maximumBytesBilled" in request.body for request in proxy.sent("POST", QUERY))


REFUSED_JOBS = (
    f"Access Denied: Project {PROJECT}: User does not have bigquery.jobs.create permission in "
    f"project {PROJECT}."
)
DISABLED = {
    "status": "PERMISSION_DENIED",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": "bigquery.googleapis.com"},
        }
    ],
}
SANDBOX = (
    "Billing has not been enabled for this project. Enable billing at "
    "https://console.cloud.google.com/billing. DML queries are not allowed in the free tier. Set "
    "up a billing account to remove this restriction."
)


def test_no_right_to_run_jobs(settings: dict[str, Any], proxy: Proxy) -> None:
    deny(proxy, JOBS, 403, "accessDenied", REFUSED_JOBS)
    found = check(settings)
    assert missing(found).keys() == {"bigquery.jobUser"}
    text = missing(found)["bigquery.jobUser"]
    assert "bigquery.jobs.create" in text
    assert "--role=roles/bigquery.jobUser" in text
    # datasets are asked all the same, and what needs a job is not
    assert {f"dataset {name}" for name in DATASETS} <= {f.name for f in found}
    assert "billing" not in {f.name for f in found}


@pytest.mark.parametrize(
    ("status", "reason", "message", "detail", "name", "told"),
    [
        (403, "accessNotConfigured", "BigQuery API has not been used in project 1 before or it is "
         "disabled.", DISABLED, "API", "gcloud services enable bigquery.googleapis.com"),
        (403, "accessDenied", f"Access Denied: BigQuery BigQuery: The project {PROJECT} has not "
         "enabled BigQuery.", {}, "API", "gcloud services enable bigquery.googleapis.com"),
        (404, "notFound", f"Not found: Project {PROJECT}", {}, "project", "CBI_BQ_PROJECT: "),
        (403, "forbidden", "Caller does not have required permission to use project. Grant the "
         "caller serviceusage.services.use", {}, "project", "serviceusage.serviceUsageConsumer"),
        (400, "invalid", "Invalid value for location: mars-1 is not a valid value", {}, "project",
         "CBI_BQ_LOCATION: "),
        (503, "backendError", "Unavailable.", {}, "service", "no sound answer"),
    ],
    ids=["API disabled", "API never enabled", "unknown project", "quota project", "location",
         "unavailable"],
)  # fmt: skip
def test_a_project_that_cannot_be_used_ends_the_questions(
    settings: dict[str, Any], proxy: Proxy, status: int, reason: str, message: str,
    detail: dict[str, Any], name: str, told: str,
) -> None:  # fmt: skip
    deny(proxy, JOBS, status, reason, message, detail=detail)
    found = check(settings)
    assert missing(found).keys() == {name}
    assert told in missing(found)[name]
    assert found[-1].name == name
    assert proxy.sent("GET", "/datasets") == []


def test_a_service_that_never_answers_is_not_waited_for(
    settings: dict[str, Any], proxy: Proxy
) -> None:
    proxy.add(Rule("POST", JOBS, hang, times=None))
    found = check(settings | {"cbi_bq_timeout": 0.3, "cbi_bq_patience": 0.5})
    assert missing(found).keys() == {"service"}


def test_no_right_to_make_tables_in_one_dataset(
    settings: dict[str, Any], proxy: Proxy, emulator: Emulator
) -> None:
    make_datasets(emulator)
    deny(
        proxy, "/datasets/ops/tables$", 403, "accessDenied",
        f"Access Denied: Dataset {PROJECT}:ops: Permission bigquery.tables.create denied on "
        f"dataset {PROJECT}:ops (or it may not exist).",
    )  # fmt: skip
    found = missing(check(settings))
    assert found.keys() == {"dataset ops"}
    assert "bigquery.dataEditor" in found["dataset ops"]
    assert f"GRANT `roles/bigquery.dataEditor` ON SCHEMA `{PROJECT}.ops`" in found["dataset ops"]


def test_no_right_to_make_the_datasets_that_are_absent(
    settings: dict[str, Any], proxy: Proxy
) -> None:
    deny(
        proxy, "/datasets$", 403, "accessDenied",
        f"Access Denied: Project {PROJECT}: User does not have bigquery.datasets.create permission "
        f"in project {PROJECT}.",
    )  # fmt: skip
    found = missing(check(settings))
    assert found.keys() == {"new datasets"}
    for name in DATASETS:
        assert f"bq --location=us-central1 mk --dataset {PROJECT}:{name}" in found["new datasets"]


def test_a_dataset_in_another_location(settings: dict[str, Any], emulator: Emulator) -> None:
    make_datasets(emulator, market_data={"location": "europe-west1"})
    found = missing(check(settings))
    assert found.keys() == {"dataset market_data"}
    assert "Set CBI_BQ_LOCATION=europe-west1" in found["dataset market_data"]


@pytest.mark.parametrize(
    "option", ["default_table_expiration_ms", "default_partition_expiration_ms"]
)
def test_a_dataset_that_lets_rows_expire(
    settings: dict[str, Any], emulator: Emulator, option: str
) -> None:
    year = 365 * 86_400_000
    make_datasets(emulator, features={option: year}, ops_staging={option: year})
    found = missing(check(settings))
    assert found.keys() == {"dataset features"}
    assert f"{option.removesuffix('_ms')}_days = NULL" in found["dataset features"]


@pytest.mark.parametrize("made", [True, False], ids=["in staging", "in a dataset of its own"])
def test_a_sandbox_without_dml(
    settings: dict[str, Any], proxy: Proxy, emulator: Emulator, made: bool
) -> None:
    if made:
        make_datasets(emulator)
    deny(proxy, JOBS, 403, "billingNotEnabled", SANDBOX, when=lambda r: "DELETE" in r.sql)
    found = missing(check(settings))
    assert found.keys() == {"billing"}
    assert f"gcloud billing projects link {PROJECT}" in found["billing"]
    (change,) = [r.sql for r in proxy.sent("POST", JOBS) if "DELETE" in r.sql]
    assert ("`ops_staging." in change) == made
    assert held(emulator) == ({name: [] for name in DATASETS} if made else {})


@contextmanager
def refusing_storage(message: str) -> Iterator[str]:
    """A Storage Read API that opens a session for nobody."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        raise AssertionError("unreachable")

    handlers = grpc.method_handlers_generic_handler(
        "google.cloud.bigquery.storage.v1.BigQueryRead",
        {"CreateReadSession": grpc.unary_unary_rpc_method_handler(refuse)},
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("message", "name", "told"),
    [
        ("request failed: the user does not have 'bigquery.readsessions.create' permission for "
         f"'projects/{PROJECT}'", "bigquery.readSessionUser", "roles/bigquery.readSessionUser"),
        (f"BigQuery Storage API has not been used in project {PROJECT} before or it is disabled: "
         "the project has not enabled it", "API",
         "gcloud services enable bigquerystorage.googleapis.com"),
    ],
    ids=["role", "API"],
)  # fmt: skip
def test_no_right_to_open_a_read_session(
    settings: dict[str, Any], message: str, name: str, told: str
) -> None:
    with refusing_storage(message) as address:
        found = missing(check(settings | {"cbi_bq_storage_endpoint": address}))
    assert found.keys() == {name}
    assert told in found[name]


def test_an_emulator_without_storage_is_a_note(settings: dict[str, Any]) -> None:
    found = check(settings | {"cbi_bq_storage_endpoint": None})
    assert missing(found) == {}
    assert ("bigquery.readSessionUser", "note") in [(f.name, f.verdict) for f in found]


BUCKET = "^/upload/storage"
BLOB = "^/storage"
WRITTEN = {"name": "check", "bucket": "bars", "size": "0", "generation": "1"}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason", "told"),
    [
        ("POST", BUCKET, 404, "notFound", "gcloud storage buckets create gs://bars"),
        ("POST", BUCKET, 403, "forbidden", "--role=roles/storage.objectUser"),
        ("DELETE", BLOB, 403, "forbidden", "--role=roles/storage.objectUser"),
    ],
    ids=["absent", "not writable", "not deletable"],
)
def test_a_bucket_that_cannot_be_used(
    settings: dict[str, Any], method: str, path: str, status: int, reason: str, told: str
) -> None:
    with bucket_api() as bucket:
        deny(bucket, path, status, reason, "no", method)
        serve_blobs(bucket)
        found = check(settings | {"cbi_bq_bucket": "bars", "cbi_bq_bucket_endpoint": bucket.url})
    assert missing(found).keys() == {"bucket bars"}
    assert told in found[-1].text


def test_a_bucket_is_written_to_and_left_empty(settings: dict[str, Any]) -> None:
    with bucket_api() as bucket:
        serve_blobs(bucket)
        found = check(settings | {"cbi_bq_bucket": "bars", "cbi_bq_bucket_endpoint": bucket.url})
    assert missing(found) == {}
    assert found[-1].name == "bucket bars"
    # the client asks for the bucket's own data beside it
    asked = [request.method for request in bucket.requests if request.method != "GET"]
    assert asked == ["POST", "DELETE"]


def bucket_api() -> AbstractContextManager[Proxy]:
    """A server with nothing behind it."""
    return run_proxy("http://127.0.0.1:9")


def serve_blobs(bucket: Proxy) -> None:
    """Take every file, and let it be deleted."""
    answer(bucket, "POST", BUCKET, 200, WRITTEN)
    answer(bucket, "DELETE", BLOB, 200, {})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cbi_bq_project": None}, "CBI_BQ_PROJECT: not set"),
        ({"cbi_bq_endpoint": "https://example.com"}, "CBI_BQ_ENDPOINT: https://example.com is not"),
    ],
    ids=["project", "endpoint"],
)
def test_settings_that_lead_nowhere(
    settings: dict[str, Any], proxy: Proxy, changed: dict[str, Any], told: str
) -> None:
    found = check(settings | changed)
    assert missing(found).keys() == {"settings"}
    assert told in found[-1].text
    assert proxy.requests == []


def test_the_home_of_a_demo(settings: dict[str, Any], proxy: Proxy) -> None:
    settings["cbi_home"].mkdir()
    (settings["cbi_home"] / "DEMO").touch()
    assert "demo's home" in missing(check(settings))["settings"]
    assert proxy.requests == []


def test_a_key_that_is_none(settings: dict[str, Any], tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}")
    found = check(settings | {"cbi_bq_endpoint": None, "cbi_bq_credentials": key})
    assert missing(found).keys() == {"credentials"}
    assert "CBI_BQ_CREDENTIALS: " in found[-1].text


def test_a_key_that_was_revoked(settings: dict[str, Any], tmp_path: Path, proxy: Proxy) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = tmp_path / "key.json"
    key.write_text(
        json.dumps(
            {
                "type": "service_account",
                "client_email": f"loader@{PROJECT}.iam.gserviceaccount.com",
                "private_key": private.decode(),
                "token_uri": f"{proxy.url}/token",
            }
        )
    )
    refused = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    answer(proxy, "POST", "/token$", 400, refused)
    found = check(settings | {"cbi_bq_endpoint": None, "cbi_bq_credentials": key})
    assert missing(found).keys() == {"credentials"}
    assert "Invalid JWT Signature" in found[-1].text


Cbi = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cbi(tmp_path: Path, drive: Path) -> Cbi:
    """Run `cbi config --check` in a process of its own, on a machine without credentials."""
    (tmp_path / "nowhere").mkdir()

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        empty = {name: str(tmp_path / "nowhere") for name in ("HOME", "CLOUDSDK_CONFIG", "APPDATA")}
        given = {k: v for k, v in os.environ.items() if k != "GOOGLE_APPLICATION_CREDENTIALS"}
        given |= empty | {"NO_GCE_CHECK": "true", "CBI_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [sys.executable, "-m", "cbi_assets.cli", "config", "--check", *arguments],
            env=given | {"CBI_DRIVE": str(drive)} | environment,
            cwd=tmp_path / "nowhere",
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_machine_without_credentials_is_told_in_one_line(cbi: Cbi) -> None:
    finished = cbi(CBI_WAREHOUSE="bigquery", CBI_BQ_PROJECT="nobodys-project")
    assert finished.returncode == 2
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    (line,) = [line for line in lines if line.startswith("missing")]
    assert line.split()[1] == "credentials"
    assert "gcloud auth application-default login" in line
    assert lines[-1] == line
    assert len(lines) == 5


def test_all_well_is_0_and_json_is_one_document(cbi: Cbi, warehouse: dict[str, Any]) -> None:
    given = {name.upper(): str(value) for name, value in warehouse.items()}
    finished = cbi("--json", **given)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert {tuple(found) for found in document} == {("name", "verdict", "text")}
    assert {"ok"} == {found["verdict"] for found in document if found["name"] in ROLES}


def test_the_embedded_warehouse_asks_for_home_and_drive_only(cbi: Cbi, tmp_path: Path) -> None:
    finished = cbi("--json")
    assert finished.returncode == 0, finished.stderr
    assert [f["name"] for f in json.loads(finished.stdout)] == ["home", "disk", "drive"]
    assert not (tmp_path / "home").exists()
    (tmp_path / "file").touch()
    finished = cbi(CBI_DRIVE="/no/such/drive", CBI_HOME=str(tmp_path / "file"))
    assert finished.returncode == 2
    lines = finished.stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [["missing", "home"], ["missing", "drive"]]
    assert "/no/such/drive" in lines[1]
