"""Derive the 5m, 15m, 30m and 4h tables from the raw ones, only where bars have changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from cbi_assets.build.bar_inventory import SESSION_KEY, read_inventory, up_to_date
from cbi_assets.build.build_slices import (
    BuildSlices,
    Built,
    Owed,
    span_of,
    spans_of,
    store_slices,
    within,
)
from cbi_assets.counted_steps import log_steps
from cbi_assets.ledger.check_results import failed_upstream
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.market.derived_bars import (
    HOUR_MICROS,
    STEP_MINUTES,
    BuiltFrom,
    four_hour_steps,
)
from cbi_assets.market.session_bars import choose_finest
from cbi_assets.session import Session
from cbi_assets.tables import DERIVED, RAW
from cbi_assets.warehouse.base import Assertion, Params, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

BATCH_BARS: Final = 2_000_000
"""Approximate number of bars that one statement reads; a symbol's trade date is never split."""

SOURCES: Final[dict[DerivedTimeframe, tuple[BuiltFrom, ...]]] = {
    "5m": ("1m",),
    "15m": ("1m",),
    "30m": ("1m",),
    "4h": ("1m", "1h"),
}

_SESSION: Final = ["symbol", "trade_date"]

_NOT_STAGED: Final = ("bars", "built_from", "exists", "batch", "contract")
_COLLECT_LOADS: Final = ", ARRAY_AGG(DISTINCT raw.load_id ORDER BY raw.load_id) AS load_ids"
_TEXTS: Final = ("derived", "source", "chosen", "built_from", "loads", "load_ids")
_STEP_TEXTS: Final = ("start", "stop", "steps")


@dataclass(frozen=True)
class DeriveOutcome:
    """What a derivation did.

    `sessions` (symbols' trade dates) derived again or deleted, by timeframe; in `skipped` the
    failed checks that kept a root out.
    """

    sessions: dict[DerivedTimeframe, int]
    skipped: dict[str, list[str]]


def derived_tables(
    roots: Sequence[str], timeframes: Sequence[DerivedTimeframe] = DERIVED_TIMEFRAMES
) -> dict[DerivedTimeframe, Built]:
    """Return how each derived table is built. A changed statement is a changed rule."""
    text = load_sql("build/derive_bars", **dict.fromkeys((*_TEXTS, *_STEP_TEXTS), ""))
    rules = dict.fromkeys(roots, hashlib.sha256(text.encode()).hexdigest()[:32])
    return {t: Built(DERIVED[t], SOURCES[t], rules) for t in timeframes}


def derive(
    session: Session,
    roots: tuple[str, ...] = (),
    *,
    timeframes: tuple[DerivedTimeframe, ...] = DERIVED_TIMEFRAMES,
    whole: bool = False,
    slices: BuildSlices | None = None,
    inventory: pl.DataFrame | None = None,
    failed: Mapping[str, list[str]] | None = None,
    batch_bars: int = BATCH_BARS,
) -> DeriveOutcome:
    """Update the derived tables of these roots (default: all) from their raw bars.

    Covers outrights and continuous symbols of rank 0. All four tables are made from 1m bars. 4h is
    made from 1h bars on a symbol's trade date without 1m bars, or if those have less volume and so
    are incomplete. Only months whose bars changed are looked at, and in them sessions made from the
    same bars as before stay, unless `whole`. A root whose raw bars failed an ERROR check is left
    unchanged. `slices`, `inventory` (INVENTORY of what they owe) and `failed` (as from
    `failed_upstream`) are what the caller has read.
    """
    warehouse = session.warehouse
    chosen = session.universe.select(roots)
    failed = dict(failed_upstream(warehouse, chosen) if failed is None else failed)
    derivable = [root for root in chosen if root not in failed]
    tables = derived_tables(derivable, timeframes)
    if not derivable:
        return DeriveOutcome(dict.fromkeys(timeframes, 0), failed)
    if slices is None:
        built = [table.table for table in tables.values()]
        slices = BuildSlices.read(warehouse, built, derivable, whole)
    owed = {timeframe: slices.owed(built) for timeframe, built in tables.items()}
    windows = pl.concat([each.windows for each in owed.values()]).unique()
    if inventory is None:
        inventory = read_inventory(warehouse, windows, ("1m", "1h"))
    existing = _read_existing(warehouse, windows, timeframes)
    changed = {
        timeframe: _changed(timeframe, own, inventory, existing[timeframe], whole)
        for timeframe, own in owed.items()
    }
    statements = [
        statement
        for number, batch in enumerate(_batches(changed, batch_bars))
        for statement in derive_statements(warehouse, batch, timeframes, number)
    ]
    statements += store_slices(
        warehouse, {DERIVED[timeframe]: own.months for timeframe, own in owed.items()}
    )
    if statements:
        warehouse.transact(statements)
    return DeriveOutcome({t: frame.height for t, frame in changed.items()}, failed)


def _changed(
    timeframe: DerivedTimeframe,
    owed: Owed,
    inventory: pl.DataFrame,
    existing: pl.DataFrame,
    whole: bool,
) -> pl.DataFrame:
    """Return the sessions to derive, as in INVENTORY, and whether each `exists`.

    One that is to be deleted has no bars and no `built_from`.
    """
    of_sources = inventory.filter(pl.col("built_from").is_in(SOURCES[timeframe]))
    wanted = choose_finest(within(of_sources, owed.windows))
    existing = within(existing, owed.windows)
    done = existing.clear() if whole else up_to_date(existing, wanted)
    columns = ("root", *_SESSION, "built_from", "kind", "load_ids", "bars", "volume")
    deleted = existing.join(wanted, on=_SESSION, how="anti").unique(_SESSION)
    nothing = pl.lit(0, pl.Int64)
    emptied = deleted.select("root", *_SESSION, bars=nothing, volume=nothing)
    stale = wanted.join(done, on=_SESSION, how="anti").select(columns)
    keys = existing.select(_SESSION).unique().with_columns(exists=True)
    return (
        pl.concat([stale, emptied], how="diagonal")
        .join(keys, on=_SESSION, how="left")
        .with_columns(pl.col("exists").fill_null(False))
        .sort("trade_date", "root", "symbol")
    )


def _read_existing(
    warehouse: Warehouse, windows: pl.DataFrame, timeframes: Sequence[DerivedTimeframe]
) -> dict[DerivedTimeframe, pl.DataFrame]:
    """Return the derived sessions in these windows, as `up_to_date` takes them, with root."""
    key = ["table_id", "root", *SESSION_KEY]
    queries = derived_queries(windows, timeframes)
    parts = [warehouse.query(query.sql, query.params) for query in queries]
    if not parts:
        schema = DERIVED["4h"].schema_of("root", *SESSION_KEY, "volume", "contract", "load_ids")
        return dict.fromkeys(timeframes, pl.DataFrame(schema=schema))
    rows = pl.concat(parts).unique().with_columns(pl.col("loads").str.split(" ").alias("load_ids"))
    columns = (*key, "volume", "contract", "load_ids")
    is_mixed = rows.select(key).is_duplicated()
    mixed = rows.filter(is_mixed).sort("last_ts").group_by(key)
    sums = mixed.agg(pl.col("volume").sum(), pl.col("contract").last())
    loads = mixed.agg(pl.col("load_ids").explode().unique().sort())
    every = pl.concat(
        [rows.filter(~is_mixed).select(columns), sums.join(loads, on=key).select(columns)]
    )
    return {t: every.filter(table_id=DERIVED[t].id).drop("table_id") for t in timeframes}


def derived_queries(
    windows: pl.DataFrame, timeframes: Sequence[DerivedTimeframe] = DERIVED_TIMEFRAMES
) -> list[Statement]:
    """Return what asks for the derived sessions in these WINDOWS."""
    sql = " UNION ALL ".join(
        f"({load_sql('build/derived_inventory', derived=DERIVED[t].id)})" for t in timeframes
    )
    return [Statement(sql, span) for span in spans_of(windows)]


def _batches(
    changed: Mapping[DerivedTimeframe, pl.DataFrame], most: int
) -> Iterator[dict[DerivedTimeframe, pl.DataFrame]]:
    """Yield the changed sessions by date, about `most` bars at a time."""
    key = ["trade_date", "root", "symbol"]
    sessions = (
        pl.concat([frame.select(*key, "bars") for frame in changed.values()])
        .group_by(key)
        .agg(pl.col("bars").max())
        .sort(key)
        .with_columns(batch=(pl.col("bars").cum_sum() - pl.col("bars")) // most)
        .with_row_index("session_no")
        .with_columns(pl.col("session_no").cast(pl.Int64))
    )
    for part in log_steps(
        sessions.drop("bars").partition_by("batch", maintain_order=True),
        lambda part: f"deriving bars of {part.height:,} sessions",
        weigh=lambda part: part.height,
        logger=logger,
    ):
        yield {
            timeframe: own
            for timeframe, frame in changed.items()
            if not (own := frame.join(part, on=key, maintain_order="left")).is_empty()
        }


class _Batch:
    """The statements that replace the derived bars of some sessions."""

    def __init__(self, warehouse: Warehouse, number: int) -> None:
        self.statements: list[Statement] = []
        self._warehouse = warehouse
        self._number = number
        self._staged: list[tuple[str, pl.DataFrame]] = []
        self._sums: list[str] = []

    def replace(
        self,
        timeframe: DerivedTimeframe,
        sessions: pl.DataFrame,
        finer: DerivedTimeframe | None,
        span: Params,
    ) -> None:
        """Derive these sessions again; from the bars of a finer timeframe where they suffice."""
        names = {"table": DERIVED[timeframe].id, "chosen": self._stage(sessions)}
        if sessions["exists"].any():
            self._add("delete_derived", names, span)
        is_pure = pl.col("load_ids").list.len() == 1
        for source in SOURCES[timeframe]:
            of_source = sessions.filter(pl.col("built_from") == source)
            from_finer = finer is not None and source == "1m"
            raw = RAW[source].id
            parts = (
                (of_source.filter(is_pure), DERIVED[finer].id if from_finer else raw, ""),  # type: ignore[index]
                (of_source.filter(~is_pure), raw, _COLLECT_LOADS),
            )
            for own, table, loads in parts:
                if own.is_empty():
                    continue
                texts = {
                    "derived": DERIVED[timeframe].id,
                    "source": table,
                    "chosen": self._stage(own),
                    "built_from": source,
                    "loads": loads,
                    "load_ids": "bars.load_ids" if loads else "chosen.load_ids",
                }
                self._add("derive_bars", texts | self._step(timeframe, span), span)
        self._sums.append(f"({load_sql('build/assert_derived', **names)})")

    def assert_volumes(self, span: Params) -> None:
        """Assert that the derived bars have the volume of the bars that they were derived from."""
        self.statements.append(
            Assertion(
                " UNION ALL ".join(self._sums),
                span,
                subject="{0}",
                message="{1} sessions would have another volume than their bars, the first of {2}",
                remedy="Nothing was published.",
            )
        )

    def _add(self, name: str, texts: Mapping[str, str], params: Params) -> None:
        self.statements.append(Statement(load_sql(f"build/{name}", **texts), params))

    def _step(self, timeframe: DerivedTimeframe, span: Params) -> dict[str, str]:
        """Return the texts for the bounds of a step."""
        if minutes := STEP_MINUTES.get(timeframe):
            micros = minutes * 60_000_000
            start = f"DIV(UNIX_MICROS(raw.ts_event), {micros}) * {micros}"
            return {"start": start, "stop": f"{start} + {micros}", "steps": ""}
        hours = self._stage(four_hour_steps(span["first_ts"], span["last_ts"]))
        on = f"hours.hour_no = DIV(UNIX_MICROS(raw.ts_event), {HOUR_MICROS})"
        steps = f"\n  JOIN `{hours}` AS hours ON {on}"
        return {"start": "hours.start", "stop": "hours.stop", "steps": steps}

    def _stage(self, frame: pl.DataFrame) -> str:
        """Stage a frame; the timeframes of a batch mostly have the same sessions."""
        frame = frame.select(name for name in frame.columns if name not in _NOT_STAGED)
        for name, staged in self._staged:
            if staged.equals(frame):
                return name
        name = self._warehouse.stage_frame(f"derive_{self._number}_{len(self._staged)}", frame)
        self._staged.append((name, frame))
        return name


def derive_statements(
    warehouse: Warehouse,
    batch: Mapping[DerivedTimeframe, pl.DataFrame],
    timeframes: Sequence[DerivedTimeframe],
    number: int,
) -> list[Statement]:
    """Return the statements that replace the derived bars of a batch of sessions.

    `batch` has what `_changed` returns and `session_no`, by timeframe. Steps are aligned to Chicago
    time and never cross trade dates or contracts: if the contract behind a symbol changes within a
    step, each contract has a bar of its own. A step without bars yields none. A price is null if a
    bar that it depends on lacks it.
    """
    dates = pl.concat([sessions.select("root", "trade_date") for sessions in batch.values()])
    first, last = dates["trade_date"].min(), dates["trade_date"].max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    span = span_of(set(dates["root"]), first, last)
    made = _Batch(warehouse, number)
    finer: DerivedTimeframe | None = None
    for timeframe in timeframes:
        if timeframe in batch:
            made.replace(timeframe, batch[timeframe], finer, span)
        finer = timeframe
    made.assert_volumes(span)
    return made.statements
