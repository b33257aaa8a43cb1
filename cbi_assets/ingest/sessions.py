"""Sessions: keep market_data.futures_sessions_1d in step with the raw tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from cbi_assets.market.bars import TIMEFRAMES, Columns
from cbi_assets.market.session_bars import SESSION_COLUMNS, choose_finest, session_bars
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql
from cbi_assets.warehouse.tables import RAW, SESSIONS

BARS_AT_ONCE = 1_500_000
"""Raw bars whose hours are in memory at one time, about."""

FAR = dt.date(2200, 1, 1)

_KEY = ["symbol", "trade_date", "built_from"]
_STOCK: Columns = {
    "root": pl.String,
    "symbol": pl.String,
    "trade_date": pl.Date,
    "built_from": pl.String,
    "bars": pl.Int64,
    "volume": pl.Int64,
    "load_ids": pl.List(pl.String),
}
_HOURS: Columns = {
    "root": pl.String,
    "symbol": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "trade_date": pl.Date,
    "ts_event": pl.Datetime("us", "UTC"),
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "weighted": pl.Float64,
    "built_from": pl.String,
}


@dataclass(frozen=True)
class Sessions:
    """All sessions of some roots (the table's columns), and how many were built anew for it."""

    frame: pl.DataFrame
    built: int


def build_sessions(
    warehouse: Warehouse, roots: Sequence[str], whole: bool = False, until: dt.date = FAR
) -> Sessions:
    """The sessions of these roots as the raw tables have them now, up to the trade date `until`.

    A session that the table holds is taken from there where it was built from the same loads and
    as many bars; `whole` builds every one again. Publishes nothing.
    """
    stock = _read_stock(warehouse, roots, until)
    wanted = choose_finest(stock)
    held = pl.DataFrame(schema={**SESSION_COLUMNS, **_STOCK})
    if not whole:
        columns = ", ".join(SESSIONS.column_names)
        held = warehouse.query(
            f"SELECT {columns} FROM `{SESSIONS.id}` "
            "WHERE root IN UNNEST(@roots) AND trade_date <= @until",
            {"roots": list(roots), "until": until},
        ).with_columns(_in_order(pl.col("load_ids").cast(pl.List(pl.String))))
    kept = held.join(wanted, on=[*_KEY, "bars", "volume", "load_ids"], how="semi", nulls_equal=True)
    stale = wanted.join(kept, on=_KEY, how="anti")
    built = [
        session_bars(hours).join(
            part.select(*_KEY, "bars", "load_ids"), on=_KEY, how="left", maintain_order="left"
        )
        for part in _in_parts(stale)
        for hours in [read_hours(warehouse, part)]
    ]
    frame = pl.concat([part.select(SESSIONS.column_names) for part in (kept, *built)])
    return Sessions(frame.sort(_KEY), stale.height)


def read_hours(warehouse: Warehouse, wanted: pl.DataFrame) -> pl.DataFrame:
    """The hours (or UTC days) of sessions, as `session_bars` takes them.

    `wanted` has root, symbol, trade_date, built_from: one row a session.
    """
    parts = [pl.DataFrame(schema=_HOURS)]
    if wanted.is_empty():
        return parts[0]
    staged = warehouse.stage_frame("sessions_wanted", wanted.select("root", *_KEY))
    for timeframe in sorted(set(wanted["built_from"])):
        dates = wanted.filter(pl.col("built_from") == timeframe)["trade_date"]
        first, last = dates.min(), dates.max()
        assert isinstance(first, dt.date)
        assert isinstance(last, dt.date)
        name = "session_bars_1m" if timeframe == "1m" else "session_bars"
        sql = load_sql(name, table=RAW[timeframe].id, wanted=staged, timeframe=timeframe)
        params = {
            "roots": sorted(set(wanted["root"])),
            # a stub before a holiday belongs to the trade date after it, days later at Christmas
            "first": _midnight(first - dt.timedelta(days=7)),
            "end": _midnight(last + dt.timedelta(days=2)),
        }
        rows = warehouse.query(sql, params)
        parts.append(rows.select(pl.col(name).cast(kind) for name, kind in _HOURS.items()))
    return pl.concat(parts).sort("symbol", "ts_event", "instrument_id")


def _read_stock(warehouse: Warehouse, roots: Sequence[str], until: dt.date) -> pl.DataFrame:
    params = {"roots": list(roots), "until": until}
    parts = [
        warehouse.query(
            load_sql("session_stock", table=RAW[timeframe].id, timeframe=timeframe), params
        )
        for timeframe in TIMEFRAMES
    ]
    return pl.concat(
        [part.select(pl.col(name).cast(kind) for name, kind in _STOCK.items()) for part in parts]
    ).with_columns(_in_order(pl.col("load_ids")))


def _in_order(lists: pl.Expr) -> pl.Expr:
    # what `list.sort` gives of text, in a fortieth of its time
    return lists.list.eval(pl.element().sort())


def _in_parts(stale: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole roots, or years of one where a root is large, so that memory stays bounded."""
    gathered: list[pl.DataFrame] = []
    weight = 0
    ordered = stale.with_columns(year=pl.col("trade_date").dt.year()).sort("root", "year")
    for part in ordered.partition_by("root", "year", maintain_order=True):
        size = int(part["bars"].sum())
        if gathered and weight + size > BARS_AT_ONCE:
            yield pl.concat(gathered)
            gathered, weight = [], 0
        gathered.append(part)
        weight += size
    if gathered:
        yield pl.concat(gathered)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
