"""Compute the golden zone from the first month that changed on, by what is carried into it.

`ops.build_slices` keeps the memory after each of the last months (`state`), and the matrix the rows
before, so that the hours of one more day are read and not those of all years.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import EVER, NO_CUTOFF, Owed, month_after
from cbi_assets.build.session_rows import HoursReader
from cbi_assets.features.golden_zone import GOLDEN_ZONE_COLUMNS, ZoneMemory, resume_golden_zone
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.tables import BUILD_SLICES, DAILY_ML_MATRIX

KEPT: Final = 3
"""Of how many of the owed months, the newest, the memory is kept; an older change starts anew."""


@dataclass(frozen=True)
class ZoneStart:
    """The trade date from which a root's rows are computed, and the memory of those before.

    `keep` are the months (first days) whose memory to return.
    """

    since: dt.date = EVER
    memory: ZoneMemory = field(default_factory=ZoneMemory)
    keep: tuple[dt.date, ...] = ()


@dataclass(frozen=True)
class ZoneRows:
    """Rows as from `golden_zone`, and the memory after each month to keep: root, month, state."""

    rows: pl.DataFrame
    memories: pl.DataFrame


def zone_start(memories: pl.DataFrame, owed: Owed, root: str) -> ZoneStart:
    """Return where to start: after the newest month with a memory before the first owed one.

    `memories` are rows of ops.build_slices.
    """
    months = owed.months.filter(pl.col("root") == root)
    keep = tuple(months.filter(pl.col("ledger").is_not_null())["month"].sort().tail(KEPT))
    first = owed.windows.filter(pl.col("root") == root)["first"].min() or NO_CUTOFF
    assert isinstance(first, dt.date)
    if months.is_empty():
        return ZoneStart(first, keep=keep)
    stored = memories.filter(
        pl.col("state").is_not_null(), root=root, table_id=DAILY_ML_MATRIX.id
    ).sort("month", descending=True)
    for month, state in stored.select("month", "state").iter_rows():
        if month_after(month) <= first:
            return ZoneStart(month_after(month), ZoneMemory.from_json(state), keep)
    return ZoneStart(keep=keep)


def zone_rows(
    reader: HoursReader, active: pl.DataFrame, root: str, start: ZoneStart | None = None
) -> ZoneRows:
    """Return the golden zone of a root's active sessions of 1m or 1h bars.

    Rows before `start` are read from the matrix; if it lacks one, all are computed.
    """
    own = active.filter(pl.col("root") == root, pl.col("built_from").is_in(INTRADAY))
    start = start or ZoneStart()
    earlier = own.filter(pl.col("trade_date") < start.since)
    rows = [] if earlier.is_empty() else [_read_back(reader, earlier, root)]
    if rows and rows[0].height < earlier.height:
        start, rows = ZoneStart(keep=start.keep), []
    later = own.filter(pl.col("trade_date") >= start.since)
    hours = reader.read(later)
    memory, since, memories = start.memory, start.since, []
    ends = [(month_after(month), month) for month in start.keep if month_after(month) > since]
    for end, month in (*ends, (NO_CUTOFF, None)):
        in_piece = pl.col("trade_date").is_between(since, end, closed="left")
        found, memory = resume_golden_zone(hours.filter(in_piece), memory)
        rows.append(found)
        since = end
        if month is not None:
            memories.append((root, month, memory.to_json()))
    schema = BUILD_SLICES.schema_of("root", "month", "state")
    return ZoneRows(pl.concat(rows), pl.DataFrame(memories, schema=schema, orient="row"))


def _read_back(reader: HoursReader, sessions: pl.DataFrame, root: str) -> pl.DataFrame:
    """Return what the matrix has of these sessions."""
    last = sessions["trade_date"].max()
    assert isinstance(last, dt.date)
    rows = reader.zone_until(root, last)
    kind = DAILY_ML_MATRIX.polars_schema["golden_zone"]
    return (
        rows.join(sessions.select("trade_date"), on="trade_date", how="semi")
        .filter(pl.col("golden_zone").is_not_null())
        .with_columns(pl.col("golden_zone").cast(kind))
        .unnest("golden_zone")
        .select("root", "trade_date", *GOLDEN_ZONE_COLUMNS)
        .sort("trade_date")
    )


def with_memories(months: pl.DataFrame, memories: Collection[pl.DataFrame]) -> pl.DataFrame:
    """Return the months of a table with the state after each, null where none is kept."""
    if not memories:
        return months
    return months.join(pl.concat(memories), on=["root", "month"], how="left", maintain_order="left")
