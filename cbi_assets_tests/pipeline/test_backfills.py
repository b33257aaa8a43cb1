"""A backfill loads and checks exactly its partitions, in one run per range of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import (
    build_run_requests_with_backfill_policies,
)
from dagster._core.definitions.events import AssetKeyPartitionKey

from cbi_assets.config.universe import load_universe
from cbi_assets.definitions import defs
from cbi_assets.pipeline import reporting
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.reporting import report_partition
from cbi_assets.session import Project
from cbi_assets.tables import CHECK_SLICES, DERIVED, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import open_warehouse, query, table
from cbi_assets_tests.load.lines import put_lines, record

Backfill = Callable[[dg.AssetKey, Collection[str]], list[dg.ExecuteInProcessResult]]

HOURLY = table_key(RAW["1h"].id)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def backfill(instance: dg.DagsterInstance, resources: dict[str, Any]) -> Backfill:
    """Run what Dagster's daemon requests for a backfill of an asset's partitions."""
    graph = defs.resolve_asset_graph()

    def run(key: dg.AssetKey, partitions: Collection[str]) -> list[dg.ExecuteInProcessResult]:
        requests = build_run_requests_with_backfill_policies(
            [AssetKeyPartitionKey(key, partition) for partition in partitions], graph, instance
        )
        return [
            dg.materialize(
                [*(defs.assets or ()), *(defs.asset_checks or ())],
                selection=dg.AssetSelection.assets(*(request.asset_selection or ())),
                instance=instance,
                resources=resources,
                tags=dict(request.tags),
                run_config=QUIET,
                raise_on_error=False,
            )
            for request in requests
        ]

    return run


def passed_by_partition(
    instance: dg.DagsterInstance, run_id: str, name: str
) -> dict[str | None, bool]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    events = [log.dagster_event for log in instance.all_logs(run_id, of_type=kind)]
    found = [event.asset_check_evaluation_data for event in events if event is not None]
    return {e.partition: e.passed for e in found if e.check_name == name}


@pytest.mark.full
def test_backfill_of_every_partition_is_one_run_per_timeframe(
    backfill: Backfill, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(1), record(0, "ZS.v.0")])
    every = {f"{root}|{t}" for root in load_universe().roots for t in RAW}
    results = backfill(RAW_KEY, every)
    assert [result.success for result in results] == [True] * len(RAW)
    assert instance.get_materialized_partitions(RAW_KEY) == every
    hours = {key for key in every if key.endswith("|1h")}
    assert instance.get_materialized_partitions(HOURLY) == hours  # none is left to run
    rows = {
        event.partition: event.step_materialization_data.materialization.metadata[
            "dagster/partition_row_count"
        ].value
        for result in results
        for event in result.get_asset_materialization_events()
        if event.asset_key == RAW_KEY
    }
    assert rows == dict.fromkeys(every, 0) | {"ZL|1h": 2, "ZS|1h": 1}
    assert table(project).height == 3


@pytest.mark.full
def test_backfill_of_a_scattered_subset_loads_no_other_partition(
    backfill: Backfill, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    both = [record(0), record(0, "ZS.v.0")]
    put_lines(drive, both)
    minutes = [record(0, timeframe="1m"), record(0, "ZS.v.0", timeframe="1m")]
    put_lines(drive, minutes, "m.json")
    chosen = {"ZL|1h", "ZS|1m", "MES|1d"}  # as a rectangle, these would be nine
    assert all(result.success for result in backfill(RAW_KEY, chosen))
    assert instance.get_materialized_partitions(RAW_KEY) == chosen
    assert set(table(project)["root"]) == {"ZL"}
    assert set(table(project, "1m")["root"]) == {"ZS"}


@pytest.mark.full
def test_backfill_sees_all_partitions_of_a_run_at_once(
    backfill: Backfill,
    project: Project,
    drive: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The daemon requests what is downstream of the partitions that it sees: a run for each part.
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    seen: list[set[str]] = []

    def report_and_look(*args: Any, **options: Any) -> None:
        report_partition(*args, **options)
        with open_instance(project.home) as other:
            seen.append(other.get_materialized_partitions(HOURLY))

    monkeypatch.setattr(reporting, "report_partition", report_and_look)
    chosen = {"ZL|1h", "MES|1h", "ZS|1h"}  # neighbors in the universe: one run
    (result,) = backfill(RAW_KEY, chosen)
    assert result.success
    assert seen == [set(), set(), set()]
    assert instance.get_materialized_partitions(HOURLY) == chosen


@pytest.mark.full
def test_backfill_of_a_table_checks_each_partition_and_fails_for_one(
    backfill: Backfill, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    backfill(RAW_KEY, {"ZL|1h", "ZS|1h"})
    chosen = {"ZL|1h", "MES|1h", "ZS|1h"}  # neighbors in the universe
    (result,) = backfill(HOURLY, chosen)
    assert result.success

    with open_warehouse(project) as warehouse:
        sql = f"UPDATE `{RAW['1h'].id}` SET high = low - 1 WHERE root = 'ZL'"
        owed = f"DELETE FROM `{CHECK_SLICES.id}` WHERE root = 'ZL'"
        warehouse.transact([Statement(sql), Statement(owed)])
    (result,) = backfill(HOURLY, chosen)
    found = passed_by_partition(instance, result.run_id, "ohlc_is_consistent")
    assert found == {key: key != "ZL|1h" for key in chosen}
    assert not result.success
    stored = query(
        project,
        "SELECT partition_key FROM `ops.check_results` "
        "WHERE check_name = 'ohlc_is_consistent' AND NOT passed",
    )
    assert stored["partition_key"].to_list() == ["ZL|1h"]


@pytest.mark.full
def test_backfill_of_a_derived_table_reports_each_root(
    backfill: Backfill, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(1), record(0, "ZS.v.0")])
    backfill(RAW_KEY, {"ZL|1h", "ZS|1h"})
    every = list(load_universe().roots)
    key = table_key(DERIVED["4h"].id)
    (result,) = backfill(key, every)
    assert result.success
    derived = {
        event.partition: event.step_materialization_data.materialization.metadata[
            "sessions derived"
        ].value
        for event in result.get_asset_materialization_events()
    }
    assert derived == dict.fromkeys(every, 0) | {"ZL": 1, "ZS": 1}
