"""The sensor asks for one run with just what new, stable files touch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.raw.drive_sensor import new_drive_files
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.helpers import JOB, load_once, table
from cbi_assets_tests.load.lines import put_lines, record

Tick = Callable[[str | None], dg.SensorResult | dg.SkipReason]


@pytest.fixture
def tick() -> Tick:
    """One tick of the sensor from a cursor."""
    instance = dg.DagsterInstance.ephemeral()

    def run(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        resources = {"project": ProjectResource(bigquery=BigQuery()), "clock": Clock()}
        with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
            found = new_drive_files(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    return run


def skipped(found: dg.SensorResult | dg.SkipReason) -> tuple[str, str | None]:
    """Why a tick asked for nothing, and its cursor; None where it leaves it as it is."""
    if isinstance(found, dg.SkipReason):
        return found.skip_message or "", None
    assert not found.run_requests
    assert isinstance(found.skip_reason, dg.SkipReason)
    return found.skip_reason.skip_message or "", found.cursor


def requested(found: dg.SensorResult | dg.SkipReason) -> tuple[dg.RunRequest, str | None]:
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or ()
    return request, found.cursor


def partitions(request: dg.RunRequest) -> list[str]:
    found = request.run_config["ops"]["load_partitions"]["config"]["partitions"]
    assert isinstance(found, list)
    return found


def test_a_file_is_ready_at_its_second_look(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0"), record(0, "XX.v.0")])
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    why, cursor = skipped(tick(None))
    assert why == "2 new files; waiting for their size to hold still."
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZL|1m", "ZS|1h"]
    assert json.loads(cursor or "") == {}
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new among 2 files."


def test_the_run_it_asks_for_loads_them(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    from cbi_assets.definitions import defs

    put_lines(drive, [record(0), record(1)])
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    job = defs.resolve_job_def("load_drive")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert table(project).height == 2


def test_a_growing_file_is_left_until_it_stands_still(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0), record(1)])
    why, cursor = skipped(tick(cursor))
    assert "waiting for their size" in why
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


def test_a_ready_file_does_not_wait_for_a_growing_one(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0, "ZS.v.0")], "b.json")
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]
    assert list(json.loads(cursor or "")) == [f"{JOB}/b.json"]
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZS|1h"]


def test_only_what_is_new_is_asked_for(tick: Tick, project: Project, drive: Path) -> None:
    put_lines(drive, [record(0, "ZS.v.0")])
    load_once(project)
    put_lines(drive, [record(0)], "b.json")
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


def test_an_unmounted_drive_keeps_the_cursor(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    away = drive.with_name("away")
    shutil.move(drive, away)
    why, left = skipped(tick(cursor))
    assert "Is the drive mounted?" in why
    assert left is None
    shutil.move(away, drive)
    requested(tick(cursor))


def test_a_home_at_work_keeps_the_cursor(tick: Tick, project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    with exclusive_lock(project.home):
        why, left = skipped(tick(cursor))
    assert "is still running" in why
    assert left is None
    requested(tick(cursor))


def test_a_burst_of_files_is_one_run(tick: Tick, drive: Path) -> None:
    for number in range(400):
        put_lines(drive, [record(number % 8, ("ZL.v.0", "ZS.v.0")[number % 2])], f"{number}.json")
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]
    assert request.tags["cbi/files"] == "400"
    skipped(tick(cursor))


def test_the_runs_key_is_of_the_files_and_their_times(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    first, cursor = requested(tick(cursor))
    put_lines(drive, [record(0), record(1)])
    _, cursor = skipped(tick(cursor))
    second, _ = requested(tick(cursor))
    assert first.run_key
    assert first.run_key != second.run_key


@pytest.mark.parametrize("text", ["a foreign file", record(0, "XX.v.0"), record(0, rtype=32)])
def test_a_file_without_wanted_bars_asks_for_nothing(tick: Tick, drive: Path, text: str) -> None:
    put_lines(drive, [text])
    _, cursor = skipped(tick(None))
    why, cursor = skipped(tick(cursor))
    assert why == "1 new files, none with bars of the universe that are new."
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new among 1 files."


def test_an_empty_drive_is_nothing_new(tick: Tick) -> None:
    assert skipped(tick(None)) == ("Nothing new among 0 files.", "{}")
