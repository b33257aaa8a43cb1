"""`cbi doctor`: each thing that a run depends on is named with its fix if it is broken."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cbi_assets.cli import app
from cbi_assets.doctor import diagnose, unmet
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project, exclusive_lock
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.findings import Finding
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import put_lines, record


@pytest.fixture(autouse=True)
def _environment(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    monkeypatch.chdir(tmp_path)


def findings(now: dt.datetime = NOW) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose(now)}


@pytest.mark.full
def test_diagnose_finds_no_problem_in_a_loaded_home(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    by_name = findings()
    assert {name for name, d in by_name.items() if d.verdict == "missing"} == set()
    assert (by_name["warehouse"].verdict, by_name["clock"].found) == (
        "ok",
        "2025-01-10 12:00:00 UTC",
    )
    assert not any(d.status for d in by_name.values())


def test_diagnose_finds_no_problem_in_an_empty_home_and_leaves_it_empty(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(tmp_path / "other"))
    by_name = findings()
    assert {name for name, d in by_name.items() if d.status} == set()
    assert by_name["warehouse"].remedy == "Run `cbi load`."
    assert not (tmp_path / "other").exists()


def test_diagnose_stops_at_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_WAREHOUSE", "sqlite")
    *_, last = diagnose(NOW)
    assert (last.name, last.verdict, last.status) == ("settings", "missing", 2)
    assert last.found.startswith("CBI_WAREHOUSE: ")
    assert last.remedy == "Correct it in the environment or in .env."


def test_diagnose_checks_the_rest_if_the_drive_is_not_mounted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_DRIVE", "/no/such/drive")
    project.home.warehouse.unlink()
    by_name = findings()
    assert by_name["drive"].status == 2
    assert by_name["drive"].remedy == "Mount it, or correct the path."
    assert by_name["warehouse"].verdict == "note"


def test_warehouse_is_missing_if_its_file_is_damaged(project: Project) -> None:
    project.home.warehouse.write_bytes(b"not a database" * 1000)
    damaged = findings()["warehouse"]
    assert (damaged.verdict, damaged.status) == ("missing", 2)
    assert str(project.home.warehouse) in damaged.found
    assert damaged.remedy.startswith("Put its backup in its place")


def test_diagnose_reads_every_table_of_a_duckdb_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.home.warehouse.exists()
    verified: list[DuckDBWarehouse] = []
    monkeypatch.setattr(DuckDBWarehouse, "verify", lambda self: verified.append(self))
    findings()
    assert len(verified) == 1


def test_warehouse_is_missing_if_a_table_differs_from_its_spec(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        warehouse._connection.execute('ALTER TABLE "ops"."load_costs" DROP COLUMN jobs')  # type: ignore[attr-defined]
        warehouse._connection.execute('ALTER TABLE "ops"."load_costs" ADD COLUMN jobs VARCHAR')  # type: ignore[attr-defined]
    differing = findings()["warehouse"]
    assert differing.found == "ops.load_costs differ from their specs"
    assert differing.status == 2


def test_diagnose_shows_how_old_the_readers_copy_is(project: Project) -> None:
    query(project, "SELECT 1 AS one")
    copy = project.home.read_copy
    changed = NOW - dt.timedelta(hours=3, minutes=10)
    for file in (project.home.warehouse, copy):
        os.utime(file, (changed.timestamp(), changed.timestamp()))
    found = findings()["read copy"]
    assert (found.verdict, found.found) == (
        "ok",
        f"{copy} is of 2025-01-10 08:50 UTC, 3 hours old, equal to the warehouse",
    )
    later = NOW.timestamp() - 60
    os.utime(project.home.warehouse, (later, later))
    with exclusive_lock(project.home):
        behind = findings()["read copy"]
    assert (behind.verdict, behind.status) == ("note", 0)
    assert behind.found.endswith("3 hours old; the warehouse has changed since")
    assert findings()["read copy"].found.endswith("1 minute old, equal to the warehouse")
    copy.unlink()
    copy.mkdir()  # cannot be replaced
    (copy / "file").touch()
    stuck = findings()["read copy"]
    assert (stuck.verdict, stuck.status) == ("missing", 2)


def test_warehouse_is_a_note_if_another_process_has_the_lock(project: Project) -> None:
    query(project, "SELECT 1 AS one")
    with exclusive_lock(project.home):
        busy = findings()["warehouse"]
    assert (busy.verdict, busy.status) == ("note", 0)
    assert "is still running" in busy.found


def test_clock_is_missing_if_it_is_behind_the_ledgers_newest_entry(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    late = findings(NOW - dt.timedelta(minutes=6))["clock"]
    assert (late.verdict, late.status) == ("missing", 2)
    assert late.found == (
        "2025-01-10 11:54:00 UTC, but the ledger has an entry of 2025-01-10 12:00:00 UTC"
    )
    assert findings(NOW - dt.timedelta(minutes=4))["clock"].verdict == "ok"


def test_dagster_is_missing_if_its_database_is_damaged(project: Project) -> None:
    with open_instance(project.home) as instance:
        instance.get_runs_count()
    for database in project.home.dagster.rglob("*.db"):
        database.write_bytes(b"not a database" * 1000)
    damaged = findings()["Dagster"]
    assert (damaged.verdict, damaged.status) == ("missing", 2)
    assert damaged.remedy.startswith("Move that folder away")


def test_dagster_is_missing_if_its_database_was_created_twice(project: Project) -> None:
    with open_instance(project.home) as instance:
        instance.get_runs_count()
    (runs,) = project.home.dagster.rglob("runs.db")
    with closing(sqlite3.connect(runs)) as database:
        database.execute("INSERT INTO alembic_version VALUES ('another')")
        database.commit()
    assert findings()["Dagster"].status == 2


def test_alerts_are_missing_if_an_address_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["alerts"].verdict == "note"
    monkeypatch.setenv("CBI_ALERT_URLS", "json://127.0.0.1:1/hook nothing://secret")
    wrong = findings()["alerts"]
    assert (wrong.verdict, wrong.status) == ("missing", 2)
    assert "secret" not in wrong.found + wrong.remedy


def test_doctor_exits_3_if_bigquery_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens on port 1
    monkeypatch.setenv("CBI_WAREHOUSE", "bigquery")
    monkeypatch.setenv("CBI_BQ_PROJECT", "cbi-tests")
    monkeypatch.setenv("CBI_BQ_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("CBI_BQ_PATIENCE", "0.2")
    by_name = findings()
    assert {d.status for d in by_name.values() if d.verdict == "missing"} == {3}
    assert "warehouse" not in by_name
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 3


def test_unmet_names_absent_and_wrong_versions() -> None:
    wanted = [
        "duckdb>=1",
        "polars<1; python_version > '3'",
        "nothing-like-it>=2",
        "no>1; extra=='x'",
    ]
    old, absent = unmet(wanted)
    assert old.endswith(", <1 is required")
    assert absent == "nothing-like-it is not installed, >=2 is required"


@pytest.mark.full
def test_doctor_exits_2_and_prints_json_if_a_setting_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = CliRunner().invoke(app, ["doctor"])
    assert passed.exit_code == 0, passed.output
    assert "All checks passed." in passed.stderr
    monkeypatch.setenv("CBI_DRIVE", "/no/such/drive")
    failed = CliRunner().invoke(app, ["doctor", "--json"])
    assert failed.exit_code == 2
    (drive,) = [d for d in json.loads(failed.stdout) if d["status"]]
    assert drive["name"] == "drive"
    assert set(drive) == {"name", "verdict", "found", "mend", "status"}
