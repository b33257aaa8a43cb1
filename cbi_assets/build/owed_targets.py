"""Find the months of training tables whose rows may differ from what they were built from."""

from __future__ import annotations

import datetime as dt
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import BuildSlices, Owed, last_date_of, windows_of
from cbi_assets.config.training import TrainingTable
from cbi_assets.tables import BUILD_SLICES, DERIVED, RAW, TRAINING, TableSpec

BARS: Final[dict[str, TableSpec]] = {
    "1m": RAW["1m"],
    "1h": RAW["1h"],
    **dict(DERIVED.items()),
}
"""The tables of bars, by size."""

STEPS: Final = {"1m": "MINUTE", "1h": "HOUR"}
"""The unit of time that a bar of a raw table takes, by size."""

RULES: Final = 1
"""Increase it if the formula of a target or the layout of folds changes: all rows are compared."""

_WANTED: Final = BUILD_SLICES.schema_of("root", "month", "rule", "ledger")


@dataclass(frozen=True)
class MonthTexts:
    """What rows of bars depend on besides the bars: sessions and matrix rows, as sorted lines."""

    dates: list[dt.date]
    lines: list[str]

    @classmethod
    def of(cls, *frames: pl.DataFrame) -> MonthTexts:
        """Return the rows of these frames, whose first column is the date."""
        parts = [
            frame.select(
                date=pl.col(frame.columns[0]),
                line=pl.concat_str(pl.all().cast(pl.String).fill_null("-"), separator=" "),
            )
            for frame in frames
        ]
        rows = pl.concat(parts).sort("date", "line")
        return cls(rows["date"].to_list(), rows["line"].to_list())

    def of_month(self, month: dt.date) -> str:
        """Return the lines of the trade dates that the month's bars may be of, and two before."""
        first = max(bisect_left(self.dates, month) - 2, 0)
        return "\n".join(self.lines[first : bisect_right(self.dates, last_date_of(month))])


def owed_months(
    name: str,
    table: TrainingTable,
    slices: BuildSlices,
    texts: MonthTexts,
    changed: Collection[dt.date],
) -> Owed:
    """Return what is owed of a training table of bars: the months whose rows may differ.

    A month's ledger is a hash of what the ledger says of its bars, of what else its rows depend on,
    and of whether it is the newest.

    Parameters
    ----------
    name, table
        The training table, and what training.yaml says of it.
    slices : BuildSlices
        Of the training tables, and of the derived tables.
    texts : MonthTexts
        Of the root's sessions and matrix rows; two of these are before a month's first.
    changed : collection of dates
        First days of months in which matrix rows were written by this process: another build may
        have written them at the same time of the clock.
    """
    assert table.bar is not None
    source = BARS[table.bar]
    if table.bar in STEPS:
        bars = slices.ledger.filter(root=table.root, timeframe=table.bar).select("month", "ledger")
    else:
        bars = slices.stored.filter(root=table.root, table_id=source.id)
        bars = bars.select("month", ledger=pl.concat_str("rule", "ledger"))
    newest = bars["month"].max()
    rule = _rule(table)
    wanted = [
        (table.root, month, rule, _hash(f"{ledger} {month == newest}\n{texts.of_month(month)}"))
        for month, ledger in bars.iter_rows()
    ]
    owed = slices.compare(
        TRAINING[name],
        pl.DataFrame(wanted, schema=_WANTED, orient="row"),
        [table.root],
        {(table.root, month) for month in changed},
    )
    return owed if owed.months.is_empty() else replace(owed, windows=_with_newest(owed, newest))


def owed_daily_months(
    name: str,
    table: TrainingTable,
    rows: pl.DataFrame,
    slices: BuildSlices,
    changed: Collection[dt.date],
) -> pl.DataFrame:
    """Return the owed months of a training table of trade dates, those whose rows differ.

    A month's ledger is a hash of its `rows`, which have data_date, sorted. `changed` are those of
    `owed_months`.
    """
    lines = pl.concat_str(pl.all().cast(pl.String).fill_null("-"), separator=" ")
    months = (
        rows.select(line=lines, month=pl.col("data_date").dt.truncate("1mo"))
        .group_by("month", maintain_order=True)
        .agg(pl.col("line").str.join("\n"))
    )
    rule = _rule(table)
    wanted = [(table.root, month, rule, _hash(text)) for month, text in months.iter_rows()]
    frame = pl.DataFrame(wanted, schema=_WANTED, orient="row")
    again = {(table.root, month) for month in changed}
    return slices.compare(TRAINING[name], frame, [table.root], again).months


def _rule(table: TrainingTable) -> str:
    return _hash(f"{RULES} {table.model_dump_json()}")


def _with_newest(owed: Owed, newest: object) -> pl.DataFrame:
    """Return the windows with that of the newest month: its last bar limits the known targets."""
    months = owed.months.select("root", "month")
    newest_month = months.head(1).with_columns(month=pl.lit(newest, pl.Date)).drop_nulls()
    return windows_of(pl.concat([months, newest_month]).unique().sort("root", "month"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
