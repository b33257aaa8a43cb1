"""The drive's sensor requests one run for just the partitions of new files that are complete."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from cbi_assets.pipeline.raw import drive_sensor
from cbi_assets.session import Project, Session, exclusive_lock
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.helpers import JOB, NOW, load_once, table, take_inventory
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.pipeline.ticks import Tick, partitions, requested, skipped

MINUTE = dt.timedelta(minutes=1)


@pytest.mark.full
def test_sensor_requests_a_run_at_the_second_tick_that_sees_a_file(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0"), record(0, "XX.v.0")])
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    why, cursor = skipped(tick(None))
    assert why == (f"2 new files, waiting until they stop changing ({JOB}/a.json; {JOB}/m.json).")
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZL|1m", "ZS|1h"]
    assert json.loads(cursor or "")["waiting"] == {}


@pytest.mark.parametrize(("limit", "left"), [(0, 2), (1, 2), (2, 1), (3, 0)])
def test_tick_reads_at_least_one_file_and_no_more_than_its_limit_of_bytes(
    tick: Tick, drive: Path, monkeypatch: pytest.MonkeyPatch, limit: int, left: int
) -> None:
    for n in range(3):
        put_lines(drive, [record(n)], f"{n}.json")
    sizes = {file.stat().st_size for file in drive.rglob("?.json")}
    monkeypatch.setattr(drive_sensor, "TICK_BYTES", limit * sizes.pop())
    assert not sizes
    _, cursor = skipped(tick(None))
    _, cursor = requested(tick(cursor))
    assert len(json.loads(cursor or "")["waiting"]) == left


def test_requested_run_loads_the_files(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    from cbi_assets.definitions import defs

    put_lines(drive, [record(0), record(1)])
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    job = defs.resolve_job_def("load_drive")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert table(project).height == 2
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new in 1 file."


@pytest.mark.full
def test_requested_run_leaves_a_file_that_is_being_copied(
    tick: Tick, project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    from cbi_assets.definitions import defs

    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    put_lines(drive, [record(1)], "half.json")
    job = defs.resolve_job_def("load_drive")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert table(project).height == 1


def test_sensor_waits_until_a_file_stops_growing(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0), record(1)])
    why, cursor = skipped(tick(cursor))
    assert "waiting until they stop changing" in why
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


@pytest.mark.full
def test_sensor_requests_a_ready_file_while_another_grows(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)])
    _, cursor = skipped(tick(None))
    put_lines(drive, [record(0, "ZS.v.0")], "b.json")
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]
    assert list(json.loads(cursor or "")["waiting"]) == [f"{JOB}/b.json"]
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]


@pytest.mark.full
def test_sensor_requests_only_the_partitions_of_new_files(
    tick: Tick, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0, "ZS.v.0")])
    load_once(project)
    put_lines(drive, [record(0)], "b.json")
    _, cursor = skipped(tick(None))
    request, _ = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
def test_sensor_requests_one_run_for_400_files(tick: Tick, drive: Path) -> None:
    for number in range(400):
        put_lines(drive, [record(number, ("ZL.v.0", "ZS.v.0")[number % 2])], f"{number}.json")
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]
    assert request.tags["cbi/files"] == "400"


@pytest.mark.full
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
    why, _ = skipped(tick(cursor))
    assert why == "Nothing new in 1 file."


def test_sensor_requests_nothing_for_an_empty_drive(tick: Tick) -> None:
    why, _ = skipped(tick(None))
    assert why == "Nothing new in 0 files."


@pytest.mark.full
def test_sensor_requests_what_something_else_has_landed(
    tick: Tick, project: Project, drive: Path
) -> None:
    """Inventories, loads of one partition and lost ticks land files without publishing them."""
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    take_inventory(project)
    request, _ = requested(tick(None))
    assert partitions(request) == ["ZL|1h", "ZS|1h"]
    load_once(project, partitions=[("ZL", "1h")])
    request, _ = requested(tick(None))
    assert partitions(request) == ["ZS|1h"]


def test_tick_names_what_is_refused(tick: Tick, drive: Path) -> None:
    put_lines(drive, [record(0)], "good.ohlcv-1h.json")
    (drive / JOB / "bad.ohlcv-1h.dbn.zst").write_bytes(b"not zstd")
    _, cursor = skipped(tick(None))
    request, cursor = requested(tick(cursor))
    assert partitions(request) == ["ZL|1h"]
    (drive / JOB / "good.ohlcv-1h.json").unlink()
    why, _ = skipped(tick(cursor))
    assert f"1 file refused ({JOB}/bad.ohlcv-1h.dbn.zst: " in why


@pytest.mark.full
def test_settled_drive_costs_no_query_for_an_hour(
    tick: Tick, project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    _, cursor = skipped(tick(None, NOW))
    monkeypatch.setattr(Session, "warehouse", property(lambda session: pytest.fail("opened")))
    why, cursor = skipped(tick(cursor, NOW + 59 * MINUTE))
    assert why == "Nothing new in 1 file."
    with pytest.raises(pytest.fail.Exception, match="opened"):
        tick(cursor, NOW + 60 * MINUTE)


@pytest.mark.full
def test_tick_with_nothing_new_costs_one_walk_and_at_most_one_query_however_many_files(
    tick: Tick, project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    catalog_statements: list[str] = []
    queries: list[str] = []
    scandir, connect, query_warehouse = os.scandir, sqlite3.connect, DuckDBWarehouse.query

    def list_folder(folder: int | str | Path) -> Any:
        if not isinstance(folder, int) and Path(folder).is_relative_to(drive):
            listed.append(Path(folder).name)
        return scandir(folder)

    def connect_and_trace(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(catalog_statements.append)
        return connection

    def count_query(warehouse: DuckDBWarehouse, sql: str, *args: Any) -> pl.DataFrame:
        queries.append(sql)
        return query_warehouse(warehouse, sql, *args)

    def costs(first: int, files: int) -> list[tuple[list[str], int, int]]:
        """Add files, load them, and return the costs of a tick right after that and one later."""
        for number in range(first, first + files):
            put_lines(drive, [record(number)], f"{number}.json")
        load_once(project)
        _, cursor = skipped(tick(None, NOW))
        for file in drive.rglob("*.*"):  # opened, they would no longer be what they were
            stat = file.stat()
            file.write_bytes(b"\0" * stat.st_size)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        found = []
        for now in (NOW + 59 * MINUTE, NOW + 60 * MINUTE):
            for counted in (listed, catalog_statements, queries):
                counted.clear()
            why, cursor = skipped(tick(cursor, now))
            assert (
                why == f"Nothing new in {first + files} {'files' if first + files > 1 else 'file'}."
            )
            found.append((sorted(listed), len(catalog_statements), len(queries)))
        return found

    monkeypatch.setattr(os, "scandir", list_folder)
    monkeypatch.setattr(sqlite3, "connect", connect_and_trace)
    monkeypatch.setattr(DuckDBWarehouse, "query", count_query)
    believed, asked = costs(0, 1)
    assert (believed[0], believed[2]) == (sorted([drive.name, JOB]), 0)
    assert (asked[0], asked[2]) == (believed[0], 1)
    assert costs(1, 12) == [believed, asked]
