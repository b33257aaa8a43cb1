"""Derived tables: each session is derived once, and again only if its raw bars changed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.build import derive as module
from cbi_assets.build.derive import DeriveOutcome, derive
from cbi_assets.errors import AuditError
from cbi_assets.load.unload import Scope, plan_unload
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DERIVED, RAW
from cbi_assets.verbs import unload
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.sql_files import load_sql
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

# Bars start on Monday 2025-01-06, 15:00 UTC (09:00 Chicago time), when a 4h bar starts too.
MON, TUE, WED = (dt.date(2025, 1, day) for day in (6, 7, 8))
DAY = 1_440
"""Minutes in a day, which is how `record` counts places."""


def run(project: Project, *roots: str, **options: Any) -> DeriveOutcome:
    with open_session(project, now=NOW) as session:
        return derive(session, roots, **options)


def bars(project: Project, timeframe: DerivedTimeframe) -> pl.DataFrame:
    found = query(project, f"SELECT * FROM `{DERIVED[timeframe].id}`")
    return found.sort("symbol", "ts_event", "instrument_id")


def derived_tables(project: Project) -> dict[str, pl.DataFrame]:
    return {timeframe: bars(project, timeframe) for timeframe in DERIVED_TIMEFRAMES}


def equals_full_derivation(project: Project) -> bool:
    """Derive all sessions again and return whether the tables stayed the same."""
    before = derived_tables(project)
    run(project, whole=True)
    return all(before[t].equals(frame) for t, frame in derived_tables(project).items())


def run_unload(project: Project, scope: Scope, value: str) -> None:
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, scope, value))


def minutes(*places: int, symbol: str = "ZL.v.0", **change: Any) -> list[str]:
    return [record(place, symbol, "1m", **change) for place in places]


def put_later(drive: Path, lines: list[str], name: str = "b.json") -> str:
    return put_lines(drive, lines, name, LATER_JOB)


@pytest.mark.full
@pytest.mark.both_warehouses
def test_derive_fills_all_four_timeframes_from_minutes(project: Project, drive: Path) -> None:
    first, last = minutes(0, open="9.500000000"), minutes(4, close="11.250000000")
    put_lines(drive, [*first, *minutes(3), *last, *minutes(5, 29, 30, 239, 240)])
    load_once(project)
    run(project)
    starts = {t: [f"{s:%H:%M}" for s in bars(project, t)["ts_event"]] for t in DERIVED_TIMEFRAMES}
    assert starts == {
        "5m": ["15:00", "15:05", "15:25", "15:30", "18:55", "19:00"],
        "15m": ["15:00", "15:15", "15:30", "18:45", "19:00"],
        "30m": ["15:00", "15:30", "18:30", "19:00"],
        "4h": ["15:00", "19:00"],
    }
    row = bars(project, "5m").row(0, named=True)
    loads = row.pop("load_ids")
    assert loads == query(project, "SELECT DISTINCT load_id FROM `ops.loads`")["load_id"].to_list()
    assert row == {
        "ts_event": dt.datetime(2025, 1, 6, 15, tzinfo=dt.UTC),
        "bar_end": dt.datetime(2025, 1, 6, 15, 5, tzinfo=dt.UTC),
        "trade_date": MON,
        "root": "ZL",
        "symbol": "ZL.v.0",
        "kind": "continuous",
        "contract": None,
        "instrument_id": 10,
        "open": 9.5,
        "high": 13.0,
        "low": 9.0,
        "close": 11.25,
        "volume": 15,
        "built_from": "1m",
    }


def sources_4h(project: Project) -> dict[dt.date, tuple[str, int]]:
    """Return each trade date's source and volume in the 4h table; asserts one source per date."""
    rows = bars(project, "4h").group_by("trade_date", "built_from").agg(pl.col("volume").sum())
    assert rows["trade_date"].is_unique().all()
    return {date: (source, volume) for date, source, volume in rows.iter_rows()}


@pytest.mark.full
@pytest.mark.both_warehouses
def test_4h_bars_come_from_hours_if_minutes_are_missing_or_have_less_volume(
    project: Project, drive: Path
) -> None:
    # volume in hours: 10, 11 and 5; in minutes: 2 · 5 on Monday and Tuesday, none on Wednesday
    put_lines(drive, [record(0, volume="10"), record(24, volume="11"), record(48)])
    put_lines(drive, minutes(0, 1, DAY, DAY + 1), "m.json")
    load_once(project)
    run(project)
    assert sources_4h(project) == {MON: ("1m", 10), TUE: ("1h", 11), WED: ("1h", 5)}
    # the finer tables have only what there is in minutes
    assert set(bars(project, "5m")["trade_date"]) == {MON, TUE}
    assert set(bars(project, "5m")["built_from"]) == {"1m"}
    put_later(drive, minutes(DAY + 2, volume="1"))  # Tuesday has 2 · 5 + 1 in minutes now
    load_once(project)
    outcome = run(project)
    assert sources_4h(project) == {MON: ("1m", 10), TUE: ("1m", 11), WED: ("1h", 5)}
    assert outcome.sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 1)
    assert equals_full_derivation(project)


@pytest.mark.full
def test_4h_bars_come_from_minutes_if_they_have_more_volume(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0, volume="9")])
    put_lines(drive, minutes(0, 1), "m.json")
    load_once(project)
    run(project)
    assert sources_4h(project) == {MON: ("1m", 10)}


@pytest.mark.full
def test_derive_uses_outrights_and_continuous_symbols_of_rank_0(
    project: Project, drive: Path
) -> None:
    symbols = ["ZL.v.0", "ZL.v.1", "ZLH5", "ZLH5-ZLK5"]
    put_lines(drive, [record(0, symbol) for symbol in symbols])
    put_lines(drive, [record(0, symbol, "1m") for symbol in symbols], "m.json")
    load_once(project)
    run(project)
    for timeframe in DERIVED_TIMEFRAMES:
        found = bars(project, timeframe).select("symbol", "kind", "contract")
        assert found.rows() == [("ZL.v.0", "continuous", None), ("ZLH5", "outright", "ZLH2025")]


@pytest.fixture
def three_days(project: Project, drive: Path) -> Path:
    """Load and derive three trade dates of two minutes and an hour of ZL and an hour of ZS each."""
    put_lines(drive, minutes(*(day * DAY + n for day in range(3) for n in (0, 1))), "m.json")
    hours = [(24 * day, symbol) for day in range(3) for symbol in ("ZL.v.0", "ZS.v.0")]
    put_lines(drive, [record(place, symbol, volume="10") for place, symbol in hours])
    load_once(project)
    run(project)
    return drive


@pytest.mark.full
def test_second_derive_writes_nothing(
    project: Project, three_days: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = derived_tables(project)
    with caplog.at_level("INFO", "cbi_assets"):
        outcome = run(project)
    assert outcome.sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 0)
    assert caplog.messages == []
    assert all(before[t].equals(frame) for t, frame in derived_tables(project).items())


@pytest.mark.full
def test_late_minute_derives_only_its_session(project: Project, three_days: Path) -> None:
    put_later(three_days, minutes(DAY + 2, high="20.000000000"))
    load_once(project)
    outcome = run(project)
    assert outcome.sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 1)
    tuesday = bars(project, "5m").filter(pl.col("trade_date") == TUE)
    assert tuesday.select("high", "volume").rows() == [(20.0, 3 * 5)]
    assert equals_full_derivation(project)


@pytest.mark.full
def test_late_hour_derives_only_its_4h_session(project: Project, three_days: Path) -> None:
    put_later(three_days, [record(25, "ZS.v.0")])
    load_once(project)
    assert run(project).sessions == {"5m": 0, "15m": 0, "30m": 0, "4h": 1}
    assert equals_full_derivation(project)


@pytest.mark.full
def test_derive_replaces_the_bars_of_a_corrected_session(project: Project, drive: Path) -> None:
    wrong = put_lines(drive, minutes(0, 1, high="99.000000000"), "m.json")
    put_lines(drive, minutes(DAY), "n.json")
    load_once(project)
    run(project)
    run_unload(project, "file", wrong)
    (drive / "GLBX-20250110-AAAAAAAAAA" / "m.json").unlink()
    # the same starts and volumes: only the load ID shows that prices changed
    put_later(drive, minutes(0, 1))
    load_once(project)
    outcome = run(project)
    assert outcome.sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 1)
    assert bars(project, "4h")["high"].to_list() == [13.0, 13.0]
    assert equals_full_derivation(project)


@pytest.mark.both_warehouses(quick=True)
def test_derive_removes_bars_of_dates_without_raw_bars(project: Project, drive: Path) -> None:
    put_lines(drive, minutes(0), "m.json")
    load_once(project)
    assert run(project, timeframes=("5m",)).sessions == {"5m": 1}
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(f"DELETE FROM `{RAW['1m'].id}` WHERE TRUE")])
    run(project, timeframes=("5m",), whole=True)
    assert bars(project, "5m").is_empty()


@pytest.mark.full
@pytest.mark.both_warehouses
def test_derive_removes_bars_of_unloaded_files(project: Project, drive: Path) -> None:
    # Monday is in both files, Tuesday only in the second
    put_lines(drive, minutes(0), "m.json")
    second = put_later(drive, minutes(1, DAY), "n.json")
    load_once(project)
    run(project)
    run_unload(project, "file", second)
    outcome = run(project)
    # both files are of one load: only the volume shows the change
    assert outcome.sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 2)
    assert bars(project, "5m").select("trade_date", "volume").rows() == [(MON, 5)]
    assert equals_full_derivation(project)


@pytest.mark.full
def test_derive_empties_the_tables_if_no_raw_bars_are_left(
    project: Project, three_days: Path
) -> None:
    with open_warehouse(project) as warehouse:
        for timeframe in ("1m", "1h"):
            table = f"market_data.databento_futures_ohlcv_{timeframe}"
            warehouse.transact([Statement(f"DELETE FROM `{table}` WHERE TRUE")])
    run(project, whole=True)
    assert all(frame.is_empty() for frame in derived_tables(project).values())


@pytest.mark.full
def test_derive_writes_the_same_in_small_batches(
    project: Project, three_days: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = derived_tables(project)
    with caplog.at_level("INFO", "cbi_assets"):
        outcome = run(project, whole=True, batch_bars=1)
    assert outcome.sessions == {"5m": 3, "15m": 3, "30m": 3, "4h": 6}
    assert caplog.messages == ["deriving bars of 1 sessions"] * 6
    assert all(before[t].equals(frame) for t, frame in derived_tables(project).items())


@pytest.mark.full
def test_derive_writes_only_the_chosen_root_or_timeframe(project: Project, drive: Path) -> None:
    assert run(project, "ZS").sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 0)
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    put_lines(drive, minutes(0), "m.json")
    load_once(project)
    run(project, "ZS")
    assert set(bars(project, "4h")["root"]) == {"ZS"}
    outcome = run(project, timeframes=("15m",))
    assert outcome.sessions == {"15m": 1}
    assert bars(project, "15m").height == 1
    assert bars(project, "5m").is_empty()
    run(project)
    assert set(bars(project, "4h")["root"]) == {"ZL", "ZS"}


@pytest.mark.full
def test_derive_skips_a_root_if_a_check_failed(project: Project, three_days: Path) -> None:
    invalid = "UPDATE `market_data.databento_futures_ohlcv_1h` SET volume = -1 WHERE root = 'ZS'"
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        warehouse.transact([Statement(invalid)])
        verbs.check(session, full=True)
    before = bars(project, "4h")
    outcome = run(project, whole=True)
    assert set(outcome.skipped) == {"ZS"}
    assert outcome.sessions["4h"] == 3
    assert bars(project, "4h").equals(before)
    assert run(project, "ZS").sessions == dict.fromkeys(DERIVED_TIMEFRAMES, 0)


@pytest.mark.full
def test_derive_finds_the_evening_before_a_holiday(project: Project, drive: Path) -> None:
    # before Martin Luther King Jr. Day: Sunday evening and Monday have trade date 2025-01-21
    sunday = {"ts_event": "2025-01-19T23:00:00.000000000Z"}
    monday = {"ts_event": "2025-01-20T15:00:00.000000000Z"}
    put_lines(drive, [record(0, "MES.v.0", **hour) for hour in (sunday, monday)])
    load_once(project)
    run(project)
    found = bars(project, "4h")
    assert found["trade_date"].to_list() == [dt.date(2025, 1, 21)] * 2
    assert [f"{s:%d %H}" for s in found["ts_event"]] == ["19 23", "20 15"]
    assert run(project).sessions["4h"] == 0


@pytest.mark.full
def test_derive_publishes_nothing_if_old_bars_were_not_deleted(
    project: Project, three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = derived_tables(project)

    def delete_nothing(name: str, **tables: str) -> str:
        if name == "build/delete_derived":
            return "DELETE FROM `market_data.futures_ohlcv_5m` WHERE FALSE"
        return load_sql(name, **tables)

    monkeypatch.setattr(module, "load_sql", delete_nothing)
    with pytest.raises(
        AuditError,
        match=r"futures_ohlcv_5m: 3 sessions would have another volume than their bars, "
        r"the first of ZL\.v\.0\. ",
    ):
        run(project, whole=True)
    assert all(before[t].equals(frame) for t, frame in derived_tables(project).items())
