"""Derive the 5m, 15m, 30m and 4h tables from the raw ones, only where bars have changed."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from cbi_assets.build.bar_inventory import SESSION_KEY, read_inventory, up_to_date
from cbi_assets.ledger.check_results import failed_upstream
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.market.derived_bars import BuiltFrom, derive_bars
from cbi_assets.market.session_bars import choose_finest
from cbi_assets.session import Session
from cbi_assets.tables import DERIVED, RAW
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

BATCH_BARS: Final = 250_000
"""Approximate number of bars in memory at a time; a symbol's trade date is never split."""

# A trade date's first bar is on the evening before the holidays that it follows.
_BEFORE: Final = dt.timedelta(days=10)
_AFTER: Final = dt.timedelta(days=2)

_SOURCES: Final[tuple[BuiltFrom, ...]] = ("1m", "1h")
_SESSION: Final = ["symbol", "trade_date"]


@dataclass(frozen=True)
class DeriveOutcome:
    """What a derivation did.

    `rows` written by timeframe; `sessions` (symbols' trade dates) derived again or deleted; and in
    `skipped` the failed checks that kept a root out.
    """

    rows: dict[DerivedTimeframe, int]
    sessions: dict[DerivedTimeframe, int]
    skipped: dict[str, list[str]]


def derive(
    session: Session,
    roots: tuple[str, ...] = (),
    *,
    timeframes: tuple[DerivedTimeframe, ...] = DERIVED_TIMEFRAMES,
    whole: bool = False,
    inventory: pl.DataFrame | None = None,
    batch_bars: int = BATCH_BARS,
) -> DeriveOutcome:
    """Update the derived tables of these roots (default: all) from their raw bars.

    Covers outrights and continuous symbols of rank 0. All four tables are made from 1m bars. 4h is
    made from 1h bars on a symbol's trade date without 1m bars, or if those have less volume and so
    are incomplete. Sessions made from the same bars as before stay, unless `whole`. Each batch is
    published in one transaction. A root whose raw bars failed an ERROR check is left unchanged.
    `inventory` is that of the raw tables (INVENTORY), if the caller has read it.
    """
    warehouse = session.warehouse
    chosen = session.universe.select(roots)
    failed = failed_upstream(warehouse, chosen)
    derivable = [root for root in chosen if root not in failed]
    rows = dict.fromkeys(timeframes, 0)
    if not derivable:
        return DeriveOutcome(rows, dict(rows), failed)
    if inventory is None:
        inventory = read_inventory(warehouse, derivable, _SOURCES)
    inventory = inventory.filter(pl.col("root").is_in(derivable))
    changed = {
        timeframe: _changed(warehouse, timeframe, inventory, derivable, whole)
        for timeframe in timeframes
    }
    for batch in _batches(changed, batch_bars):
        sessions = max(frame.height for frame in batch.values())
        logger.info("deriving bars of %s sessions", f"{sessions:,}")
        for timeframe, derived in _derive_batch(warehouse, batch).items():
            rows[timeframe] += derived
    return DeriveOutcome(rows, {t: frame.height for t, frame in changed.items()}, failed)


def _changed(
    warehouse: Warehouse,
    timeframe: DerivedTimeframe,
    inventory: pl.DataFrame,
    roots: list[str],
    whole: bool,
) -> pl.DataFrame:
    """Return the sessions to derive: root, symbol, trade_date, bars, built_from (null: delete)."""
    sources = _SOURCES if timeframe == "4h" else ("1m",)
    wanted = choose_finest(inventory.filter(pl.col("built_from").is_in(sources)))
    existing = _read_existing(warehouse, timeframe, roots)
    done = up_to_date(existing, wanted) if not whole else existing.clear()
    columns = ("root", *_SESSION, "bars", "built_from")
    deleted = existing.join(wanted, on=_SESSION, how="anti").unique(_SESSION)
    emptied = deleted.with_columns(bars=pl.lit(0, pl.Int64), built_from=pl.lit(None, pl.String))
    return pl.concat(
        [wanted.join(done, on=_SESSION, how="anti").select(columns), emptied.select(columns)]
    ).sort("trade_date", "root", "symbol")


def _read_existing(
    warehouse: Warehouse, timeframe: DerivedTimeframe, roots: list[str]
) -> pl.DataFrame:
    """Return the derived sessions in the table: root, SESSION_KEY, volume, load_ids."""
    key = ["root", *SESSION_KEY]
    rows = warehouse.query(
        load_sql("build/derived_inventory", derived=DERIVED[timeframe].id), {"roots": roots}
    ).with_columns(pl.col("loads").str.split(" ").alias("load_ids"))
    columns = (*key, "volume", "load_ids")
    is_mixed = rows.select(key).is_duplicated()
    mixed = rows.filter(is_mixed).group_by(key)
    volumes = mixed.agg(pl.col("volume").sum())
    loads = mixed.agg(pl.col("load_ids").explode().unique().sort())
    return pl.concat(
        [rows.filter(~is_mixed).select(columns), volumes.join(loads, on=key).select(columns)]
    )


def _batches(
    changed: dict[DerivedTimeframe, pl.DataFrame], most: int
) -> Iterator[dict[DerivedTimeframe, pl.DataFrame]]:
    """Yield the changed sessions by date, about `most` bars at a time."""
    key = ["trade_date", "root", "symbol"]
    sessions = (
        pl.concat([frame.select(*key, "bars") for frame in changed.values()])
        .group_by(key)
        .agg(pl.col("bars").max())
        .sort(key)
        .with_columns(batch=(pl.col("bars").cum_sum() - pl.col("bars")) // most)
    )
    for part in sessions.partition_by("batch", maintain_order=True):
        yield {
            timeframe: own
            for timeframe, frame in changed.items()
            if not (own := frame.join(part, on=key, how="semi")).is_empty()
        }


def _derive_batch(
    warehouse: Warehouse, batch: dict[DerivedTimeframe, pl.DataFrame]
) -> dict[DerivedTimeframe, int]:
    """Derive and publish the bars of these sessions, and return their number by timeframe."""
    bars = {source: _read(warehouse, source, batch) for source in _SOURCES}
    statements: list[Statement] = []
    written = {}
    for timeframe, sessions in batch.items():
        derived = pl.concat(
            derive_bars(
                bars[source].join(
                    sessions.filter(pl.col("built_from") == source), on=_SESSION, how="semi"
                ),
                timeframe,
                source,
            )
            for source in _SOURCES
        )
        statements += _publish(warehouse, timeframe, sessions, derived)
        written[timeframe] = derived.height
    warehouse.transact(statements)
    return written


def _read(
    warehouse: Warehouse, source: BuiltFrom, batch: dict[DerivedTimeframe, pl.DataFrame]
) -> pl.DataFrame:
    """Return the bars of one raw table that the batch's sessions are made from."""
    sessions = pl.concat(
        frame.filter(pl.col("built_from") == source).drop("bars") for frame in batch.values()
    ).unique()
    if sessions.is_empty():
        return pl.DataFrame(schema=RAW[source].polars_schema)
    chosen = warehouse.stage_frame(f"derive_sources_{source}", sessions)
    return warehouse.query(
        load_sql("build/source_bars", table=RAW[source].id, chosen=chosen), _span(sessions)
    )


def _publish(
    warehouse: Warehouse,
    timeframe: DerivedTimeframe,
    sessions: pl.DataFrame,
    derived: pl.DataFrame,
) -> list[Statement]:
    """Return the statements that replace the sessions' derived bars."""
    spec = DERIVED[timeframe]
    chosen = warehouse.stage_frame(f"derive_sessions_{timeframe}", sessions.drop("bars"))
    staged = warehouse.stage_frame(f"derive_rows_{timeframe}", derived)
    names = {"table": spec.id, "chosen": chosen}
    columns = ", ".join(spec.column_names)
    span = _span(sessions)
    return [
        Statement(load_sql("build/delete_derived", **names), span),
        Statement(f"INSERT INTO `{spec.id}` ({columns}) SELECT {columns} FROM `{staged}`"),
        Assertion(
            load_sql("build/assert_derived", **names),
            {**span, "rows": derived.height},
            subject=spec.id,
            message=f"would contain {{0}} bars, {derived.height} were derived",
            remedy="Nothing was published.",
        ),
    ]


def _span(sessions: pl.DataFrame) -> dict[str, Any]:
    """Return the parameters that restrict a statement to the partitions of these sessions."""
    first, last = sessions["trade_date"].min(), sessions["trade_date"].max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    midnight = dt.time(tzinfo=dt.UTC)
    return {
        "first_ts": dt.datetime.combine(first - _BEFORE, midnight),
        "last_ts": dt.datetime.combine(last + _AFTER, midnight),
        "roots": sessions["root"].unique().sort().to_list(),
    }
