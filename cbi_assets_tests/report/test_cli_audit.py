"""`cbi audit` as a user runs it, and the asset that writes the same documents."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from cbi_assets.pipeline.audit.audit_asset import REPORT_KEY, report
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project
from cbi_assets_tests.cli.test_cli import Cbi, error_line
from cbi_assets_tests.helpers import NOW, load_once
from cbi_assets_tests.load.lines import put_lines, record

NAMES = {"audit.md", "audit.html", "audit.json"}


def test_audit_exits_0_and_writes_into_the_home(cbi: Cbi, tmp_path: Path) -> None:
    finished = cbi("audit")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
    latest = tmp_path / "home" / "audit" / "latest"
    assert {path.name for path in latest.iterdir()} == NAMES
    assert "Nothing is loaded yet." in finished.stderr
    assert finished.stderr.splitlines()[-1] == "Next: cbi plan"


def test_audit_with_failures_exits_1_and_json_is_one_document(
    cbi: Cbi, drive: Path, tmp_path: Path
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1")])
    assert cbi("load").returncode == 1
    finished = cbi("audit", "--json", "--out", "shown")
    assert finished.returncode == 1, finished.stderr
    document = json.loads(finished.stdout)
    assert document["sound"] is False
    assert {path.name for path in (tmp_path / "cwd" / "shown").iterdir()} == NAMES
    assert finished.stdout == (tmp_path / "cwd" / "shown" / "audit.json").read_text()
    # kept in the home for the next audit, wherever the documents are
    assert len(list((tmp_path / "home" / "audit").glob("*.json"))) == 1
    assert not (tmp_path / "home" / "audit" / "latest").exists()


def test_unwritable_folder_exits_2_with_one_line(cbi: Cbi, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "taken").write_text("a file")
    finished = cbi("audit", "--out", "taken")
    assert finished.returncode == 2
    assert error_line(finished).startswith("cbi: --out taken: cannot be written (")
    assert not list((tmp_path / "home" / "audit").glob("*.json"))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("loaded", [True, False])
def test_asset_writes_the_documents(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loaded: bool
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    monkeypatch.chdir(tmp_path)
    put_lines(drive, [record(0), record(1)])
    if loaded:
        load_once(project)
    resources = {
        "project": ProjectResource(bigquery=BigQuery()),
        "clock": Clock(fixed=NOW.isoformat()),
    }
    with open_instance(project.home) as instance:
        result = dg.materialize(
            [report],
            instance=instance,
            resources=resources,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.asset_key == REPORT_KEY
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert metadata["bars in the raw tables"] == (2 if loaded else 0)
    assert str(metadata["next step"]).startswith("cbi build (" if loaded else "cbi load (")
    assert Path(str(metadata["page"])).read_text().startswith("<!doctype html>")
