"""What is owed of a built table: the months whose bars have changed since it was built from them.

`ops.build_slices` keeps what the ledger said of the bars of each month of each root. A month is
owed if the ledger says something else now, or if a rule has changed; all others are neither read
nor written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from cbi_assets.ledger.bar_ledger import bar_ledger_query, read_bar_ledger
from cbi_assets.tables import BUILD_SLICES, TableSpec
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.merge import merge_rows
from cbi_assets.warehouse.row_counts import count_rows

EVER: Final = dt.date(1900, 1, 1)
NO_CUTOFF: Final = dt.date(2200, 1, 1)

LONGEST_HOLIDAY: Final = dt.timedelta(days=10)
"""A trade date's first bar is on the evening before the holidays that it follows."""

WINDOWS: Final = pl.Schema({"root": pl.String, "first": pl.Date, "last": pl.Date})
"""Trade dates of roots, from first to last."""

_STORED: Final = Statement(
    f"SELECT {', '.join(BUILD_SLICES.column_names)} FROM `{BUILD_SLICES.id}`"
)
SLICE_READS: Final = (_STORED, bar_ledger_query())
"""What `BuildSlices.read` asks besides the tables' rows."""

_KEY: Final = ("root", "month")
_MERGED: Final = dt.timedelta(days=31)
"""Windows that are this close are read by one statement."""


@dataclass(frozen=True)
class Built:
    """A table that is built by slices: the raw tables it is built from, and its rules by root.

    `sources` are their timeframes, and other names that the ledger has. `legs` are the other roots
    that a root's rows depend on.
    """

    table: TableSpec
    sources: tuple[str, ...]
    rules: Mapping[str, str]
    legs: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Owed:
    """What is owed of a table.

    `months` has root, month, rule and ledger; the latter is null if no bars are left. `windows` has
    the trade dates of their bars.
    """

    months: pl.DataFrame
    windows: pl.DataFrame


@dataclass(frozen=True)
class BuildSlices:
    """What the ledger says of the bars of some roots, and what tables were built from.

    `row_counts` has the rows of these tables, by id.
    """

    ledger: pl.DataFrame
    stored: pl.DataFrame
    whole: bool = False
    row_counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        warehouse: Warehouse,
        tables: Collection[TableSpec],
        roots: Sequence[str],
        whole: bool = False,
    ) -> BuildSlices:
        """Read both, and the tables' rows; a table without rows was built from nothing."""
        row_counts = count_rows(warehouse, tables)
        filled = [table for table, rows in row_counts.items() if rows]
        is_chosen = pl.col("root").is_in(list(roots))
        stored = warehouse.query(_STORED.sql).filter(is_chosen, pl.col("table_id").is_in(filled))
        ledger = read_bar_ledger(warehouse).filter(is_chosen)
        return cls(ledger, stored, whole, row_counts)

    def owed(self, built: Built, roots: Collection[str] | None = None) -> Owed:
        """Return what is owed of a table; of all months if it is to be built as a whole."""
        rules = pl.DataFrame(
            list(built.rules.items()), schema={"root": pl.String, "rule": pl.String}, orient="row"
        )
        if roots is not None:
            rules = rules.filter(pl.col("root").is_in(list(roots)))
        own = self.ledger.filter(pl.col("timeframe").is_in(built.sources))
        of_legs = [
            own.filter(root=leg).with_columns(
                root=pl.lit(root), timeframe=pl.format("{} {}", "root", "timeframe")
            )
            for root, legs in built.legs.items()
            for leg in legs
        ]
        wanted = (
            pl.concat([own, *of_legs])
            .sort("timeframe")
            .group_by(*_KEY)
            .agg(pl.concat_str("timeframe", "ledger", separator=" ").str.join(" ").alias("ledger"))
            .join(rules, on="root")
        )
        return self.compare(built.table, wanted, rules["root"].to_list())

    def compare(
        self,
        table: TableSpec,
        wanted: pl.DataFrame,
        roots: Sequence[str],
        changed: Collection[tuple[str, dt.date]] = (),
    ) -> Owed:
        """Return what is owed of a table if it is to be built from `wanted`.

        `wanted` has root, month, rule and ledger; `changed` are roots and months that are owed
        whatever was stored.
        """
        stored = self.stored.filter(table_id=table.id).filter(pl.col("root").is_in(list(roots)))
        if changed:
            again = pl.DataFrame(list(changed), schema=wanted.select(_KEY).schema, orient="row")
            is_again = stored.join(again, on=_KEY, how="semi").with_columns(rule=pl.lit("none"))
            stored = pl.concat([stored.join(again, on=_KEY, how="anti"), is_again])
        if self.whole:
            stored = stored.with_columns(rule=pl.lit("none"))
        owed = wanted.join(stored, on=[*_KEY, "rule", "ledger"], how="anti")
        gone = stored.join(wanted, on=_KEY, how="anti").with_columns(ledger=pl.lit(None, pl.String))
        columns = (*_KEY, "rule", "ledger")
        months = pl.concat([owed.select(columns), gone.select(columns)]).sort(_KEY)
        return Owed(months, all_dates(roots) if self.whole else windows_of(months))


def windows_of(months: pl.DataFrame) -> pl.DataFrame:
    """Return WINDOWS of the trade dates of months' bars; `months` has root, month, sorted."""
    spans: list[tuple[str, dt.date, dt.date]] = []
    for root, month in months.select(_KEY).iter_rows():
        last = last_date_of(month)
        if spans and spans[-1][0] == root and month <= spans[-1][2]:
            spans[-1] = (root, spans[-1][1], last)
        else:
            spans.append((root, month, last))
    return pl.DataFrame(spans, schema=WINDOWS, orient="row")


def last_date_of(month: dt.date) -> dt.date:
    """Return the last trade date that a bar of this month (its first day) may be of."""
    return month_after(month) + LONGEST_HOLIDAY


def month_after(month: dt.date) -> dt.date:
    """Return the first day of the next month."""
    return (month.replace(day=1) + dt.timedelta(days=31)).replace(day=1)


def within(frame: pl.DataFrame, windows: pl.DataFrame, date: str = "trade_date") -> pl.DataFrame:
    """Return the rows of a frame (root, `date`) that are in a root's windows."""
    if windows.is_empty() or frame.is_empty():
        return frame.clear()
    if windows["root"].is_unique().all():
        bounds = frame.join(windows, on="root", maintain_order="left")
        inside = bounds.filter(pl.col(date).is_between("first", "last"))
        return inside.select(frame.columns)
    numbered = frame.with_row_index("row_no")
    chosen = numbered.select("root", date, "row_no").join(windows, on="root")
    rows = chosen.filter(pl.col(date).is_between("first", "last"))["row_no"].unique()
    return numbered.filter(pl.col("row_no").is_in(rows.implode())).drop("row_no")


def spans_of(windows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what limits each statement that reads windows: roots, trade dates, starts of bars.

    Parameters `roots`, `first` and `last` (trade dates), `first_ts` and `last_ts` (UTC).
    """
    groups: list[tuple[set[str], dt.date, dt.date]] = []
    for root, first, last in windows.sort("first", "last").iter_rows():
        if groups and first <= groups[-1][2] + _MERGED:
            roots, start, end = groups[-1]
            groups[-1] = ({*roots, root}, start, max(end, last))
        else:
            groups.append(({root}, first, last))
    for roots, first, last in groups:
        yield span_of(roots, first, last)


def all_dates(roots: Iterable[str], until: dt.date = NO_CUTOFF) -> pl.DataFrame:
    """Return WINDOWS of all trade dates of these roots, up to `until`."""
    return pl.DataFrame([(root, EVER, until) for root in roots], schema=WINDOWS, orient="row")


def span_of(roots: Iterable[str], first: dt.date, last: dt.date) -> dict[str, Any]:
    """Return the parameters that limit a statement to the bars of these trade dates."""
    midnight = dt.time(tzinfo=dt.UTC)
    return {
        "roots": sorted(roots),
        "first": first,
        "last": last,
        "first_ts": dt.datetime.combine(first - LONGEST_HOLIDAY, midnight),
        "last_ts": dt.datetime.combine(last + dt.timedelta(days=2), midnight),
    }


def store_slices(warehouse: Warehouse, built: Mapping[TableSpec, pl.DataFrame]) -> list[Statement]:
    """Return the statements that record from what tables were built.

    `built` has root, month, rule, ledger by table, and maybe state; a ledger that is null removes
    the month.
    """
    schema = BUILD_SLICES.polars_schema
    rows = pl.concat(
        [
            pl.DataFrame(schema=schema),
            *(months.with_columns(table_id=pl.lit(table.id)) for table, months in built.items()),
        ],
        how="diagonal",
    )
    if rows.is_empty():
        return []
    staged = warehouse.stage_frame("build_slices", rows)
    return [merge_rows(BUILD_SLICES, staged, "fresh.ledger IS NULL")]
