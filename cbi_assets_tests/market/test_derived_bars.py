"""Derived bars: steps in Chicago time, computed by hand, and properties of any bars."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.build.derive import derive_statements
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.market.derived_bars import BuiltFrom
from cbi_assets.market.sessions import CHICAGO, trade_date_of
from cbi_assets.tables import DERIVED, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

MINUTES: dict[DerivedTimeframe, int] = {"5m": 5, "15m": 15, "30m": 30, "4h": 240}


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def bar(
    start: str | dt.datetime,
    ohlc: tuple[float | None, float | None, float | None, float | None] = (10.0, 13.0, 9.0, 12.0),
    volume: int = 5,
    **change: Any,
) -> dict[str, Any]:
    """Make a bar of MES.v.0 with some fields changed."""
    open_, high, low, close = ohlc
    return {
        "ts_event": at(start) if isinstance(start, str) else start,
        "trade_date": dt.date(2025, 1, 7),
        "root": "MES",
        "symbol": "MES.v.0",
        "kind": "continuous",
        "contract": None,
        "instrument_id": 30,
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "load_id": "L1",
    } | change


def frame(bars: list[dict[str, Any]]) -> pl.DataFrame:
    schema = RAW["1m"].schema_of(*bar("2025-01-07T15:00Z"))
    return pl.DataFrame(bars, schema=schema)


def dated(bars: list[dict[str, Any]]) -> pl.DataFrame:
    """Put the bars in a frame, each with its trade date by the calendar."""
    made = frame(bars)
    return made.with_columns(trade_date_of(made["ts_event"], "equity"))


@cache
def scratch_warehouse(folder: TemporaryDirectory[str]) -> DuckDBWarehouse:
    path = Path(folder.name)
    warehouse = DuckDBWarehouse(path / "warehouse.duckdb", path)
    warehouse.create_tables(DERIVED.values())
    return warehouse


SCRATCH: TemporaryDirectory[str] = TemporaryDirectory()


def derive_bars(
    bars: pl.DataFrame, timeframe: DerivedTimeframe, built_from: BuiltFrom
) -> pl.DataFrame:
    """Put the bars in a raw table, derive them from it, and return what is derived, sorted."""
    warehouse, table = scratch_warehouse(SCRATCH), DERIVED[timeframe].id
    raw = warehouse.stage_frame("raw_bars", bars)
    create = f"CREATE OR REPLACE TABLE {RAW[built_from].id} AS SELECT * FROM {raw}"
    warehouse._connection.execute(create)
    key = ("root", "symbol", "trade_date")
    sessions = bars.group_by(key, maintain_order=True).agg(
        pl.col("kind", "contract").first(),
        pl.col("volume").sum(),
        pl.col("load_id").unique().sort().alias("load_ids"),
    )
    chosen = sessions.with_row_index("session_no").with_columns(
        exists=True, built_from=pl.lit(built_from)
    )
    warehouse.transact([Statement(f"DELETE FROM `{table}` WHERE TRUE")])
    if not chosen.is_empty():
        statements = derive_statements(warehouse, {timeframe: chosen}, (timeframe,), 0)
        warehouse.transact(statements)
    found = warehouse.query(f"SELECT * FROM `{table}`")
    return found.sort("symbol", "ts_event", "instrument_id")


def derived(
    bars: list[dict[str, Any]], timeframe: DerivedTimeframe, built_from: BuiltFrom = "1m"
) -> list[dict[str, Any]]:
    return derive_bars(dated(bars), timeframe, built_from).to_dicts()


def test_derived_bar_of_5m_equals_one_computed_by_hand() -> None:
    found = derived(
        [
            # out of order: ts_event decides which is first and last
            bar("2025-01-07T15:04Z", (5.0, 6.0, 4.5, 5.5), 7, load_id="L2"),
            bar("2025-01-07T15:00Z", (4.0, 9.0, 3.0, 8.0), 11),
            bar("2025-01-07T15:02Z", (8.0, 8.5, 2.5, 3.0), 13),
            bar("2025-01-07T15:05Z", (5.5, 5.75, 5.25, 5.6), 17),
        ],
        "5m",
    )
    first = {
        "ts_event": at("2025-01-07T15:00Z"),
        "bar_end": at("2025-01-07T15:05Z"),
        "trade_date": dt.date(2025, 1, 7),
        "root": "MES",
        "symbol": "MES.v.0",
        "kind": "continuous",
        "contract": None,
        "instrument_id": 30,
        "open": 4.0,
        "high": 9.0,
        "low": 2.5,
        "close": 5.5,
        "volume": 31,
        "built_from": "1m",
        "load_ids": ["L1", "L2"],
    }
    assert found[0] == first
    assert len(found) == 2
    assert (found[1]["ts_event"], found[1]["volume"]) == (at("2025-01-07T15:05Z"), 17)


@pytest.mark.parametrize(
    ("timeframe", "start", "end"),
    [
        ("5m", "2025-01-07T15:40Z", "2025-01-07T15:45Z"),
        ("15m", "2025-01-07T15:30Z", "2025-01-07T15:45Z"),
        ("30m", "2025-01-07T15:30Z", "2025-01-07T16:00Z"),
        ("4h", "2025-01-07T15:00Z", "2025-01-07T19:00Z"),  # 09:00 to 13:00 Chicago time
    ],
)
def test_minute_is_in_its_step(timeframe: DerivedTimeframe, start: str, end: str) -> None:
    (found,) = derived([bar("2025-01-07T15:44Z")], timeframe)
    assert (found["ts_event"], found["bar_end"]) == (at(start), at(end))


# The week in which clocks go forward, on Sunday 2025-03-09: until then 17:00 Chicago time is
# 23:00 UTC, from then on 22:00 UTC. An hour, its step's start and end, and its trade date.
FORWARD = [
    ("2025-03-06T23:00Z", "2025-03-06T23:00Z", "2025-03-07T03:00Z", "2025-03-07"),
    ("2025-03-07T02:00Z", "2025-03-06T23:00Z", "2025-03-07T03:00Z", "2025-03-07"),
    ("2025-03-07T03:00Z", "2025-03-07T03:00Z", "2025-03-07T07:00Z", "2025-03-07"),
    ("2025-03-07T21:00Z", "2025-03-07T19:00Z", "2025-03-07T23:00Z", "2025-03-07"),
    ("2025-03-09T22:00Z", "2025-03-09T22:00Z", "2025-03-10T02:00Z", "2025-03-10"),
    ("2025-03-10T01:00Z", "2025-03-09T22:00Z", "2025-03-10T02:00Z", "2025-03-10"),
    ("2025-03-10T02:00Z", "2025-03-10T02:00Z", "2025-03-10T06:00Z", "2025-03-10"),
    ("2025-03-10T13:00Z", "2025-03-10T10:00Z", "2025-03-10T14:00Z", "2025-03-10"),
    ("2025-03-10T14:00Z", "2025-03-10T14:00Z", "2025-03-10T18:00Z", "2025-03-10"),
    ("2025-03-10T20:00Z", "2025-03-10T18:00Z", "2025-03-10T22:00Z", "2025-03-10"),
    ("2025-03-10T22:00Z", "2025-03-10T22:00Z", "2025-03-11T02:00Z", "2025-03-11"),
]


def test_4h_steps_follow_chicago_time_in_the_week_when_clocks_go_forward() -> None:
    found = derived([bar(start) for start, *_ in FORWARD], "4h", "1h")
    expected = sorted({(at(start), at(end), date) for _, start, end, date in FORWARD})
    assert [(b["ts_event"], b["bar_end"], str(b["trade_date"])) for b in found] == expected
    assert [b["volume"] for b in found] == [10, 5, 5, 10, 5, 5, 5, 5, 5]
    assert {b["built_from"] for b in found} == {"1h"}


@pytest.mark.parametrize(
    ("start", "step", "end"),
    [
        # back on Sunday 2025-11-02: 01:00 Chicago time is 06:00 UTC and, again, 07:00 UTC
        ("2025-11-02T05:59Z", "2025-11-02T02:00Z", "2025-11-02T06:00Z"),
        ("2025-11-02T06:30Z", "2025-11-02T06:00Z", "2025-11-02T11:00Z"),
        ("2025-11-02T07:30Z", "2025-11-02T06:00Z", "2025-11-02T11:00Z"),
        ("2025-11-02T11:00Z", "2025-11-02T11:00Z", "2025-11-02T15:00Z"),
        # forward: 02:00 to 03:00 does not exist, so the step from 01:00 has three hours
        ("2025-03-09T08:30Z", "2025-03-09T07:00Z", "2025-03-09T10:00Z"),
    ],
)
def test_steps_follow_chicago_time_when_clocks_change(start: str, step: str, end: str) -> None:
    (found,) = derived([bar(start)], "4h")
    assert (found["ts_event"], found["bar_end"]) == (at(step), at(end))
    (short,) = derived([bar(start)], "30m")
    assert short["bar_end"] - short["ts_event"] == dt.timedelta(minutes=30)


def test_holiday_bar_and_next_evening_are_separate_steps_of_one_trade_date() -> None:
    # Martin Luther King Day, a Monday: 11:00 Chicago time and the evening are two steps of Tuesday
    found = derived([bar("2025-01-20T17:00Z"), bar("2025-01-20T23:00Z")], "4h", "1h")
    assert [str(b["trade_date"]) for b in found] == ["2025-01-21", "2025-01-21"]
    assert [b["ts_event"] for b in found] == [at("2025-01-20T15:00Z"), at("2025-01-20T23:00Z")]


def test_derived_bars_never_cross_trade_dates() -> None:
    early, late = dt.date(2025, 1, 7), dt.date(2025, 1, 8)
    bars = [
        bar("2025-01-07T15:00Z", trade_date=early),
        bar("2025-01-07T16:00Z", trade_date=late),
    ]
    found = derive_bars(frame(bars), "4h", "1h")
    assert found["trade_date"].sort().to_list() == [early, late]
    assert found["volume"].to_list() == [5, 5]


def test_step_is_split_if_the_contract_changes_at_midnight_utc() -> None:
    # 18:00 Chicago time, in the step from 17:00 (23:00 UTC)
    found = derived(
        [
            bar("2025-01-07T23:59Z", (1.0, 2.0, 0.5, 1.5), 3),
            bar("2025-01-08T00:00Z", (6.0, 7.0, 5.0, 6.5), 4, instrument_id=31),
        ],
        "4h",
    )
    assert [(b["ts_event"], b["instrument_id"]) for b in found] == [
        (at("2025-01-07T23:00Z"), 30),
        (at("2025-01-07T23:00Z"), 31),
    ]
    assert [(b["open"], b["high"], b["low"], b["close"], b["volume"]) for b in found] == [
        (1.0, 2.0, 0.5, 1.5, 3),
        (6.0, 7.0, 5.0, 6.5, 4),
    ]


def test_derived_bars_are_separate_by_symbol() -> None:
    outright: dict[str, Any] = {"symbol": "MESH5", "kind": "outright", "contract": "MESH2025"}
    found = derived([bar("2025-01-07T15:00Z"), bar("2025-01-07T15:01Z", **outright)], "5m")
    assert [(b["symbol"], b["kind"], b["contract"]) for b in found] == [
        ("MES.v.0", "continuous", None),
        ("MESH5", "outright", "MESH2025"),
    ]


def test_price_is_null_if_a_bar_that_it_depends_on_lacks_it() -> None:
    (found,) = derived(
        [
            bar("2025-01-07T15:00Z", (None, 13.0, None, 12.0)),
            bar("2025-01-07T15:01Z", (10.0, 14.0, 9.0, None)),
        ],
        "5m",
    )
    assert [found[name] for name in ("open", "high", "low", "close")] == [None, 14.0, None, None]
    (found,) = derived(
        [bar("2025-01-07T15:00Z", (1.0, None, 0.5, 1.0)), bar("2025-01-07T15:01Z")], "5m"
    )
    assert found["high"] is None


ONE_PRICE = st.integers(-200, 400).map(lambda tick: tick / 4)
ONE_BAR = st.tuples(
    st.one_of(st.integers(0, 60), st.integers(0, 3 * 1_440 - 1)),
    st.lists(ONE_PRICE, min_size=4, max_size=4),
    st.integers(1, 1_000),
    st.sampled_from(["MES.v.0", "MESH5"]),
)
FIRST_MINUTES = st.sampled_from(
    [
        at(day)
        for day in (
            "2025-01-06T12:00Z",
            "2025-01-19T12:00Z",
            "2025-03-08T12:00Z",
            "2025-11-01T12:00Z",
        )
    ]
)


@st.composite
def any_bars(draw: st.DrawFn) -> pl.DataFrame:
    """Minutes of three days; the contract behind a symbol differs on each UTC day."""
    first = draw(FIRST_MINUTES)
    drawn = draw(st.lists(ONE_BAR, max_size=40, unique_by=lambda b: (b[0], b[3])))
    rows = []
    for minute, (a, b, c, d), volume, symbol in drawn:
        start = first + dt.timedelta(minutes=minute)
        ohlc = (a, max(a, b, c, d), min(a, b, c, d), d)
        number = start.date().toordinal()
        rows.append(bar(start, ohlc, volume, symbol=symbol, instrument_id=number))
    return dated(rows)


@pytest.mark.full
@settings(deadline=None, max_examples=20)
@given(bars=any_bars(), timeframe=st.sampled_from(DERIVED_TIMEFRAMES))
def test_every_bar_is_in_exactly_one_step(bars: pl.DataFrame, timeframe: DerivedTimeframe) -> None:
    found = derive_bars(bars, timeframe, "1m")
    rows = bars.to_dicts()
    placed = 0
    for made in found.to_dicts():
        own = sorted(
            (
                b
                for b in rows
                if (b["symbol"], b["instrument_id"]) == (made["symbol"], made["instrument_id"])
                and made["ts_event"] <= b["ts_event"] < made["bar_end"]
            ),
            key=lambda b: b["ts_event"],
        )
        placed += len(own)
        assert own  # no bar without a trade
        assert {b["trade_date"] for b in own} == {made["trade_date"]}
        assert made["open"] == own[0]["open"]
        assert made["close"] == own[-1]["close"]
        assert made["high"] == max(b["high"] for b in own)
        assert made["low"] == min(b["low"] for b in own)
        assert made["volume"] == sum(b["volume"] for b in own)
    assert placed == len(rows)
    assert found.select("symbol", "instrument_id", "ts_event").is_unique().all()


@pytest.mark.full
@settings(deadline=None, max_examples=20)
@given(bars=any_bars(), timeframe=st.sampled_from(DERIVED_TIMEFRAMES))
def test_no_step_extends_past_its_trade_date(
    bars: pl.DataFrame, timeframe: DerivedTimeframe
) -> None:
    for made in derive_bars(bars, timeframe, "1m").to_dicts():
        end = dt.datetime.combine(made["trade_date"], dt.time(17), ZoneInfo(CHICAGO))
        assert made["bar_end"] <= end
        local = made["ts_event"].astimezone(ZoneInfo(CHICAGO))
        assert (local.hour * 60 + local.minute - 60) % MINUTES[timeframe] == 0


@settings(deadline=None, max_examples=20)
@given(
    bars=any_bars(), timeframe=st.sampled_from(DERIVED_TIMEFRAMES), cut=st.integers(0, 3 * 1_440)
)
def test_later_bars_do_not_change_a_step_that_has_ended(
    bars: pl.DataFrame, timeframe: DerivedTimeframe, cut: int
) -> None:
    if bars.is_empty():
        return
    first = bars["ts_event"].min()
    assert isinstance(first, dt.datetime)
    now = first + dt.timedelta(minutes=cut)
    ended = pl.col("bar_end") <= now
    known = derive_bars(bars.filter(pl.col("ts_event") < now), timeframe, "1m").filter(ended)
    assert known.equals(derive_bars(bars, timeframe, "1m").filter(ended))
