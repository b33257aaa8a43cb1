"""What of the training tables has changed since it passed its checks.

`ops.build_slices` says from what each month of a table was built.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cbi_assets.checks.check import CheckContext
from cbi_assets.checks.sliced_table import book_of
from cbi_assets.checks.slices import Slice, SliceKey, digest
from cbi_assets.checks.training_rows import StoredRows, read_rows
from cbi_assets.config.training import TrainingTable
from cbi_assets.tables import BUILD_SLICES, DAILY_ML_MATRIX, FOLDS, TRAINING, TRAINING_BUILDS
from cbi_assets.warehouse.base import Statement

RULES: Final = 2
"""Increase it if a check of training tables changes: everything is checked again."""

NO_TARGET: Final = ""
"""Under which `Slice.days` has dates without a target; others under the days to the last one's."""

MATRIX_MONTHS: Final = Statement(
    "SELECT symbol, DATE_TRUNC(data_date, MONTH) AS month, COUNT(*) AS row_count, "
    f"MAX(ingestion_ts) AS written FROM `{DAILY_ML_MATRIX.id}` GROUP BY symbol, month"
)
MONTHS_BUILT: Final = Statement(
    f"SELECT table_id, root, month, rule, ledger FROM `{BUILD_SLICES.id}`"
)

ALL_FOLDS: Final = Statement(
    f"SELECT {', '.join(f'`{name}`' for name in FOLDS.column_names)} FROM `{FOLDS.id}`"
)
UNCHANGED: Final = "and no change since"
"""Said of what passed before, and is not read again."""

_WINDOWS: Final = pl.Schema({"first": pl.Date, "last": pl.Date})
_WHOLE: Final = dt.date(1970, 1, 1)
"""The month under which a table without months is stored."""


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
    matrix = _read(context, MATRIX_MONTHS).filter(symbol=table.root)
    built = _read(context, MONTHS_BUILT)
    own = built.filter(table_id=TRAINING[name].id, root=table.root).sort("month")
    now = str((matrix["row_count"].sum(), matrix["written"].max()))
    if own.is_empty():  # earlier versions recorded no months
        builds = _read(context, Statement(f"SELECT `table`, inputs FROM `{TRAINING_BUILDS.id}`"))
        return {_WHOLE: digest(*builds.filter(table=name)["inputs"], now)}
    texts = {own["month"].max(): now}
    if table.bar is None:
        texts = {month: f"{rows} {at}" for _, month, rows, at in matrix.iter_rows()}
    return {
        month: digest(rule, ledger, texts.get(month, ""))
        for month, rule, ledger in own.select("month", "rule", "ledger").iter_rows()
    }


def _read(context: CheckContext, query: Statement) -> pl.DataFrame:
    return context.once((query.sql,), lambda: context.session.warehouse.query(query.sql))


@dataclass(frozen=True)
class RowsDue:
    """What has changed of each training table, and of those not changed as a whole, the rows."""

    due: dict[str, Due]
    rows: dict[str, StoredRows]


def read_rows_due(context: CheckContext) -> RowsDue:
    """Read the rows that have changed of all tables to check, once per context."""
    return context.once(("training rows due",), lambda: _read_rows_due(context))


def _read_rows_due(context: CheckContext) -> RowsDue:
    tables = {
        name: table
        for name, table in context.session.project.training.tables.items()
        if (context.roots is None or table.root in context.roots)
        and context.session.warehouse.live_table(TRAINING[name]) is not None
    }
    due = {name: due_of(context, name, table) for name, table in tables.items()}
    wanted = {
        name: (tables[name], own.months)
        for name, own in due.items()
        if own.slices and own.months is not None and not context.full
    }
    return RowsDue(due, read_rows(context, wanted))


def with_windows(due: Due, windows: pl.DataFrame) -> list[Slice]:
    """Return the slices that were checked, with the windows of their dates' rows.

    A date is stored with the newest month that is not after it, else with the first.
    """
    months = sorted(piece.month for piece in due.slices)
    days: dict[dt.date, dict[str, list[int]]] = {month: {} for month in months}
    for first, last in windows.select("first", "last").iter_rows():
        month = months[max(bisect_right(months, first) - 1, 0)]
        ahead = NO_TARGET if last is None else str((last - first).days)
        days[month].setdefault(ahead, []).append((first - month).days)
    return [replace(piece, days=days[piece.month]) for piece in due.slices]


def stored_windows(context: CheckContext, name: str) -> pl.DataFrame | None:
    """Return the windows of a table's dates, as stored where nothing has changed.

    None if they must be read: all months have changed, or the context is full.
    """
    found = read_rows_due(context)
    due, rows = found.due[name], found.rows.get(name)
    if context.full or (due.slices and rows is None):
        return None
    changed = {piece.key for piece in due.slices} | set(due.gone)
    windows = [
        (date, None if ahead == NO_TARGET else date + dt.timedelta(days=int(ahead)))
        for key, piece in book_of(context).stored(TRAINING[name].id).items()
        if key not in changed
        for ahead, places in piece.days.items()
        for date in (piece.month + dt.timedelta(days=place) for place in places)
    ]
    every = pl.DataFrame(windows, schema=_WINDOWS, orient="row")
    parts = [every] if rows is None else [every, rows.windows.cast(_WINDOWS)]
    return pl.concat(parts).group_by("first").agg(pl.col("last").max()).sort("first")
