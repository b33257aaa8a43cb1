"""Read the rows of training tables that are checked, those of all tables in a few statements."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import EVER, LONGEST_HOLIDAY, NO_CUTOFF, month_after
from cbi_assets.checks.check import CheckContext
from cbi_assets.checks.slices import Span, spans_of
from cbi_assets.config.training import TrainingTable
from cbi_assets.tables import TRAINING
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.read_ahead import query_alike

SAMPLED_DATES: Final = 20
"""Trade dates whose bars are compared at most: a table of 1m bars has millions."""

_DATES_PER_MONTH: Final = 5
"""How many of these are of each month that changed, if others have not."""

_EVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NEVER: Final = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)

Months = Collection[dt.date] | None
"""First days of months; None for all."""


@dataclass(frozen=True)
class StoredRows:
    """A training table's rows to check: of one of bars, those of a few dates.

    `windows` has of every date `first`, and in `last` the last date that its targets see; null if
    it has no target. `is_whole` says that no month is left out.
    """

    table: TrainingTable
    rows: pl.DataFrame
    windows: pl.DataFrame
    seed: int
    is_whole: bool


def read_rows(
    context: CheckContext, wanted: Mapping[str, tuple[TrainingTable, Months]]
) -> dict[str, StoredRows]:
    """Read by table the rows of these months: of a table of bars, those of a few dates."""
    seed = int(f"{context.session.now:%Y%m%d}")
    daily = {name: own for name, own in wanted.items() if own[0].bar is None}
    bars = {name: own for name, own in wanted.items() if own[0].bar is not None}
    found = {
        name: StoredRows(daily[name][0], rows, windows_of(rows), seed, daily[name][1] is None)
        for name, rows in _read_daily(context, daily).items()
    }
    dates = _dates_in(context, bars)
    drawn = {name: _draw_dates(dates[name], months, seed) for name, (_, months) in bars.items()}
    for name, rows in _read_bars(
        context, {n: own[0].root for n, own in bars.items()}, drawn
    ).items():
        table, months = bars[name]
        windows = dates[name].select(first="trade_date", last="last_target")
        found[name] = StoredRows(table, rows, windows, seed, months is None)
    return found


def windows_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the windows of a daily table's rows."""
    return rows.select(first="data_date", last="target_date")


def _read_daily(
    context: CheckContext, wanted: Mapping[str, tuple[TrainingTable, Months]]
) -> dict[str, pl.DataFrame]:
    queries = [
        Statement(
            f"SELECT {', '.join(TRAINING[name].column_names)} FROM `{TRAINING[name].id}` "
            "WHERE symbol = @root AND data_date BETWEEN @first AND @last",
            {
                "root": table.root,
                "first": min(months or [EVER]),
                "last": month_after(max(months or [NO_CUTOFF])),
            },
        )
        for name, (table, months) in wanted.items()
    ]
    found = {}
    answers = query_alike(context.session.warehouse, queries)
    for (name, (_, months)), rows in zip(wanted.items(), answers, strict=True):
        if months is not None:
            month = pl.col("data_date").dt.truncate("1mo")
            rows = rows.filter(month.is_in(list(months)))
        found[name] = rows.sort("data_date")
    return found


def _dates_in(
    context: CheckContext, wanted: Mapping[str, tuple[TrainingTable, Months]]
) -> dict[str, pl.DataFrame]:
    """Return by table the trade dates with bars in these months, sorted.

    trade_date, first_end and last_end of its bars, and the last target date.
    """
    asked = [
        (name, span, _dates_query(name, table.root, span))
        for name, (table, months) in wanted.items()
        for span in ([Span(_EVER, _NEVER)] if months is None else spans_of(months))
    ]
    answers = query_alike(context.session.warehouse, [query for *_, query in asked])
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in wanted}
    for (name, span, _), rows in zip(asked, answers, strict=True):
        inside = (pl.col("last_end") >= span.first) & (pl.col("first_end") < span.end)
        parts[name].append(rows.filter(inside))
    return {
        name: pl.concat([_no_dates(name), *own])
        .unique("trade_date", keep="first")
        .sort("trade_date")
        for name, own in parts.items()
    }


def _no_dates(name: str) -> pl.DataFrame:
    kinds = TRAINING[name].schema_of("trade_date", "bar_end", "target_date")
    date, end, target = kinds.values()
    return pl.DataFrame(
        schema={"trade_date": date, "first_end": end, "last_end": end, "last_target": target}
    )


def _dates_query(name: str, root: str, span: Span) -> Statement:
    return Statement(
        "SELECT trade_date, MIN(bar_end) AS first_end, MAX(bar_end) AS last_end, "
        f"MAX(target_date) AS last_target FROM `{TRAINING[name].id}` WHERE symbol = @root "
        "AND bar_end >= @first_ts AND bar_end < @last_ts GROUP BY trade_date",
        # a trade date's first bar may be days before it, its last one in the next month
        {
            "root": root,
            "first_ts": span.first - LONGEST_HOLIDAY,
            "last_ts": span.end + LONGEST_HOLIDAY,
        },
    )


def _draw_dates(dates: pl.DataFrame, months: Months, seed: int) -> list[pl.DataFrame]:
    """Return some of the trade dates, by month: a query of two would read those between."""
    most = SAMPLED_DATES if months is None else _DATES_PER_MONTH * max(len(months), 1)
    drawn = draw(dates["trade_date"].to_list(), min(SAMPLED_DATES, most), seed)
    month = pl.col("first_end").dt.truncate("1mo")
    chosen = dates.filter(pl.col("trade_date").is_in(drawn)).with_columns(month=month)
    return chosen.partition_by("month", maintain_order=True)


def _read_bars(
    context: CheckContext, roots: Mapping[str, str], dates: Mapping[str, Sequence[pl.DataFrame]]
) -> dict[str, pl.DataFrame]:
    """Return by table the rows of these trade dates."""
    asked = [
        (
            name,
            Statement(
                f"SELECT {', '.join(TRAINING[name].column_names)} FROM `{TRAINING[name].id}` "
                "WHERE symbol = @root AND bar_end BETWEEN @first_ts AND @last_ts "
                "AND trade_date IN UNNEST(@dates)",
                {
                    "root": roots[name],
                    "dates": part["trade_date"].to_list(),
                    "first_ts": part["first_end"].min(),
                    "last_ts": part["last_end"].max(),
                },
            ),
        )
        for name, parts in dates.items()
        for part in parts
    ]
    answers = query_alike(context.session.warehouse, [query for _, query in asked])
    parts = {name: [pl.DataFrame(schema=TRAINING[name].polars_schema)] for name in dates}
    for (name, _), rows in zip(asked, answers, strict=True):
        parts[name].append(rows)
    return {n: pl.concat(own, how="vertical_relaxed").sort("bar_end") for n, own in parts.items()}


def draw[Item](items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Draw some of the items; the newest is always one of them."""
    if not items:
        return []
    return [*random.Random(seed).sample(items[:-1], min(count, len(items)) - 1), items[-1]]
