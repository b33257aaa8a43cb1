"""`cbi alert`: events sent once; exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cbi_assets.cli import app
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets.session import Project
from cbi_assets_tests.alerts.endpoint import SECRET, Endpoint
from cbi_assets_tests.helpers import load_once
from cbi_assets_tests.load.lines import put_lines, record


@pytest.fixture(autouse=True)
def _environment(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    monkeypatch.setenv("CBI_ALERT_FREE_GIB", "0")
    monkeypatch.chdir(tmp_path)
    put_lines(drive, [record(0), record(1, volume="-1")])
    load_once(project)


@pytest.mark.full
def test_alert_sends_each_event_once(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_ALERT_URLS", endpoint.url)
    first = CliRunner().invoke(app, ["alert", "--json"])
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert "decision:ops.quarantined_bars" in document["told"]
    assert [event["kind"] for event in document["standing"]].count("decision") == 1
    assert "Invalid records are in ops.quarantined_bars: ZL|1h 1." in endpoint.texts[0]
    again = json.loads(CliRunner().invoke(app, ["alert", "--json"]).stdout)
    assert again["told"] == []
    assert again["standing"] == document["standing"]
    assert len(endpoint.messages) == 1


@pytest.mark.full
def test_alert_sends_nothing_by_default() -> None:
    result = CliRunner().invoke(app, ["alert"])
    assert result.exit_code == 0
    assert "Nothing was sent: CBI_ALERT_URLS is not set." in result.stderr
    assert "ops.quarantined_bars" in result.stderr


def test_alert_test_needs_an_address(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["alert", "--test"])
    assert isinstance(result.exception, UsageError)
    monkeypatch.setenv("CBI_ALERT_URLS", endpoint.url)
    result = CliRunner().invoke(app, ["alert", "--test"])
    assert result.exit_code == 0
    assert "address 1 (JSON) accepted the test." in result.stderr
    assert [message["title"] for message in endpoint.messages] == ["cbi: test"]


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("arguments", [["alert", "--test"], ["alert"]])
def test_alert_exits_3_if_an_address_does_not_respond(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    endpoint.status = 500
    monkeypatch.setenv("CBI_ALERT_URLS", endpoint.url)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ServiceError)
    assert result.exception.exit_code == 3
    assert SECRET not in result.output + str(result.exception)
