"""`cbi config --check` on settings, keys and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbi_assets_tests.bigquery.asking import PROJECT, ROLES, answer, check, missing
from cbi_assets_tests.bigquery.proxy import Proxy
from cbi_assets_tests.processes import call_cbi

pytestmark = pytest.mark.bigquery


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"cbi_bq_project": None}, "CBI_BQ_PROJECT: not set"),
        ({"cbi_bq_endpoint": "https://example.com"}, "CBI_BQ_ENDPOINT: https://example.com is not"),
    ],
    ids=["project", "endpoint"],
)
def test_check_stops_at_invalid_settings(
    settings: dict[str, Any], proxy: Proxy, changed: dict[str, Any], expected: str
) -> None:
    found = check(settings | changed)
    assert missing(found).keys() == {"settings"}
    assert expected in found[-1].text
    assert proxy.requests == []


def test_check_refuses_the_home_of_a_demo(settings: dict[str, Any], proxy: Proxy) -> None:
    settings["cbi_home"].mkdir()
    (settings["cbi_home"] / "DEMO").touch()
    assert "demo's home" in missing(check(settings))["settings"]
    assert proxy.requests == []


def test_check_reports_an_invalid_key(settings: dict[str, Any], tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}")
    found = check(settings | {"cbi_bq_endpoint": None, "cbi_bq_credentials": key})
    assert missing(found).keys() == {"credentials"}
    assert "CBI_BQ_CREDENTIALS: " in found[-1].text


def test_check_reports_a_revoked_key(
    settings: dict[str, Any], tmp_path: Path, proxy: Proxy
) -> None:
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
    """Return a function that runs `cbi config --check` in a process without credentials."""
    (tmp_path / "nowhere").mkdir()

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        empty = {name: str(tmp_path / "nowhere") for name in ("HOME", "CLOUDSDK_CONFIG", "APPDATA")}
        given = {k: v for k, v in os.environ.items() if k != "GOOGLE_APPLICATION_CREDENTIALS"}
        given |= empty | {"NO_GCE_CHECK": "true", "CBI_HOME": str(tmp_path / "home")}
        return call_cbi(
            ["config", "--check", *arguments],
            given | {"CBI_DRIVE": str(drive)} | environment,
            tmp_path / "nowhere",
        )

    return run


def test_command_reports_missing_credentials_in_one_line(cbi: Cbi) -> None:
    finished = cbi(CBI_WAREHOUSE="bigquery", CBI_BQ_PROJECT="nobodys-project")
    assert finished.returncode == 2
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    (line,) = [line for line in lines if line.startswith("missing")]
    assert line.split()[1] == "credentials"
    assert "gcloud auth application-default login" in line
    assert lines[-1] == line
    assert len(lines) == 5


@pytest.mark.full
def test_command_exits_0_and_prints_one_json_document_if_all_is_ok(
    cbi: Cbi, warehouse: dict[str, Any]
) -> None:
    given = {name.upper(): str(value) for name, value in warehouse.items()}
    finished = cbi("--json", **given)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert {tuple(found) for found in document} == {("name", "verdict", "text", "unanswered")}
    assert {"ok"} == {found["verdict"] for found in document if found["name"] in ROLES}


def test_command_checks_home_and_drive_only_for_duckdb(cbi: Cbi, tmp_path: Path) -> None:
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
