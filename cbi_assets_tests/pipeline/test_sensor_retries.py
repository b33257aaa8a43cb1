"""The drive's sensor requests a failed run again, a few times, and what is published no more."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import dagster as dg
import pytest

from cbi_assets.session import Project
from cbi_assets_tests.helpers import load_once, query
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.pipeline.ticks import (
    Tick,
    create_run,
    fail,
    partitions,
    requested,
    skipped,
    succeed,
)

MINUTE = dt.timedelta(minutes=1)
RESULTS = "SELECT passed FROM `ops.check_results` WHERE check_name = 'drive_is_published'"


@pytest.mark.full
def test_lost_answer_is_given_again_under_the_same_run_key(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    lost, _ = requested(tick(cursor))
    again, _ = requested(tick(cursor))
    assert again.run_key == lost.run_key


def test_sensor_waits_while_a_run_is_on_it(
    tick: Tick, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    run = create_run(instance, request)
    why, _ = skipped(tick(cursor))
    assert why == f"1 file to publish: run {run.run_id[:8]} is on it."


def test_failed_run_is_requested_again_after_growing_pauses_then_given_up(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    for pause in (5, 15, 60, 240):
        ended = fail(instance, create_run(instance, request))
        why, cursor = skipped(tick(cursor, ended + (pause - 1) * MINUTE))
        assert re.fullmatch(r"1 file to publish: \d failed runs?; the next run is due at .*", why)
        earlier = request.run_key
        request, cursor = requested(tick(cursor, ended + pause * MINUTE))
        assert request.run_key != earlier
    ended = fail(instance, create_run(instance, request))
    given_up = tick(cursor, ended + 24 * 60 * MINUTE)
    why, cursor = skipped(given_up)
    assert why.startswith("1 file to publish: given up after 5 runs. ")
    assert isinstance(given_up, dg.SensorResult)
    (event,) = given_up.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert (event.check_name, event.passed) == ("drive_is_published", False)
    # the alert of a failed check comes from these rows
    results = query(project, RESULTS)
    assert results["passed"].to_list() == [False]
    again = tick(cursor, ended + 25 * 60 * MINUTE)
    assert isinstance(again, dg.SensorResult)
    assert not again.asset_events  # it is news only once
    load_once(project)
    loaded = tick(again.cursor, ended + 26 * 60 * MINUTE)
    assert isinstance(loaded, dg.SensorResult)
    (event,) = loaded.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert event.passed
    results = query(project, RESULTS)
    assert results["passed"].to_list() == [True]


@pytest.mark.full
def test_bars_that_an_unload_took_out_are_requested_again_after_any_number_of_loads(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    """Runs that published them are no failed attempts."""
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    for _ in range(6):
        ended = succeed(instance, create_run(instance, request))
    request, cursor = requested(tick(cursor, ended + 5 * MINUTE))
    assert partitions(request) == ["ZL|1h"]


@pytest.mark.full
def test_new_files_are_requested_although_others_are_given_up(
    tick: Tick, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    for _ in range(5):
        ended = fail(instance, create_run(instance, request))
    put_lines(drive, [record(0, "ZS.v.0")], "b.json")
    _, cursor = skipped(tick(cursor, ended + 1441 * MINUTE))
    request, _ = requested(tick(cursor, ended + 1442 * MINUTE))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]
