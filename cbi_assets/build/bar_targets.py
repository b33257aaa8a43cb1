"""Find the trade dates whose bars changed, and compute the rows of a training table of bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import (
    LONGEST_HOLIDAY,
    all_dates,
    spans_of,
    within,
)
from cbi_assets.build.date_counts import COUNTS
from cbi_assets.build.owed_targets import BARS, STEPS
from cbi_assets.config.training import TrainingTable
from cbi_assets.features.targets import Steps, intraday_targets, no_symbols
from cbi_assets.tables import RAW, TRAINING
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.read_ahead import query_alike
from cbi_assets.warehouse.sql_files import load_sql

BATCH_BARS: Final = 250_000
"""Approximate number of bars in memory at a time; a trade date is never split."""

_BEFORE: Final = dt.timedelta(days=10)
_AFTER: Final = dt.timedelta(days=2)


@dataclass(frozen=True)
class OwedBars:
    """A training table of bars, and what is owed of it.

    Parameters
    ----------
    name : str
        The training table.
    table : TrainingTable
        What training.yaml says of it.
    steps : Steps or None
        The root's active sessions; None if it has none.
    matrix : pl.DataFrame
        data_date, timestamp, ingestion_ts, price_source of the root's matrix rows.
    windows : pl.DataFrame
        WINDOWS that the changed trade dates are in, and the newest one.
    """

    name: str
    table: TrainingTable
    steps: Steps | None
    matrix: pl.DataFrame
    windows: pl.DataFrame


@dataclass(frozen=True)
class BarDates:
    """The trade dates of a table in its owed windows, as they are to be and as they are.

    `dates` has a row per date of bars and what its rows depend on; `existing` a row per date of the
    training table, with the same and COUNTS.
    """

    owed: OwedBars
    dates: pl.DataFrame
    existing: pl.DataFrame
    known: pl.DataFrame

    def stale(self) -> pl.DataFrame:
        """Return the dates whose rows are to be computed, sorted.

        These have other loads, a matrix row that was written again, or another horizon; or one was
        the newest and no longer is.
        """
        evidence = ("bars", "loads", "first_row", "last_row", "first_written", "last_written")
        is_newest = pl.col("last_end") == pl.col("last_end").max()
        horizon = pl.lit(self.owed.table.horizon, pl.Int64)
        same = (
            self.dates.with_columns(horizon=horizon, is_newest=is_newest)
            .join(
                self.existing.drop("first_end", "last_end"),
                on=["trade_date", *evidence, "horizon"],
                how="inner",
                nulls_equal=True,
            )
            .filter(pl.col("is_newest") | (pl.col("not_yet") == 0))
        )
        return self.dates.join(same, on="trade_date", how="anti").sort("trade_date")

    def counts(self) -> pl.DataFrame:
        """Return COUNTS of what exists."""
        return self.existing.rename({"bars": "row_count"}).select(COUNTS.names())

    def gone(self) -> list[dt.date]:
        """Return the dates of the training table that have no bars now."""
        gone = self.existing.join(self.dates, on="trade_date", how="anti")
        return gone["trade_date"].sort().to_list()

    def replaced(self, dates: Collection[dt.date]) -> pl.DataFrame:
        """Return what exists of these dates."""
        return self.existing.filter(pl.col("trade_date").is_in(list(dates)))


@dataclass(frozen=True)
class FreshBars:
    """Rows of a table of bars, and the trade dates that they replace all rows of."""

    name: str
    root: str
    rows: pl.DataFrame
    dates: list[dt.date]
    replaced: pl.DataFrame

    @property
    def removed(self) -> int:
        """The number of rows on dates that have none now."""
        dates = self.rows["trade_date"].unique().to_list() if self.rows.width else []
        return int(self.replaced.filter(~pl.col("trade_date").is_in(dates))["bars"].sum())


def read_bar_dates(warehouse: Warehouse, owed: Sequence[OwedBars]) -> dict[str, BarDates]:
    """Read the trade dates of tables of bars, and what their rows were made from, by table."""
    wanted = _read_dates(warehouse, owed)
    again = []
    for each in owed:
        newest = (each.windows["last"].max() - LONGEST_HOLIDAY - dt.timedelta(days=1)).replace(  # type: ignore[operator, union-attr]
            day=1
        )
        if wanted[each.name].filter(pl.col("trade_date") >= newest).is_empty():
            # the newest bar of a session is in an earlier month
            again.append(replace(each, windows=all_dates([each.table.root])))
    wanted |= _read_dates(warehouse, again)
    every = list({each.name: each for each in (*owed, *again)}.values())
    existing = _read_existing(warehouse, every)
    found = {}
    for each in every:
        known = known_rows(each.matrix, wanted[each.name])
        dates = _with_evidence(wanted[each.name], known)
        found[each.name] = BarDates(each, dates, existing[each.name], known)
    return found


def read_counts(warehouse: Warehouse, tables: Sequence[OwedBars]) -> dict[str, pl.DataFrame]:
    """Return COUNTS of the rows of tables in their windows."""
    found = _read_existing(warehouse, tables)
    return {
        name: rows.rename({"bars": "row_count"}).select(COUNTS.names())
        for name, rows in found.items()
    }


def fresh_bars(warehouse: Warehouse, every: Collection[BarDates]) -> Iterator[list[FreshBars]]:
    """Yield what replaces rows of tables of bars, at most about BATCH_BARS of all tables at once.

    A table occurs once in each list.
    """
    batch: list[tuple[BarDates, pl.DataFrame]] = []
    for own in every:
        batches = (pl.col("bars").cum_sum() - pl.col("bars")) // BATCH_BARS
        stale = own.stale().with_columns(batch=batches)
        parts = stale.partition_by("batch", maintain_order=True)
        if not parts and own.gone():
            parts = [stale]
        for number, part in enumerate(parts):
            count = sum(int(each["bars"].sum()) for _, each in [*batch, (own, part)])
            if batch and (number or count > BATCH_BARS):
                yield _compute(warehouse, batch)
                batch = []
            batch.append((own, part))
    if batch:
        yield _compute(warehouse, batch)


def _compute(
    warehouse: Warehouse, batch: Sequence[tuple[BarDates, pl.DataFrame]]
) -> list[FreshBars]:
    bars = _read_bars(warehouse, [(own.owed, part) for own, part in batch if part.height])
    found = []
    for own, part in batch:
        rows, dates = pl.DataFrame(), part["trade_date"].to_list()
        if dates:
            newest_end = own.dates["last_end"].max()
            assert isinstance(newest_end, dt.datetime)
            rows = intraday_targets(bars[own.owed.name], own.owed.table.horizon, newest_end)
            rows = _with_rows(rows.drop("ts_event", "contract"), own.known)
        if part["batch"].sum() == 0:  # the first batch of the table
            dates = [*own.gone(), *dates]
        replaced = own.replaced(dates)
        found.append(FreshBars(own.owed.name, own.owed.table.root, rows, dates, replaced))
    return found


def known_rows(matrix: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Return when each matrix row was known: known_at, data_date, ingestion_ts; sorted.

    `ends` has the end of each trade_date's last bar, which may be after the stated close. A row of
    the vendor's 1d bars knows its UTC day, which ends after the session.
    """
    day_end = pl.col("data_date").dt.offset_by("1d").cast(pl.Datetime("us", "UTC"))
    is_daily = pl.col("price_source") == RAW["1d"].id
    close = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    last_ends = ends.select(data_date="trade_date", last_end=pl.col("last_end"))
    return (
        matrix.join(last_ends, on="data_date", how="left")
        .select(
            pl.max_horizontal(close, "last_end", pl.when(is_daily).then(day_end)).alias("known_at"),
            "data_date",
            "ingestion_ts",
        )
        .sort("known_at")
    )


def _with_rows(bars: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add the newest matrix row known by each bar's end: data_date, ingestion_ts."""
    return bars.join_asof(
        known, left_on="bar_end", right_on="known_at", strategy="backward", check_sortedness=False
    ).drop("known_at", strict=False)


def _source(table: TrainingTable) -> tuple[str, dict[str, str]]:
    """Return the id of a size's table, and how its columns are written."""
    assert table.bar is not None
    source = BARS[table.bar].id
    if (step := STEPS.get(table.bar)) is None:
        return source, {
            "bar_end": "own.bar_end",
            "loads": "ARRAY_TO_STRING(own.load_ids, ' ')",
        }
    return source, {
        "bar_end": f"TIMESTAMP_ADD(own.ts_event, INTERVAL 1 {step})",
        "loads": "own.load_id",
    }


def _read_dates(warehouse: Warehouse, owed: Sequence[OwedBars]) -> dict[str, pl.DataFrame]:
    """Return each trade date's symbol, contract, number of bars, loads, first and last end."""
    queries = []
    for each in owed:
        source, names = _source(each.table)
        queries.append((each, load_sql("training/bar_dates", table=source, **names)))
    found = {}
    for name, every in _read_within(warehouse, queries).items():
        ends = every.with_columns(pl.col("first_end", "last_end").cast(pl.Datetime("us", "UTC")))
        (steps,) = (each.steps for each in owed if each.name == name)
        symbols = no_symbols() if steps is None else steps.symbols
        found[name] = (
            symbols.join(ends, on=["symbol", "trade_date"])
            .sort("trade_date", "rank")
            .unique("trade_date", keep="first", maintain_order=True)
        )
    return found


def _read_existing(warehouse: Warehouse, tables: Sequence[OwedBars]) -> dict[str, pl.DataFrame]:
    """Return what the rows of training tables were made from, and COUNTS, by trade date."""
    queries = [
        (each, load_sql("training/built_dates", table=TRAINING[each.name].id)) for each in tables
    ]
    return {
        name: rows.cast({n: kind for n, kind in COUNTS.items() if n in rows.columns})
        for name, rows in _read_within(warehouse, queries).items()
    }


def _read_within(
    warehouse: Warehouse, queries: Sequence[tuple[OwedBars, str]]
) -> dict[str, pl.DataFrame]:
    """Run queries on the bars of the tables' WINDOWS, alike, and return their rows by table.

    `spans_of` says how they are limited.
    """
    asked = [
        (each, Statement(sql, span)) for each, sql in queries for span in spans_of(each.windows)
    ]
    answers = query_alike(warehouse, [statement for _, statement in asked])
    found = {}
    for each, _ in queries:
        own = [rows for (of, _), rows in zip(asked, answers, strict=True) if of is each]
        rows = pl.concat(own).with_columns(root=pl.lit(each.table.root, pl.String))
        found[each.name] = within(rows, each.windows).drop("root").unique(maintain_order=True)
    return found


def _with_evidence(dates: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add the first and last matrix row behind each date's bars, and when these were written."""
    for end, row, written in (
        ("first_end", "first_row", "first_written"),
        ("last_end", "last_row", "last_written"),
    ):
        dates = (
            dates.sort(end)
            .join_asof(
                known.rename({"data_date": row, "ingestion_ts": written}),
                left_on=end,
                right_on="known_at",
                strategy="backward",
                check_sortedness=False,
            )
            .drop("known_at", strict=False)
        )
    ends = (("first_row", "last_row"), ("first_written", "last_written"))
    return dates.with_columns(
        *(pl.min_horizontal(names).alias(names[0]) for names in ends),
        *(pl.max_horizontal(names).alias(names[1]) for names in ends),
    ).sort("trade_date")


def _read_bars(
    warehouse: Warehouse, chosen: Sequence[tuple[OwedBars, pl.DataFrame]]
) -> dict[str, pl.DataFrame]:
    """Return by table the bars of these dates' symbols, one per bar_end.

    Of two contracts in one bar, the vendor's symbol changed: the later one trades on, and is the
    contract of the bar that follows.
    """
    queries = []
    for own, dates in chosen:
        source, names = _source(own.table)
        first, last = dates["trade_date"].min(), dates["trade_date"].max()
        assert isinstance(first, dt.date)
        assert isinstance(last, dt.date)
        span = {"first": _midnight(first - _BEFORE), "end": _midnight(last + _AFTER)}
        staged = warehouse.stage_frame(f"{own.name}_dates", dates.select("symbol", "trade_date"))
        sql = load_sql("training/bar_rows", table=source, chosen=staged, **names)
        queries.append(Statement(sql, {"root": own.table.root, **span}))
    utc = pl.Datetime("us", "UTC")
    found = {}
    answers = query_alike(warehouse, queries)
    for (own, dates), bars in zip(chosen, answers, strict=True):
        last_contract = dates.select("trade_date", last_contract="contract")
        found[own.name] = (
            bars.with_columns(pl.col("ts_event", "bar_end").cast(utc))
            .join(last_contract, on="trade_date", how="left")
            .sort("bar_end", pl.col("contract") == pl.col("last_contract"))
            .unique("bar_end", keep="last", maintain_order=True)
            .drop("last_contract", "symbol")
        )
    return found


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
