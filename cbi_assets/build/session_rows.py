"""Compute market_data.futures_sessions_1d from the raw tables, only where bars changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from cbi_assets.build.bar_inventory import SESSION_KEY, up_to_date
from cbi_assets.build.build_slices import NO_CUTOFF, all_dates, within
from cbi_assets.build.replace_rows import existing_query
from cbi_assets.market.session_bars import choose_finest, session_bars
from cbi_assets.tables import DAILY_ML_MATRIX, RAW, SESSIONS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.read_ahead import query_alike
from cbi_assets.warehouse.sql_files import load_sql

BARS_AT_ONCE = 1_500_000
"""Approximate number of raw bars whose hours are in memory at a time."""

_KEY = list(SESSION_KEY)
_SESSION = ["root", "symbol", "trade_date", "built_from"]
_HOURS = pl.Schema(
    RAW["1h"].schema_of(
        "root",
        "symbol",
        "contract",
        "instrument_id",
        "trade_date",
        "ts_event",
        "open",
        "high",
        "low",
        "close",
        "volume",
    )
    | {"weighted": pl.Float64(), "built_from": pl.String()}
)


@dataclass(frozen=True)
class Sessions:
    """All sessions of some roots (the table's columns), and how many of them were computed."""

    frame: pl.DataFrame
    built: int


def build_sessions(
    reader: HoursReader,
    inventory: pl.DataFrame,
    windows: pl.DataFrame,
    roots: Sequence[str],
    until: dt.date = NO_CUTOFF,
    *,
    whole: bool = False,
) -> Sessions:
    """Return the sessions of these roots up to a trade date. Publishes nothing.

    Only sessions in the WINDOWS may have changed, and `inventory` (INVENTORY) has their bars. Those
    that the table has, built from the same bars, are read back as all others are, unless `whole`.
    An evening without its day is not a session yet.
    """
    wanted = choose_finest(inventory.filter("reaches_its_day"))
    every = all_dates(roots)
    existing = pl.DataFrame(schema=SESSIONS.polars_schema)
    if not windows.equals(every):
        query = sessions_query(roots, until)
        existing = reader.warehouse.query(query.sql, query.params).with_columns(
            pl.col("load_ids").cast(existing.schema["load_ids"]).list.eval(pl.element().sort())
        )
    inside = within(existing, windows)
    kept = inside.clear() if whole else up_to_date(inside, wanted)
    stale = wanted.join(kept, on=_KEY, how="anti")
    built = reader.sessions(stale)
    outside = existing.join(inside, on=_KEY, how="anti")
    frame = pl.concat([part.select(SESSIONS.column_names) for part in (outside, kept, built)])
    return Sessions(frame.sort(_KEY), stale.height)


def sessions_query(roots: Sequence[str], until: dt.date) -> Statement:
    """Return what asks for the sessions that the table has of roots up to a trade date."""
    return existing_query(SESSIONS, roots, end=until)


def read_hours(warehouse: Warehouse, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the hours (or UTC days) of sessions, as `session_bars` takes them.

    `wanted` has root, symbol, trade_date and built_from: one row per session.
    """
    if wanted.is_empty():
        return pl.DataFrame(schema=_HOURS)
    queries = []
    staged = warehouse.stage_frame("sessions_wanted", wanted.select("root", *_KEY))
    for timeframe in sorted(set(wanted["built_from"])):
        dates = wanted.filter(pl.col("built_from") == timeframe)["trade_date"]
        first, last = dates.min(), dates.max()
        assert isinstance(first, dt.date)
        assert isinstance(last, dt.date)
        name = "build/session_bars_1m" if timeframe == "1m" else "build/session_bars"
        sql = load_sql(name, table=RAW[timeframe].id, wanted=staged, timeframe=timeframe)
        params = {
            "roots": sorted(set(wanted["root"])),
            # A session before a holiday belongs to the next trade date, days later at Christmas.
            "first": _midnight(first - dt.timedelta(days=7)),
            "end": _midnight(last + dt.timedelta(days=2)),
        }
        queries.append(Statement(sql, params))
    parts = (
        rows.select(pl.col(name).cast(kind) for name, kind in _HOURS.items())
        for rows in query_alike(warehouse, queries)
    )
    return pl.concat(parts).sort("symbol", "ts_event", "instrument_id")


class HoursReader:
    """Reads the hours of sessions, and computes sessions, each once: it depends on its bars alone.

    So rebuilds as of several dates share what they read.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self._hours = pl.DataFrame(schema=_HOURS)
        self._known = self._hours.select(_SESSION)
        self._sessions = pl.DataFrame(schema=SESSIONS.polars_schema)
        self._computed = self._sessions.select(_SESSION)
        self._zones: dict[tuple[str, dt.date], pl.DataFrame] = {}

    def zone_until(self, root: str, last: dt.date) -> pl.DataFrame:
        """Return root, trade_date and golden_zone of the matrix up to a trade date."""
        if (root, last) not in self._zones:
            self._zones[root, last] = self.warehouse.query(
                "SELECT symbol AS root, data_date AS trade_date, golden_zone "
                f"FROM `{DAILY_ML_MATRIX.id}` WHERE symbol = @root AND data_date <= @last",
                {"root": root, "last": last},
            )
        return self._zones[root, last]

    def read(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Return what `read_hours` does."""
        keys = wanted.select(_SESSION)
        missing = wanted.join(self._known, on=_SESSION, how="anti")
        self._hours = pl.concat([self._hours, read_hours(self.warehouse, missing)])
        self._known = pl.concat([self._known, missing.select(_SESSION)])
        found = self._hours.join(keys, on=_SESSION, how="semi")
        return found.sort("symbol", "ts_event", "instrument_id")

    def sessions(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Compute sessions from their bars; `wanted` is an INVENTORY, whose loads they state."""
        missing = wanted.join(self._computed, on=_SESSION, how="anti")
        parts = [
            session_bars(hours).join(
                part.select(*_KEY, "bars", "load_ids"), on=_KEY, how="left", maintain_order="left"
            )
            for part in _in_parts(missing)
            for hours in [read_hours(self.warehouse, part)]
        ]
        computed = [part.select(SESSIONS.column_names) for part in parts]
        self._sessions = pl.concat([self._sessions, *computed])
        self._computed = pl.concat([self._computed, missing.select(_SESSION)])
        return self._sessions.join(wanted, on=_SESSION, how="semi")


def _in_parts(stale: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield whole roots, or years of a large one, so that memory stays bounded."""
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
