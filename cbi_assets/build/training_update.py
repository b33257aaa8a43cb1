"""Bring training tables up to date: what their rows were, are to be, and how they are replaced."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cbi_assets.build.bar_targets import (
    BarDates,
    FreshBars,
    OwedBars,
    fresh_bars,
    read_bar_dates,
    read_counts,
)
from cbi_assets.build.build_slices import BuildSlices, Owed, all_dates, store_slices
from cbi_assets.build.date_counts import (
    count_by_date,
    months_to_store,
    stored_counts,
    update_counts,
)
from cbi_assets.build.owed_targets import RULES, MonthTexts, owed_daily_months, owed_months
from cbi_assets.build.training_statements import (
    assert_row_counts,
    replace_bars,
    replace_daily_rows,
)
from cbi_assets.config.training import TrainingTable
from cbi_assets.counted_steps import log_step
from cbi_assets.features.targets import TARGET_COLUMNS, Steps, daily_targets, no_symbols
from cbi_assets.tables import TRAINING, TableSpec
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.read_ahead import query_alike

_NONE: Final = pl.DataFrame()
_MONTH: Final = pl.col("data_date").dt.truncate("1mo")


@dataclass(frozen=True)
class RootInputs:
    """What the targets of a root's rows are computed from.

    Attributes
    ----------
    matrix : pl.DataFrame
        data_date, timestamp, ingestion_ts, price_source of its matrix rows, sorted by data_date.
    steps : Steps or None
        Its daily returns; None without sessions.
    """

    matrix: pl.DataFrame
    steps: Steps | None

    def month_texts(self) -> MonthTexts:
        """Return what rows of bars depend on besides the bars."""
        symbols = no_symbols() if self.steps is None else self.steps.symbols
        return MonthTexts.of(symbols.select("trade_date", pl.exclude("trade_date")), self.matrix)


@dataclass(frozen=True)
class Change:
    """How many rows were written and removed, and the hash of what the table was built from."""

    digest: str
    written: int = 0
    removed: int = 0


class TrainingUpdate:
    """Brings tables up to date: what their rows were and are to be, and what has changed.

    `counts` are COUNTS of the tables, `changes` what was done to them.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        tables: Mapping[str, TrainingTable],
        slices: BuildSlices,
        inputs: Mapping[str, RootInputs],
        changed: Mapping[str, Collection[dt.date]],
    ) -> None:
        self.changes: dict[str, Change] = {}
        self.counts: dict[str, pl.DataFrame] = {}
        self._warehouse = warehouse
        self._tables = tables
        self._slices = slices
        self._inputs = inputs
        self._changed = changed
        self._done: dict[TableSpec, pl.DataFrame] = {}
        self._totals = {name: slices.row_counts[TRAINING[name].id] for name in tables}

    def daily(self) -> list[Statement]:
        """Return the statements that bring the tables of trade dates up to date."""
        rows, owed = {}, {}
        for name, table in self._tables.items():
            if table.bar is not None:
                continue
            again = self._changed.get(table.root, ())
            rows[name] = _daily_rows(self._inputs[table.root], table.horizon)
            months = owed_daily_months(name, table, rows[name], self._slices, again)
            self._done[TRAINING[name]] = months
            self.counts[name] = count_by_date(rows[name], "data_date")
            self.changes[name] = Change(_digest(table, rows[name]))
            if not months.is_empty():
                owed[name] = months
        existing = self._read_daily(owed)
        statements, changed = [], {}
        for name, months in owed.items():
            is_owed = _MONTH.is_in(months["month"].implode())
            # an earlier version recorded no months: what it left may be in one without rows now
            is_gone = ~pl.col("data_date").is_in(rows[name]["data_date"].implode())
            fresh, before = rows[name].filter(is_owed), existing[name].filter(is_owed | is_gone)
            root = self._tables[name].root
            written, removed, own = replace_daily_rows(self._warehouse, name, root, fresh, before)
            self.changes[name] = replace(self.changes[name], written=written, removed=removed)
            if own:
                of_others = self._totals[name] - existing[name].height
                changed[name] = rows[name].height + of_others
                statements += own
        return [*statements, assert_row_counts(changed)] if changed else []

    def _read_daily(self, names: Collection[str]) -> dict[str, pl.DataFrame]:
        """Return the rows that exist in tables of trade dates, without their features."""
        columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
        filled = [name for name in names if self._totals[name]]
        queries = [
            Statement(
                f"SELECT {', '.join(columns)} FROM `{TRAINING[name].id}` WHERE symbol = @root",
                {"root": self._tables[name].root},
            )
            for name in filled
        ]
        empty = {n: pl.DataFrame(schema=TRAINING[n].schema_of(*columns)) for n in names}
        found = query_alike(self._warehouse, queries)
        return empty | dict(zip(filled, found, strict=True))

    def bars(self) -> list[Statement]:
        """Return the statements that bring the tables of bars up to date, and record all months.

        If these are many rows, some of them are published here.
        """
        owed: dict[str, Owed] = {}
        texts = {root: own.month_texts() for root, own in self._inputs.items()}
        for name, table in self._tables.items():
            if table.bar is None:
                continue
            again = self._changed.get(table.root, ())
            owed[name] = owed_months(name, table, self._slices, texts[table.root], again)
            self.changes[name] = Change(_digest(table, self._inputs[table.root].matrix))
        dates = read_bar_dates(
            self._warehouse,
            [
                OwedBars(name, self._tables[name], inputs.steps, inputs.matrix, own.windows)
                for name, own in owed.items()
                if not own.months.is_empty()
                for inputs in [self._inputs[self._tables[name].root]]
            ],
        )
        self._count_bars(owed, dates)
        statements: list[Statement] = []
        for batch in fresh_bars(self._warehouse, dates.values()):
            log_step(f"replacing bars of {', '.join(fresh.name for fresh in batch)}")
            if statements:
                self._warehouse.transact(statements)
            statements = [statement for fresh in batch for statement in self._replace(fresh)]
            statements.append(assert_row_counts({f.name: self._totals[f.name] for f in batch}))
        for name, own in owed.items():
            stored = self._stored(name)
            self._done[TRAINING[name]] = months_to_store(stored, own.months, self.counts[name])
        return [*statements, *store_slices(self._warehouse, self._done)]

    def _stored(self, name: str) -> pl.DataFrame:
        own = {"table_id": TRAINING[name].id, "root": self._tables[name].root}
        return self._slices.stored.filter(**own)

    def _count_bars(self, owed: Collection[str], dates: Mapping[str, BarDates]) -> None:
        """Count the rows of tables of bars as they are: by what is stored, where that agrees."""
        missing = []
        for name in owed:
            known = stored_counts(self._stored(name))
            if known is None or known["row_count"].sum() != self._totals[name]:
                root = self._tables[name].root
                missing.append(OwedBars(name, self._tables[name], None, _NONE, all_dates([root])))
            else:
                self.counts[name] = known
        self.counts |= read_counts(self._warehouse, missing)
        for name, own in dates.items():
            self.counts[name] = update_counts(
                self.counts[name], own.counts(), own.owed.windows, own.owed.table.root
            )

    def _replace(self, fresh: FreshBars) -> list[Statement]:
        name, before = fresh.name, self.changes[fresh.name]
        is_gone = ~pl.col("trade_date").is_in(fresh.dates)
        parts = [self.counts[name].filter(is_gone), count_by_date(fresh.rows, "trade_date")]
        self.counts[name] = pl.concat(parts).sort("trade_date")
        self._totals[name] += fresh.rows.height - int(fresh.replaced["bars"].sum())
        self.changes[name] = replace(
            before,
            written=before.written + fresh.rows.height,
            removed=before.removed + fresh.removed,
        )
        return replace_bars(self._warehouse, fresh)


def _daily_rows(inputs: RootInputs, horizon: int) -> pl.DataFrame:
    """Return data_date, ingestion_ts and TARGET_COLUMNS of the matrix rows that have a session."""
    rows = inputs.matrix.select("data_date", "ingestion_ts")
    if inputs.steps is None or rows.is_empty():
        return rows.clear()
    rows = rows.filter(pl.col("data_date").is_in(inputs.steps.closes["trade_date"].implode()))
    targets = daily_targets(rows, inputs.steps, horizon)
    return rows.join(targets, on="data_date", maintain_order="left")


def _digest(table: TrainingTable, frame: pl.DataFrame) -> str:
    text = f"{RULES} {table.model_dump_json()} {frame.write_csv()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
