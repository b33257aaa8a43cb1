"""What Dagster shows of a load: partitions, metadata, checks; and what it blocks."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.checks import SPEC_CHECK, checks_run_by
from cbi_assets.checks.raw_checks import run_raw
from cbi_assets.definitions import defs
from cbi_assets.downloads.wanted import Wanted
from cbi_assets.downloads.wanted import survey as survey_wanted
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.resources import ProjectResource
from cbi_assets.pipeline.terminal import record_load
from cbi_assets.report.lights import LIGHT_CHECKS
from cbi_assets.report.read_lights import read_lights
from cbi_assets.session import Project, Session, open_session
from cbi_assets.tables import BUILT, CHECK_SLICES, DAILY_ML_MATRIX, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query, table, take_inventory
from cbi_assets_tests.load.lines import put_lines, record

HOURLY = table_key(RAW["1h"].id)
MATRIX = table_key(DAILY_ML_MATRIX.id)
NAMES = {check.name for check in checks_run_by(run_raw)}
BUILD = dg.AssetSelection.assets(*(table_key(spec.id) for spec in BUILT))


@pytest.fixture
def materialize(instance: dg.DagsterInstance, resources: dict[str, Any]) -> Any:
    """Materialize assets or run checks of the definitions, in process."""
    known = [*(defs.assets or ()), *(defs.asset_checks or ())]

    def run(
        selection: dg.AssetSelection, partition: str | None = None
    ) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            known,
            selection=selection,
            instance=instance,
            resources=resources,
            partition_key=partition,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    return run


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """The times at which what is wanted was found for the lights of a run."""
    times: list[dt.datetime] = []

    def find(session: Session) -> Wanted:
        times.append(session.now)
        return survey_wanted(session)

    monkeypatch.setattr("cbi_assets.pipeline.resources.survey_unless_known", find)
    return times


@pytest.mark.full
def test_lights_of_a_run_find_what_is_wanted_again_after_each_change(
    project: Project, drive: Path, surveys: list[dt.datetime]
) -> None:
    resource = ProjectResource(bigquery=None)

    def shows_what_is_true(now: dt.datetime = NOW) -> bool:
        with resource.session(now) as session:
            return resource.read_lights(session) == read_lights(session)

    assert shows_what_is_true()
    assert shows_what_is_true()
    assert len(surveys) == 1
    fill(drive)
    load_once(project)  # the drive's files and the books
    assert shows_what_is_true()
    assert len(surveys) == 2
    load_once(project, now=NOW)  # nothing new
    (drive / "condition.json").write_text("[]")  # may say that days are missing at the vendor
    take_inventory(project)
    assert shows_what_is_true()
    assert len(surveys) == 3
    assert shows_what_is_true(NOW + dt.timedelta(days=7))  # trade dates have ended
    assert shows_what_is_true(NOW + dt.timedelta(days=7, minutes=1))
    assert len(surveys) == 4


def raw_alone() -> dg.AssetSelection:
    return dg.AssetSelection.assets(RAW_KEY).without_checks()


def materializations(
    result: dg.ExecuteInProcessResult,
) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Metadata values by asset and partition."""
    found = {}
    for event in result.all_events:
        if event.is_step_materialization:
            logged = event.step_materialization_data.materialization
            values = {name: value.value for name, value in logged.metadata.items()}
            found[logged.asset_key.to_user_string(), logged.partition] = values
    return found


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], bool]:
    """Return whether each check of a table passed; the lights are checks of the audit."""
    found = {(e.check_name, e.partition): e.passed for e in result.get_asset_check_evaluations()}
    assert {(name, None) for name in LIGHT_CHECKS} <= set(found)
    return {key: passed for key, passed in found.items() if key[0] not in LIGHT_CHECKS}


def fill(drive: Path) -> None:
    """Put two 1h bars of ZL and one of ZS, one 1m bar of ZL, and a malformed one on the drive."""
    lines = [record(0), record(1), record(1), record(2, volume="-1"), record(0, "ZS.v.0")]
    put_lines(drive, lines)
    put_lines(drive, [record(0, timeframe="1m")], "m.json")


@pytest.mark.full
def test_materializing_a_partition_loads_only_that(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    result = materialize(raw_alone(), "ZL|1h")
    assert result.success
    assert set(table(project)["root"]) == {"ZL"}
    assert table(project, "1m").is_empty()

    found = materializations(result)
    assert set(found) == {
        ("drive/inventory", None),
        ("raw/databento_ohlcv", "ZL|1h"),
        ("market_data/databento_futures_ohlcv_1h", "ZL|1h"),
    }
    for metadata in (found[asset, "ZL|1h"] for asset, key in found if key):
        assert (metadata["rows before"], metadata["rows after"]) == (0, 2)
        assert metadata["dagster/partition_row_count"] == 2
        assert metadata["first bar"] == "2025-01-06T15:00:00+00:00"
        assert metadata["last bar"] == "2025-01-06T16:00:00+00:00"
        assert metadata["trade dates"] == "2025-01-06 to 2025-01-06"
        assert (metadata["symbols"], metadata["files"]) == (1, 1)
        # files, records, published, duplicates, quarantined, conflicts
        assert metadata["books"].splitlines()[-1] == "| 1 | 4 | 2 | 1 | 1 | 0 |"
        assert "ZL.v.0" in metadata["newest bars"]
        assert "| load | red | 1 record of " in metadata["lights"]
        # the clock says Friday noon: Tuesday, Wednesday and Thursday are missing
        assert metadata["data"] == "data through 2025-01-06 (ZL 1h), 3 trade dates behind"
    assert set(evaluations(result)) == {(name, "ZL|1h") for name in NAMES}


@pytest.mark.full
def test_each_check_shows_expected_actual_sample_and_sql(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    result = materialize(raw_alone(), "ZL|1h")
    for evaluation in result.get_asset_check_evaluations():
        if evaluation.check_name in LIGHT_CHECKS:
            continue
        assert {"expected", "actual", "sample", "sql"} <= set(evaluation.metadata)
        assert evaluation.asset_key == HOURLY
        finding = [evaluation.metadata[name].value for name in ("actual", "expected")]
        warns = not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
        text = "ZL|1h: {}, expected {}".format(*finding)
        assert evaluation.description == (f"Warning: {text}" if warns else text)
        assert "```sql" in evaluation.metadata["sql"].value


@pytest.mark.full
def test_later_load_adds_to_the_partition(materialize: Any, project: Project, drive: Path) -> None:
    fill(drive)
    materialize(raw_alone(), "ZL|1h")
    put_lines(drive, [record(5)], "b.json")
    found = materializations(materialize(raw_alone(), "ZL|1h"))
    metadata = found["raw/databento_ohlcv", "ZL|1h"]
    assert (metadata["rows before"], metadata["rows after"]) == (2, 3)


def test_partition_without_a_file_succeeds_with_a_note(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    result = materialize(raw_alone(), "MES|1m")
    assert result.success
    found = materializations(result)
    assert found["raw/databento_ohlcv", "MES|1m"]["note"].startswith("No file on the drive")
    assert table(project).is_empty()
    assert not (project.home.root / "unreported.json").exists()


def test_step_fails_if_the_canary_stops_the_load(
    materialize: Any, project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = "a.json: the canary failed"
    monkeypatch.setattr("cbi_assets.load.load.run_canary", lambda *_: stopping)
    put_lines(drive, [record(0)])
    result = materialize(raw_alone(), "ZL|1h")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert stopping in failure.step_failure_data.user_failure_data.description


@pytest.mark.full
def test_load_drive_reports_every_partition_in_one_run(
    project: Project, drive: Path, instance: dg.DagsterInstance, resources: dict[str, Any]
) -> None:
    fill(drive)
    job = defs.resolve_job_def("load_drive")
    result = job.execute_in_process(instance=instance, resources=resources)
    touched = {"ZL|1h", "ZS|1h", "ZL|1m"}
    assert instance.get_materialized_partitions(RAW_KEY) == touched
    assert instance.get_materialized_partitions(HOURLY) == {"ZL|1h", "ZS|1h"}
    assert set(evaluations(result)) == {(name, key) for name in NAMES for key in touched}
    assert instance.get_runs_count() == 1


@pytest.mark.full
def test_log_messages_of_a_load_are_in_the_runs_event_log(
    project: Project, drive: Path, instance: dg.DagsterInstance, resources: dict[str, Any]
) -> None:
    fill(drive)
    job = defs.resolve_job_def("load_drive")
    result = job.execute_in_process(instance=instance, resources=resources)
    logged = [entry for entry in instance.all_logs(result.run_id) if not entry.is_dagster_event]
    (entry,) = [entry for entry in logged if entry.user_message.startswith("auditing 5 records")]
    assert entry.level == logging.INFO
    assert entry.step_key == "load_partitions"


@pytest.mark.full
def test_record_load_shows_every_partition(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    fill(drive)
    outcome = load_once(project)
    assert PendingEvents(project.home).partitions() == {("ZL", "1h"), ("ZS", "1h"), ("ZL", "1m")}
    with open_session(project, now=NOW) as session:
        record_load(session, outcome)
    assert instance.get_materialized_partitions(RAW_KEY) == {"ZL|1h", "ZS|1h", "ZL|1m"}
    assert PendingEvents(project.home).partitions() == set()
    (run,) = instance.get_runs()
    assert run.is_success
    assert run.tags["cbi/load_id"] == outcome.load_id
    checks = instance.event_log_storage.get_asset_check_summary_records(
        [dg.AssetCheckKey(HOURLY, name) for name in NAMES]
    )
    assert len(checks) == len(NAMES)


@pytest.mark.full
def test_next_load_reports_what_was_not_recorded(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    fill(drive)
    load_once(project)  # and killed before it was recorded in Dagster
    again = load_once(project)
    assert again.load_id is None
    assert {result.partition for result in again.checks} == {"ZL|1h", "ZS|1h", "ZL|1m"}
    with open_session(project, now=NOW) as session:
        record_load(session, again)
    assert instance.get_materialized_partitions(RAW_KEY) == {"ZL|1h", "ZS|1h", "ZL|1m"}
    assert load_once(project).checks == []


def break_bars(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        sql = f"UPDATE `{RAW['1h'].id}` SET high = low - 1 WHERE root = 'ZL'"
        owed = f"DELETE FROM `{CHECK_SLICES.id}` WHERE root = 'ZL'"
        warehouse.transact([Statement(sql), Statement(owed)])


def test_table_and_its_checks_run_by_partition(
    materialize: Any, project: Project, drive: Path, surveys: list[dt.datetime]
) -> None:
    fill(drive)
    load_once(project)
    break_bars(project)
    selection = dg.AssetSelection.assets(HOURLY)
    good, bad = (materialize(selection, key) for key in ("ZS|1h", "ZL|1h"))
    # once per run: the table's step and those of its checks each show the lights
    assert len(surveys) == 2
    assert len([event for event in good.all_events if event.is_step_start]) > 2
    assert good.success
    assert {name for name, _ in evaluations(good)} == NAMES | {
        SPEC_CHECK,
        "minute_rebuilds_hourly",
    }
    assert (
        materializations(good)[HOURLY.to_user_string(), "ZS|1h"]["dagster/partition_row_count"] == 1
    )
    failed = {e.check_name: e for e in bad.get_asset_check_evaluations() if not e.passed}
    assert failed["ohlc_is_consistent"].severity == dg.AssetCheckSeverity.ERROR
    # each run of checks shows the lights: no matrix is built yet, and then bars are wrong
    trained = [
        {e.check_name: e for e in result.get_asset_check_evaluations()}["may_train"].description
        for result in (good, bad)
    ]
    assert trained[0] == f"{DAILY_ML_MATRIX.id} has no rows. Next: cbi build"
    assert "ohlc_is_consistent fails on ZL|1h: 2 inconsistent bars, expected none" in trained[1]
    assert failed["ohlc_is_consistent"].metadata["actual"].value == "2 inconsistent bars"
    assert "ZL.v.0" in str(failed["ohlc_is_consistent"].metadata["sample"].value)
    assert not bad.success  # it blocks
    stored = query(
        project,
        "SELECT partition_key FROM `ops.check_results` "
        "WHERE check_name = 'ohlc_is_consistent' AND NOT passed",
    )
    assert stored["partition_key"].to_list() == ["ZL|1h"]


@pytest.mark.full
def test_build_skips_a_root_with_a_failed_check(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    load_once(project)
    break_bars(project)
    materialize(dg.AssetSelection.assets(HOURLY), "ZL|1h")
    result = materialize(BUILD)
    assert result.success
    metadata = materializations(result)[MATRIX.to_user_string(), None]
    assert "| ZL | " in metadata["not rebuilt"]
    assert "ohlc_is_consistent on ZL\\|1h |" in metadata["not rebuilt"]
    assert metadata["dagster/row_count"] == 1
    rows = query(project, f"SELECT symbol FROM `{DAILY_ML_MATRIX.id}`")
    assert rows["symbol"].to_list() == ["ZS"]
    assert set(evaluations(result).values()) == {True}


@pytest.mark.full
def test_matrix_check_fails_on_a_repeated_row(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    load_once(project)
    materialize(BUILD)
    with open_warehouse(project) as warehouse:
        name = DAILY_ML_MATRIX.id
        warehouse.transact([Statement(f"INSERT INTO `{name}` SELECT * FROM `{name}`")])
    result = materialize(dg.AssetSelection.checks_for_assets(MATRIX))
    assert evaluations(result)["one_row_per_trade_date", None] is False


def test_inventory_shows_files_records_and_refusals(
    materialize: Any, project: Project, drive: Path
) -> None:
    fill(drive)
    put_lines(drive, ["ts_event,rtype,publisher_id", "1,34,1"], "broken.csv")
    result = materialize(dg.AssetSelection.assets(dg.AssetKey(["drive", "inventory"])))
    metadata = materializations(result)["drive/inventory", None]
    assert (metadata["files"], metadata["files read"]) == (3, 3)
    assert metadata["records on the drive"] == 6
    assert "broken.csv" in metadata["refused"]
    assert table(project).is_empty()
