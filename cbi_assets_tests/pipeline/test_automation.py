"""The matrix follows the bars after every kind of load, except roots of which a check failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.definitions import defs
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, RAW_KEY, table_key
from cbi_assets.session import Project
from cbi_assets.tables import BUILT, CHECK_SLICES, DAILY_ML_MATRIX, RAW, YAHOO_BRIDGE
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import load_once, open_warehouse, query
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.load.staging.exports import write_bridge
from cbi_assets_tests.pipeline.materialize_assets import QUIET, materialize_assets

BUILD = {table_key(table.id) for table in BUILT}
BRIDGE = table_key(YAHOO_BRIDGE.id)
STITCH = dg.AssetCheckKey(BRIDGE, "stitch_is_documented")
DAY = 24  # bars of an hour

Tick = Callable[[], set[dg.AssetKey]]
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def tick(instance: dg.DagsterInstance) -> Tick:
    """One tick of `matrix_follows_bars`; returns the assets that it requests."""
    cursor: Any = None

    def evaluate() -> set[dg.AssetKey]:
        nonlocal cursor
        found = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = found.cursor
        return {
            key
            for key in defs.resolve_asset_graph().get_all_asset_keys()
            if found.get_num_requested(key)
        }

    return evaluate


@pytest.fixture
def run(instance: dg.DagsterInstance, resources: dict[str, Any]) -> Run:
    """Materialize assets, with the checks that a run of the daemon includes."""

    def materialize(
        keys: set[dg.AssetKey], partition: str | None = None
    ) -> dg.ExecuteInProcessResult:
        return materialize_assets(keys, instance, resources, partition_key=partition)

    return materialize


def load_drive(instance: dg.DagsterInstance, resources: dict[str, Any], **config: Any) -> None:
    """Run the job of the drive's sensor."""
    job = defs.resolve_job_def("load_drive")
    settings = {"ops": {"load_partitions": {"config": config}}, **QUIET}
    assert job.execute_in_process(
        instance=instance, resources=resources, run_config=settings
    ).success


def matrix_dates(project: Project) -> list[dt.date]:
    found = query(project, f"SELECT data_date FROM `{DAILY_ML_MATRIX.id}` ORDER BY data_date")
    dates: list[dt.date] = found["data_date"].to_list()
    return dates


@pytest.mark.full
def test_matrix_is_requested_and_contains_the_new_day_after_any_load(
    tick: Tick,
    run: Run,
    project: Project,
    drive: Path,
    staging: Path,
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
) -> None:
    january = [dt.date(2025, 1, day) for day in (6, 7, 8, 9)]
    write_bridge(staging / "y.parquet", ("2010-06-04", 40.0))
    assert tick() == set()

    put_lines(drive, [record(0)])
    load_drive(instance, resources)
    requested = tick()
    assert {BRIDGE, *BUILD} <= requested
    # one run: the bridge's checks come before the build, which documents the stitch
    assert run(requested).success
    assert matrix_dates(project) == january[:1]
    assert tick() == set()

    put_lines(drive, [record(DAY)], "b.json")
    assert run({RAW_KEY}, "ZL|1h").success  # as from the UI
    requested = tick()
    assert {BRIDGE, *BUILD} <= requested
    assert run(requested).success
    assert matrix_dates(project) == january[:2]

    put_lines(drive, [record(2 * DAY)], "c.json")
    assert run({INVENTORY_KEY}).success  # lands the bars, as a tick of the drive's sensor does
    run(tick())
    load_drive(instance, resources, partitions=["ZL|1h"], landed_only=True)
    requested = tick()
    assert requested >= BUILD
    assert run(requested).success
    assert matrix_dates(project) == january[:3]

    (stitch,) = instance.event_log_storage.get_asset_check_summary_records([STITCH]).values()
    assert stitch.last_check_execution_record is not None
    assert stitch.last_check_execution_record.status.value == "SUCCEEDED"


@pytest.mark.full
def test_rows_of_a_root_whose_check_failed_wait_and_the_others_are_built(
    tick: Tick,
    run: Run,
    project: Project,
    drive: Path,
    staging: Path,
    instance: dg.DagsterInstance,
) -> None:
    write_bridge(staging / "y.parquet", ("2010-06-04", 40.0))
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    load_once(project)
    tick()
    with open_warehouse(project) as warehouse:
        sql = f"UPDATE `{RAW['1h'].id}` SET high = low - 1 WHERE root = 'ZL'"
        owed = f"DELETE FROM `{CHECK_SLICES.id}` WHERE root = 'ZL'"
        warehouse.transact([Statement(sql), Statement(owed)])
    put_lines(drive, [record(DAY, "ZS.v.0")], "b.json")
    assert run({RAW_KEY}, "ZS|1h").success
    assert not run({table_key(RAW["1h"].id)}, "ZL|1h").success

    requested = tick()
    assert requested >= BUILD
    assert run(requested).success
    rows = query(project, f"SELECT symbol, data_date FROM `{DAILY_ML_MATRIX.id}` ORDER BY 1, 2")
    assert rows.rows() == [("ZS", dt.date(2025, 1, 6)), ("ZS", dt.date(2025, 1, 7))]
    event = instance.get_latest_materialization_event(table_key(DAILY_ML_MATRIX.id))
    assert event is not None
    assert event.asset_materialization is not None
    waiting = event.asset_materialization.metadata["not rebuilt"]
    assert isinstance(waiting, dg.MarkdownMetadataValue)
    assert "ZL" in str(waiting.md_str)
    assert "ohlc_is_consistent on ZL" in str(waiting.md_str)
    assert not tick() & BUILD


def test_matrix_alone_can_be_selected_and_all_its_tables_are_reported(
    run: Run, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    assert run({table_key(DAILY_ML_MATRIX.id)}).success
    assert matrix_dates(project) == [dt.date(2025, 1, 6)]
    assert all(instance.get_latest_materialization_event(key) for key in BUILD)


@pytest.mark.full
def test_load_right_after_a_build_is_built_at_the_next_tick(
    tick: Tick,
    run: Run,
    project: Project,
    drive: Path,
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
) -> None:
    put_lines(drive, [record(0)])
    load_drive(instance, resources)
    assert run(tick()).success
    put_lines(drive, [record(DAY)], "b.json")
    load_drive(instance, resources)  # the daemon has not ticked since the build
    requested = tick()
    assert requested >= BUILD
    assert run(requested).success
    assert not tick() & BUILD
    assert matrix_dates(project) == [dt.date(2025, 1, 6), dt.date(2025, 1, 7)]


@pytest.mark.full
def test_automation_builds_what_was_loaded_before_it_was_switched_on(
    tick: Tick, drive: Path, instance: dg.DagsterInstance, resources: dict[str, Any]
) -> None:
    put_lines(drive, [record(0)])
    load_drive(instance, resources)
    assert tick() >= BUILD
    assert not tick() & BUILD
