"""What commands in a terminal record in Dagster."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import text

from cbi_assets import verbs
from cbi_assets.definitions import defs
from cbi_assets.pipeline.check_news import news
from cbi_assets.pipeline.terminal import record_checks
from cbi_assets.pipeline.to_dagster import to_evaluations
from cbi_assets.report.read_lights import read_lights
from cbi_assets.session import Project, open_session
from cbi_assets.tables import TRAINING
from cbi_assets.verbs import build
from cbi_assets_tests.helpers import NOW, load_once
from cbi_assets_tests.load.lines import put_lines, record


def evaluations(
    instance: dg.DagsterInstance,
) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Return the newest evaluation of every check, by table and name."""
    keys = [key for check in defs.asset_checks or () for key in check.check_keys]
    found = instance.event_log_storage.get_asset_check_summary_records(keys)
    return {
        (
            key.asset_key.path[-1],
            key.name,
        ): record.last_check_execution_record.event.asset_check_evaluation
        for key, record in found.items()
        if record.last_check_execution_record is not None
    }


def count_evaluations(instance: dg.DagsterInstance) -> int:
    """Return how many evaluations were ever stored."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    with storage.index_connection() as connection:
        found = connection.execute(text("SELECT COUNT(*) FROM asset_check_executions"))
        return int(found.scalar_one())


@pytest.mark.full
def test_record_checks_shows_every_result_on_an_asset(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    minutes = [record(n, timeframe="1m", volume="1") for n in range(60)]
    put_lines(drive, [record(0, volume="60"), record(0, "ZS.v.0")])
    put_lines(drive, minutes, "m.json")
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
        results = verbs.check(session)
    with open_session(project, now=NOW) as session:
        record_checks(session, results)
    shown = evaluations(instance)
    hourly = "databento_futures_ohlcv_1h"
    assert shown[hourly, "minute_rebuilds_hourly"].passed
    assert shown[hourly, "minute_rebuilds_hourly"].partition in ("ZL|1h", "ZS|1h")
    assert shown[hourly, "table_matches_its_spec"].partition is None
    assert shown["daily_ml_matrix", "regime_covers_every_row"].passed
    # the ledger's tables are not assets; the bridge is empty, and that is shown, too; the training
    # tables are not built
    assert {table for table, _ in shown} == {
        key.asset_key.path[-1] for check in defs.asset_checks or () for key in check.check_keys
    } - set(TRAINING)


@pytest.mark.full
def test_record_checks_adds_only_what_dagster_does_not_show(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    """Both roots start to fail; then ZL passes, and ZS' failure stays the newest."""
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    load_once(project)
    with open_session(project, now=NOW) as session:
        results = verbs.check(session)
        lights = read_lights(session)
        record_checks(session, results, lights)
        first = count_evaluations(instance)
        record_checks(session, results, lights)
        assert count_evaluations(instance) == first
        fresh = [each for each in results if each.name == "bars_are_fresh"]
        record_checks(session, [replace(each, passed=False) for each in fresh], lights)
        assert count_evaluations(instance) == first + 2
        passed = [replace(each, passed=each.root == "ZL") for each in fresh]
        record_checks(session, passed, lights)
    assert count_evaluations(instance) == first + 4
    shown = evaluations(instance)["databento_futures_ohlcv_1h", "bars_are_fresh"]
    assert (shown.partition, shown.passed) == ("ZS|1h", False)


@pytest.mark.full
def test_evaluation_is_recorded_again_after_a_week(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    with open_session(project, now=NOW) as session:
        results = verbs.check(session)
    evaluation = to_evaluations(results)[0]
    instance.report_runless_asset_event(evaluation)
    assert news(instance, [evaluation]) == []
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    with storage.index_connection() as connection:
        connection.execute(
            text(
                "UPDATE asset_check_executions SET evaluation_event_timestamp = "
                "datetime(evaluation_event_timestamp, '-8 days')"
            )
        )
    assert news(instance, [evaluation]) == [evaluation]


@pytest.mark.full
def test_cbi_check_shows_failing_partitions_last(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    load_once(project)
    finished = subprocess.run(
        [sys.executable, "-m", "cbi_assets.cli", "check"], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    shown = evaluations(instance)
    # the page shows the newest evaluation: the failing one
    assert shown["databento_futures_ohlcv_1h", "coverage_is_uniform"].partition == "ZL|1h"
    assert not shown["databento_futures_ohlcv_1h", "coverage_is_uniform"].passed
    assert shown["databento_futures_ohlcv_1h", "no_duplicate_bars"].passed
    assert not shown["databento_futures_ohlcv_1h", "bars_are_fresh"].passed
