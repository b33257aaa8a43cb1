"""What of the training tables has changed since it passed its checks.

`ops.build_slices` says from what each month of a table was built.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import EVER, LONGEST_HOLIDAY, NO_CUTOFF, month_after
from cbi_assets.checks.check import CheckContext
from cbi_assets.checks.sliced_table import book_of
from cbi_assets.checks.slices import Slice, SliceKey, Span, digest, spans_of
from cbi_assets.config.training import TrainingTable
from cbi_assets.tables import BUILD_SLICES, DAILY_ML_MATRIX, FOLDS, TRAINING, TRAINING_BUILDS

RULES: Final = 1
"""Increase it if a check of training tables changes: everything is checked again."""

_DATES: Final = pl.Schema(
    {
        "trade_date": pl.Date(),
        "first_end": pl.Datetime("us", "UTC"),
        "last_end": pl.Datetime("us", "UTC"),
    }
)
SAMPLED_DATES: Final = 20
"""Trade dates whose bars are compared at most: a table of 1m bars has millions."""

_DATES_PER_MONTH: Final = 5
"""How many of these are of each month that changed, if others have not."""

_EVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NEVER: Final = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
_WHOLE: Final = dt.date(1970, 1, 1)
"""The month under which a table without months is stored."""


@dataclass(frozen=True)
class StoredRows:
    """A training table's rows to check: of one of bars, those of a few dates.

    `is_whole` says that no month is left out.
    """

    table: TrainingTable
    rows: pl.DataFrame
    seed: int
    is_whole: bool


@dataclass(frozen=True)
class Due:
    """The slices of a training table to check, and the keys of stored ones that it lacks.

    `months` has the first days of the months to check; it is None if these are all.
    """

    slices: list[Slice]
    gone: list[SliceKey]
    months: set[dt.date] | None


def due_of(context: CheckContext, name: str, table: TrainingTable) -> Due:
    """Return what has changed of a table since it passed; all of it, if the context is full."""
    table_id = TRAINING[name].id
    stored = book_of(context).stored(table_id)
    wanted = [
        Slice(table.root, month, str(RULES), ledger)
        for month, ledger in _months(context, name, table).items()
    ]
    due = [
        piece
        for piece in wanted
        if context.full
        or (known := stored.get(piece.key)) is None
        or (known.rule, known.ledger) != (piece.rule, piece.ledger)
    ]
    gone = sorted(stored.keys() - {piece.key for piece in wanted})
    return Due(due, gone, None if len(due) == len(wanted) else {piece.month for piece in due})


def folds_due(
    context: CheckContext, folds: pl.DataFrame, tables: Mapping[str, TrainingTable]
) -> dict[str, Slice]:
    """Return by root what its folds depend on, where that has changed since they passed."""
    stored = book_of(context).stored(FOLDS.id)
    texts: dict[str, list[str]] = {}
    for name, table in tables.items():
        months = _months(context, name, table)
        texts.setdefault(table.root, []).append(f"{months} {folds.filter(table=name).rows()}")
    due = {root: Slice(root, _WHOLE, str(RULES), digest(*own)) for root, own in texts.items()}
    return {
        root: piece
        for root, piece in due.items()
        if context.full
        or (known := stored.get(piece.key)) is None
        or (known.rule, known.ledger) != (piece.rule, piece.ledger)
    }


def _months(context: CheckContext, name: str, table: TrainingTable) -> dict[dt.date, str]:
    """Return a hash of what the rows of each month depend on.

    A daily table's month also depends on the root's matrix rows of that month as they are, and the
    newest month of a table of bars on all: they may have been built again.
    """
    matrix = _read(
        context,
        "SELECT symbol, DATE_TRUNC(data_date, MONTH) AS month, COUNT(*) AS row_count, "
        f"MAX(ingestion_ts) AS written FROM `{DAILY_ML_MATRIX.id}` GROUP BY symbol, month",
    ).filter(symbol=table.root)
    built = _read(context, f"SELECT table_id, root, month, rule, ledger FROM `{BUILD_SLICES.id}`")
    own = built.filter(table_id=TRAINING[name].id, root=table.root).sort("month")
    now = str((matrix["row_count"].sum(), matrix["written"].max()))
    if own.is_empty():  # earlier versions recorded no months
        builds = _read(context, f"SELECT `table`, inputs FROM `{TRAINING_BUILDS.id}`")
        return {_WHOLE: digest(*builds.filter(table=name)["inputs"], now)}
    texts = {own["month"].max(): now}
    if table.bar is None:
        texts = {month: f"{rows} {at}" for _, month, rows, at in matrix.iter_rows()}
    return {
        month: digest(rule, ledger, texts.get(month, ""))
        for month, rule, ledger in own.select("month", "rule", "ledger").iter_rows()
    }


def _read(context: CheckContext, sql: str) -> pl.DataFrame:
    def read() -> pl.DataFrame:
        return context.session.warehouse.query(sql)

    return context.once((sql,), read)


def read_rows(
    context: CheckContext, name: str, table: TrainingTable, months: Collection[dt.date] | None
) -> StoredRows:
    """Read the rows of these months (None: of all): of a table of bars, those of a few dates."""
    session, seed = context.session, int(f"{context.session.now:%Y%m%d}")
    sql, params = f"SELECT * FROM `{TRAINING[name].id}` WHERE symbol = @root", {"root": table.root}
    if table.bar is None:
        span = {"first": min(months or [EVER]), "last": month_after(max(months or [NO_CUTOFF]))}
        inside = f"{sql} AND data_date BETWEEN @first AND @last ORDER BY data_date"
        rows = session.warehouse.query(inside, params | span)
        month = pl.col("data_date").dt.truncate("1mo")
        rows = rows if months is None else rows.filter(month.is_in(list(months)))
        return StoredRows(table, rows, seed, months is None)
    dates = _dates_in(context, name, table.root, months)
    most = SAMPLED_DATES if months is None else _DATES_PER_MONTH * max(len(months), 1)
    drawn = draw(dates["trade_date"].to_list(), min(SAMPLED_DATES, most), seed)
    month = pl.col("first_end").dt.truncate("1mo")
    chosen = dates.filter(pl.col("trade_date").is_in(drawn)).with_columns(month=month)
    # a statement per month, or BigQuery would read all months between the first and the last date
    by_month = chosen.partition_by("month") or [chosen]
    parts = [_rows_of(context, name, table.root, own) for own in by_month]
    return StoredRows(table, pl.concat(parts).sort("bar_end"), seed, months is None)


def _dates_in(
    context: CheckContext, name: str, root: str, months: Collection[dt.date] | None
) -> pl.DataFrame:
    """Return the trade dates with bars in these months (None: in all), sorted.

    trade_date, first_end and last_end of its bars.
    """
    spans = [Span(_EVER, _NEVER)] if months is None else spans_of(months)
    parts = [pl.DataFrame(schema=_DATES)]
    for span in spans:
        rows = context.session.warehouse.query(
            "SELECT trade_date, MIN(bar_end) AS first_end, MAX(bar_end) AS last_end "
            f"FROM `{TRAINING[name].id}` WHERE symbol = @root "
            "AND bar_end >= @first_ts AND bar_end < @last_ts GROUP BY trade_date",
            # a trade date's first bar may be days before it, its last one in the next month
            {
                "root": root,
                "first_ts": span.first - LONGEST_HOLIDAY,
                "last_ts": span.end + LONGEST_HOLIDAY,
            },
        )
        inside = (pl.col("last_end") >= span.first) & (pl.col("first_end") < span.end)
        parts.append(rows.filter(inside))
    return pl.concat(parts).unique("trade_date", keep="first").sort("trade_date")


def _rows_of(context: CheckContext, name: str, root: str, dates: pl.DataFrame) -> pl.DataFrame:
    """Return a table's rows of these trade dates."""
    params = {
        "root": root,
        "dates": dates["trade_date"].to_list() or [_EVER.date()],
        "first_ts": dates["first_end"].min() or _EVER,
        "last_ts": dates["last_end"].max() or _EVER,
    }
    return context.session.warehouse.query(
        f"SELECT * FROM `{TRAINING[name].id}` WHERE symbol = @root "
        "AND bar_end BETWEEN @first_ts AND @last_ts AND trade_date IN UNNEST(@dates)",
        params,
    )


def draw[Item](items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Draw some of the items; the newest is always one of them."""
    if not items:
        return []
    return [*random.Random(seed).sample(items[:-1], min(count, len(items)) - 1), items[-1]]
