"""`cbi doctor`: each thing a run rests on, spoilt, is named with its mend."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cbi_assets.cli import app
from cbi_assets.doctor import Diagnosis, diagnose, unmet
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import put_lines, record


@pytest.fixture(autouse=True)
def _environment(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    monkeypatch.chdir(tmp_path)


def found(now: dt.datetime = NOW) -> dict[str, Diagnosis]:
    return {diagnosis.name: diagnosis for diagnosis in diagnose(now)}


def test_a_sound_home(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    every = found()
    assert {name for name, d in every.items() if d.verdict == "missing"} == set()
    assert (every["warehouse"].verdict, every["clock"].found) == ("ok", "2025-01-10 12:00:00 UTC")
    assert not any(d.status for d in every.values())


def test_an_empty_home_is_well_and_stays_empty(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(tmp_path / "other"))
    every = found()
    assert {name for name, d in every.items() if d.status} == set()
    assert every["warehouse"].mend == "Run `cbi load`."
    assert not (tmp_path / "other").exists()


def test_a_wrong_setting_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_WAREHOUSE", "sqlite")
    *_, last = diagnose(NOW)
    assert (last.name, last.verdict, last.status) == ("settings", "missing", 2)
    assert last.found.startswith("CBI_WAREHOUSE: ")
    assert last.mend == "Correct it in the environment or in .env."


def test_an_unmounted_drive_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_DRIVE", "/no/such/drive")
    every = found()
    assert every["drive"].status == 2
    assert every["drive"].mend == "Mount it, or correct the path."
    assert every["warehouse"].verdict == "note"


def test_a_damaged_warehouse(project: Project) -> None:
    project.home.warehouse.write_bytes(b"no database" * 1000)
    damaged = found()["warehouse"]
    assert (damaged.verdict, damaged.status) == ("missing", 2)
    assert str(project.home.warehouse) in damaged.found
    assert damaged.mend.startswith("Put its backup in its place")


def test_a_table_that_differs(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        warehouse._connection.execute('ALTER TABLE "ops"."load_costs" DROP COLUMN jobs')  # type: ignore[attr-defined]
        warehouse._connection.execute('ALTER TABLE "ops"."load_costs" ADD COLUMN jobs VARCHAR')  # type: ignore[attr-defined]
    differing = found()["warehouse"]
    assert differing.found == "ops.load_costs differ from their specs"
    assert differing.status == 2


def test_a_warehouse_at_work_is_a_note(project: Project) -> None:
    query(project, "SELECT 1 AS one")
    with exclusive_lock(project.home):
        busy = found()["warehouse"]
    assert (busy.verdict, busy.status) == ("note", 0)
    assert "is still running" in busy.found


def test_a_clock_before_the_ledgers_newest_entry(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    late = found(NOW - dt.timedelta(minutes=6))["clock"]
    assert (late.verdict, late.status) == ("missing", 2)
    assert late.found == (
        "2025-01-10 11:54:00 UTC, but the ledger has an entry of 2025-01-10 12:00:00 UTC"
    )
    assert found(NOW - dt.timedelta(minutes=4))["clock"].verdict == "ok"


def test_a_damaged_instance(project: Project) -> None:
    from cbi_assets.pipeline.instance import open_instance

    with open_instance(project.home) as instance:
        instance.get_runs_count()
    for database in project.home.dagster.rglob("*.db"):
        database.write_bytes(b"no database" * 1000)
    damaged = found()["Dagster"]
    assert (damaged.verdict, damaged.status) == ("missing", 2)
    assert damaged.mend.startswith("Move that folder away")


def test_a_wrong_address_of_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found()["alerts"].verdict == "note"
    monkeypatch.setenv("CBI_ALERT_URLS", "json://127.0.0.1:1/hook nothing://secret")
    wrong = found()["alerts"]
    assert (wrong.verdict, wrong.status) == ("missing", 2)
    assert "secret" not in wrong.found + wrong.mend


def test_bigquery_that_does_not_answer_is_3(monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens on port 1
    monkeypatch.setenv("CBI_WAREHOUSE", "bigquery")
    monkeypatch.setenv("CBI_BQ_PROJECT", "cbi-tests")
    monkeypatch.setenv("CBI_BQ_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("CBI_BQ_PATIENCE", "0.2")
    every = found()
    assert {d.status for d in every.values() if d.verdict == "missing"} == {3}
    assert "warehouse" not in every
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 3


def test_versions() -> None:
    wanted = [
        "duckdb>=1",
        "polars<1; python_version > '3'",
        "nothing-like-it>=2",
        "no>1; extra=='x'",
    ]
    old, absent = unmet(wanted)
    assert old.endswith(", <1 is wanted")
    assert absent == "nothing-like-it is not installed, >=2 is wanted"


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    well = CliRunner().invoke(app, ["doctor"])
    assert well.exit_code == 0, well.output
    assert "All checks passed." in well.stderr
    monkeypatch.setenv("CBI_DRIVE", "/no/such/drive")
    ill = CliRunner().invoke(app, ["doctor", "--json"])
    assert ill.exit_code == 2
    (drive,) = [d for d in json.loads(ill.stdout) if d["status"]]
    assert drive["name"] == "drive"
