"""The drive's sensor requests one run for just the partitions of new files that are complete."""

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
    """Return why a tick requested no run, and its cursor; None if that is unchanged."""
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


def test_sensor_requests_a_run_at_the_second_tick_that_sees_a_file(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0"), record(0, "XX.v.0")])
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    why, cursor = skipped(tick(None))
    assert why == "2 new files, waiting until they stop changing."
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZL|1m", "ZS|1h"]
    assert json.loads(cursor or "") == {}
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new in 2 files."


def test_requested_run_loads_the_files(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    from cbi_assets.definitions import defs

    put_lines(drive, [record(0), record(1)])
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    job = defs.resolve_job_def("load_drive")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert table(project).height == 2


def test_sensor_waits_until_a_file_stops_growing(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0), record(1)])
    why, cursor = skipped(tick(cursor))
    assert "waiting until they stop changing" in why
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


def test_sensor_requests_a_ready_file_while_another_grows(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0, "ZS.v.0")], "b.json")
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]
    assert list(json.loads(cursor or "")) == [f"{JOB}/b.json"]
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZS|1h"]


def test_sensor_requests_only_the_partitions_of_new_files(
    tick: Tick, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0, "ZS.v.0")])
    load_once(project)
    put_lines(drive, [record(0)], "b.json")
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


def test_sensor_does_not_take_a_staging_file_for_the_drives(
    tick: Tick, project: Project, drive: Path
) -> None:
    staging = drive / "TrainingData" / "staging"
    staging.mkdir(parents=True)
    for folder, place in ((drive, 0), (staging, 1)):
        put_lines(folder, [record(place)])  # the same path in both, of another time
    load_once(project)
    why, _ = skipped(tick(None))
    assert why == "Nothing new in 1 file."


def test_sensor_keeps_the_cursor_if_the_drive_is_not_mounted(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    away = drive.with_name("away")
    shutil.move(drive, away)
    why, left = skipped(tick(cursor))
    assert "Is the drive mounted?" in why
    assert left is None
    shutil.move(away, drive)
    requested(tick(cursor))


def test_sensor_keeps_the_cursor_if_the_home_is_locked(
    tick: Tick, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    with exclusive_lock(project.home):
        why, left = skipped(tick(cursor))
    assert "is still running" in why
    assert left is None
    requested(tick(cursor))


def test_sensor_requests_one_run_for_400_files(tick: Tick, drive: Path) -> None:
    for number in range(400):
        put_lines(drive, [record(number % 8, ("ZL.v.0", "ZS.v.0")[number % 2])], f"{number}.json")
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]
    assert request.tags["cbi/files"] == "400"
    skipped(tick(cursor))


def test_run_key_differs_if_a_file_changed(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    first, cursor = requested(tick(cursor))
    put_lines(drive, [record(0), record(1)])
    _, cursor = skipped(tick(cursor))
    second, _ = requested(tick(cursor))
    assert first.run_key
    assert first.run_key != second.run_key


@pytest.mark.parametrize("text", ["a foreign file", record(0, "XX.v.0"), record(0, rtype=32)])
def test_sensor_requests_nothing_for_a_file_without_wanted_bars(
    tick: Tick, drive: Path, text: str
) -> None:
    put_lines(drive, [text])
    _, cursor = skipped(tick(None))
    why, cursor = skipped(tick(cursor))
    assert why == "1 new file, without new bars of the universe."
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new in 1 file."


def test_sensor_requests_nothing_for_an_empty_drive(tick: Tick) -> None:
    assert skipped(tick(None)) == ("Nothing new in 0 files.", "{}")
