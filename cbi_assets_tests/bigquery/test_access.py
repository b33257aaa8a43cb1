"""`cbi config --check` reports each missing permission on jobs and datasets with its fix."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import bigquery

from cbi_assets.warehouse.bigquery.bigquery_access import DATASETS
from cbi_assets_tests.bigquery.asking import JOBS, PROJECT, answer, check, deny, missing
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.bigquery.proxy import QUERY, TABLES, Proxy, Rule, hang

pytestmark = pytest.mark.bigquery


def make_datasets(emulator: Emulator, **options: Any) -> None:
    with emulator.client(PROJECT) as client:
        for name in DATASETS:
            dataset = bigquery.Dataset(f"{PROJECT}.{name}")
            dataset.location = "us-central1"
            for option, value in options.get(name, {}).items():
                setattr(dataset, option, value)
            client.create_dataset(dataset)


def existing_tables(emulator: Emulator) -> dict[str, list[str]]:
    """Return the project's datasets with their tables."""
    with emulator.client(PROJECT) as client:
        return {
            item.dataset_id: [table.table_id for table in client.list_tables(item.dataset_id)]
            for item in client.list_datasets()
        }


def test_check_passes_and_leaves_nothing_in_an_empty_project(
    settings: dict[str, Any], emulator: Emulator
) -> None:
    found = check(settings)
    assert missing(found) == {}
    assert [f.name for f in found if f.verdict == "note"] == [f"dataset {n}" for n in DATASETS]
    assert [f.name for f in found if f.verdict == "ok"] == [
        "home", "disk", "drive", "settings", "bigquery.jobUser", "new datasets", "billing",
        "bigquery.readSessionUser",
    ]  # fmt: skip
    assert existing_tables(emulator) == {}


def test_check_passes_and_leaves_nothing_in_existing_datasets(
    settings: dict[str, Any], emulator: Emulator, proxy: Proxy
) -> None:
    make_datasets(emulator)
    found = check(settings)
    assert {f.verdict for f in found} == {"ok"}
    assert [f.name for f in found if f.name.startswith("dataset")] == [
        f"dataset {name}" for name in DATASETS
    ]
    assert existing_tables(emulator) == {name: [] for name in DATASETS}
    made = proxy.sent("POST", TABLES)
    assert len(made) == len(DATASETS) + 1
    assert all("expirationTime" in request.body for request in made)
    assert all("$" not in request.body["tableReference"]["tableId"] for request in made)
    assert all("maximumBytesBilled" in request.body for request in proxy.sent("POST", QUERY))


IAM = "/v1/projects/cbi-tests:testIamPermissions$"


def test_check_creates_no_table_in_datasets_where_iam_grants_them(
    settings: dict[str, Any], emulator: Emulator, proxy: Proxy
) -> None:
    make_datasets(emulator)
    rights = [f"bigquery.tables.{name}" for name in ("create", "delete", "getData", "updateData")]
    answer(proxy, "POST", IAM, 200, {"permissions": rights})
    assert missing(check(settings)) == {}
    (asked,) = proxy.sent("POST", IAM)
    assert asked.body == {"permissions": ["bigquery.datasets.create", *rights]}
    assert len(proxy.sent("POST", TABLES)) == 1  # for DML, which a sandbox refuses


def test_check_creates_tables_where_iam_grants_less_on_the_project(
    settings: dict[str, Any], emulator: Emulator, proxy: Proxy
) -> None:
    make_datasets(emulator)
    answer(proxy, "POST", IAM, 200, {"permissions": ["bigquery.tables.create"]})
    assert missing(check(settings)) == {}
    assert len(proxy.sent("POST", TABLES)) == len(DATASETS) + 1


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


def test_check_reports_a_missing_right_to_run_jobs_and_goes_on(
    settings: dict[str, Any], proxy: Proxy
) -> None:
    deny(proxy, JOBS, 403, "accessDenied", REFUSED_JOBS)
    found = check(settings)
    assert missing(found).keys() == {"bigquery.jobUser"}
    text = missing(found)["bigquery.jobUser"]
    assert "bigquery.jobs.create" in text
    assert "--role=roles/bigquery.jobUser" in text
    # datasets are still checked, DML is not
    assert {f"dataset {name}" for name in DATASETS} <= {f.name for f in found}
    assert "billing" not in {f.name for f in found}


@pytest.mark.parametrize(
    ("status", "reason", "message", "detail", "name", "expected"),
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
        (403, "quotaExceeded", "Quota exceeded: your project", {}, "quota", "your project). Retry"),
        (503, "backendError", "Unavailable.", {}, "service", "Unavailable). Retry later."),
    ],
    ids=["API disabled", "API never enabled", "unknown project", "quota project", "location",
         "exhausted quota", "unavailable"],
)  # fmt: skip
def test_check_stops_at_an_unusable_project(
    settings: dict[str, Any], proxy: Proxy, status: int, reason: str, message: str,
    detail: dict[str, Any], name: str, expected: str,
) -> None:  # fmt: skip
    deny(proxy, JOBS, status, reason, message, detail=detail)
    found = check(settings)
    assert missing(found).keys() == {name}
    assert expected in missing(found)[name]
    assert found[-1].name == name
    assert proxy.sent("GET", "/datasets") == []


def test_check_stops_waiting_for_a_service_that_hangs(
    settings: dict[str, Any], proxy: Proxy
) -> None:
    proxy.add(Rule("POST", JOBS, hang, times=None))
    found = check(settings | {"cbi_bq_timeout": 0.3, "cbi_bq_patience": 0.5})
    assert missing(found).keys() == {"service"}


def test_check_reports_a_dataset_without_the_right_to_create_tables(
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
    assert f"mk --dataset {PROJECT}:ops" in found["dataset ops"]  # it may be absent


def test_check_reports_a_missing_right_to_create_datasets(
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


def test_check_reports_a_dataset_in_another_location(
    settings: dict[str, Any], emulator: Emulator
) -> None:
    make_datasets(emulator, market_data={"location": "europe-west1"})
    found = missing(check(settings))
    assert found.keys() == {"dataset market_data"}
    assert "Set CBI_BQ_LOCATION=europe-west1" in found["dataset market_data"]


@pytest.mark.parametrize(
    "option", ["default_table_expiration_ms", "default_partition_expiration_ms"]
)
def test_check_reports_a_dataset_with_default_expiration(
    settings: dict[str, Any], emulator: Emulator, option: str
) -> None:
    year = 365 * 86_400_000
    make_datasets(emulator, features={option: year}, ops_staging={option: year})
    found = missing(check(settings))
    assert found.keys() == {"dataset features"}
    assert f"{option.removesuffix('_ms')}_days = NULL" in found["dataset features"]


@pytest.mark.parametrize("made", [True, False], ids=["in staging", "in a dataset of its own"])
def test_check_reports_a_sandbox_without_dml(
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
    assert existing_tables(emulator) == ({name: [] for name in DATASETS} if made else {})
