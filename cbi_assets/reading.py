"""Read the tables from a notebook: Polars frames of the readers' copy, or of BigQuery."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import polars as pl

from cbi_assets.errors import HomeError, UsageError
from cbi_assets.market.bars import SECONDS
from cbi_assets.session import Project
from cbi_assets.tables import (
    CONTINUOUS,
    DAILY_ML_MATRIX,
    DAILY_ML_MATRIX_FLAT,
    DERIVED,
    EVERY_TABLE,
    FOLDS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    TRAINING,
    YAHOO_BRIDGE,
    TableSpec,
)
from cbi_assets.tables.staging_tables import MACRO_OBSERVATIONS
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

AsOf = dt.date | dt.datetime | str
"""A trade date, an instant in UTC, or either of them as ISO text."""

_SPECS: Final = {spec.id: spec for spec in EVERY_TABLE}
_MATRIX: Final = {DAILY_ML_MATRIX.id, DAILY_ML_MATRIX_FLAT.id}
_DAILY: Final = {spec.id: "data_date" for spec in (DAILY_ML_MATRIX, DAILY_ML_MATRIX_FLAT)} | {
    CONTINUOUS.id: "date",
    ROLL_CALENDAR.id: "decided_on",
    SESSIONS.id: "trade_date",
    YAHOO_BRIDGE.id: "date",
}
_BARS: Final = {
    spec.id: f"TIMESTAMP_ADD(ts_event, INTERVAL {SECONDS[timeframe]} SECOND)"
    for timeframe, spec in RAW.items()
} | {spec.id: "bar_end" for spec in DERIVED.values()}
_SIZES: Final[dict[str, str]] = {
    timeframe: spec.id for timeframe, spec in (*RAW.items(), *DERIVED.items())
}
_TRAINING: Final = {spec.id: spec for spec in TRAINING.values()}


def read(
    table: str,
    *,
    symbols: Sequence[str] | None = None,
    as_of: AsOf | None = None,
    flat: bool = False,
    project: Project | None = None,
) -> pl.DataFrame:
    """Return a table's rows, sorted by its key.

    Parameters
    ----------
    table : str
        `dataset.name`, e.g. `features.daily_ml_matrix`; docs/data-dictionary.md lists them, with
        every column's meaning and unit.
    symbols : sequence of str, optional
        Only these roots (`ZL`) or, of a raw table, also the vendor's symbols (`ZL.v.0`).
    as_of : date, datetime or str, optional
        Only what was known then: at the close of a trade date (`2025-03-31`), or at an instant
        (`2025-03-31T18:00+00:00`) of a table whose rows have one. A training table's rows keep the
        targets that were known; the others are NULL, `not yet`.
    flat : bool
        Of the matrix, one scalar column per field: features.daily_ml_matrix_flat.
    project : Project, optional
        Whose tables; those of the environment's settings by default.

    Returns
    -------
    pl.DataFrame
        The table's columns; timestamps are microseconds, UTC.

    Raises
    ------
    UsageError
        If there is no such table, or it cannot be read as of that.
    HomeError
        If there is no readers' copy yet, or it is damaged.
    """
    if flat and table in _MATRIX:
        table = DAILY_ML_MATRIX_FLAT.id
    spec = _SPECS.get(table)
    if spec is None or (flat and table not in _MATRIX):
        raise UsageError(
            "no such table" if spec is None else "it has no flat view",
            subject=table,
            remedy="docs/data-dictionary.md lists the tables.",
        )
    conditions: list[str] = []
    params: dict[str, Any] = {}
    if symbols is not None:
        names = [name for name in ("root", "symbol") if name in spec.column_names]
        if not names:
            raise UsageError("its rows have no symbol", subject=table, remedy="Omit `symbols`.")
        conditions.append(f"({' OR '.join(f'{name} IN UNNEST(@symbols)' for name in names)})")
        params["symbols"] = list(symbols)
    if as_of is not None:
        moment = _parse(as_of)
        conditions.append(_known(spec, moment))
        params["as_of"] = moment
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT *\nFROM `{spec.id}`{where}\nORDER BY {', '.join(spec.key)}"
    with _open(project or Project()) as warehouse:
        if warehouse.live_table(spec) is None:
            raise UsageError("not built yet", subject=table, remedy="Run `cbi build`.")
        frame = warehouse.query(sql, params)
    if as_of is not None and spec.id in _TRAINING:
        frame = _hide_unknown(frame, moment)
    return frame


def bars(
    root: str,
    timeframe: str,
    *,
    as_of: AsOf | None = None,
    project: Project | None = None,
) -> pl.DataFrame:
    """Return a root's bars of any size, 1m to 1d, as Databento delivered or the build made them.

    Raises UsageError for another size.
    """
    if timeframe not in _SIZES:
        raise UsageError(
            "no bars have this size",
            subject=timeframe,
            remedy=f"Choose one of {', '.join(_SIZES)}.",
        )
    return read(_SIZES[timeframe], symbols=[root], as_of=as_of, project=project)


def rolls(root: str, *, as_of: AsOf | None = None, project: Project | None = None) -> pl.DataFrame:
    """Return the rolls of a root's front-month chain: market_data.roll_calendar."""
    return read(ROLL_CALENDAR.id, symbols=[root], as_of=as_of, project=project)


def continuous(
    root: str,
    method: Literal["none", "difference", "ratio"] = "none",
    *,
    as_of: AsOf | None = None,
    project: Project | None = None,
) -> pl.DataFrame:
    """Return a root's continuous daily series; `method` says how its prices are adjusted."""
    frame = read(CONTINUOUS.id, symbols=[root], as_of=as_of, project=project)
    return frame.filter(pl.col("method") == method)


def macro(
    series: Sequence[str] | None = None,
    *,
    as_of: AsOf | None = None,
    project: Project | None = None,
) -> pl.DataFrame:
    """Return macro values: each with `reference_date`, which it describes, and `available_at`.

    With `as_of`, the value of each reference date that was the newest then.
    """
    frame = read(MACRO_OBSERVATIONS.id, as_of=as_of, project=project)
    if series is not None:
        frame = frame.filter(pl.col("series_id").is_in(list(series)))
    if as_of is not None:
        newest = pl.col("available_at") == pl.col("available_at").max()
        frame = frame.filter(newest.over("series_id", "reference_date"))
    return frame


def feature_columns(table: str) -> list[str]:
    """Return the names of a training table's numeric features, in its order.

    Neither targets, nor what says where a row comes from, nor text and dates are among them. Raises
    UsageError for another table.
    """
    spec = _training(table)
    own = ("open", "high", "low", "close", "volume") if "bar_end" in spec.column_names else ()
    numeric = {
        column.name
        for column in DAILY_ML_MATRIX_FLAT.columns
        if column.type in ("FLOAT64", "INT64", "BOOL") and not column.name.startswith("source_")
    }
    return [name for name in spec.column_names if name in numeric or name in own]


def folds(
    table: str,
    role: Literal["valid", "test"] = "valid",
    *,
    project: Project | None = None,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield a training table's walk-forward folds, oldest first, as (train, valid) frames.

    With `role="test"`, the second frame is the fold's test instead of its validation. Rows without
    a target are left out. Raises UsageError if the table is none of training.yaml.
    """
    spec = _training(table)
    project = project or Project()
    dates = read(FOLDS.id, project=project).filter(pl.col("table") == spec.name)
    rows = read(spec.id, project=project).filter(pl.col("target").is_not_null())
    date = pl.col("trade_date" if "trade_date" in spec.column_names else "data_date")
    for _, fold in dates.sort("fold").group_by("fold", maintain_order=True):
        spans = {row["role"]: (row["from_date"], row["to_date"]) for row in fold.to_dicts()}
        train, other = (rows.filter(date.is_between(*spans[name])) for name in ("train", role))
        yield train, other


def _training(table: str) -> TableSpec:
    spec = _TRAINING.get(table)
    if spec is None:
        raise UsageError(
            "it is no training table", subject=table, remedy="training.yaml lists them."
        )
    return spec


def _parse(as_of: AsOf) -> dt.date | dt.datetime:
    """Return a trade date or an instant in UTC."""
    if isinstance(as_of, str):
        try:
            as_of = (
                dt.date.fromisoformat(as_of)
                if len(as_of) == len("2025-03-31")
                else dt.datetime.fromisoformat(as_of)
            )
        except ValueError:
            raise UsageError(
                "neither a date nor a time",
                subject=f"as_of={as_of!r}",
                remedy="Write 2025-03-31, or 2025-03-31T18:00+00:00.",
            ) from None
    if isinstance(as_of, dt.datetime) and as_of.tzinfo is None:
        raise UsageError(
            "a time without a zone", subject=f"as_of={as_of}", remedy="Add +00:00 for UTC."
        )
    return as_of


def _known(spec: TableSpec, moment: dt.date | dt.datetime) -> str:
    """Return the condition on rows that were known at `@as_of`."""
    is_instant = isinstance(moment, dt.datetime)
    if spec.id == MACRO_OBSERVATIONS.id:
        return "available_at <= @as_of" if is_instant else "DATE(available_at) <= @as_of"
    instant = "timestamp" if spec.id in _MATRIX else _BARS.get(spec.id)
    date = "trade_date" if spec.id in _BARS else _DAILY.get(spec.id)
    if spec.id in _TRAINING:
        is_daily = "bar_end" not in spec.column_names
        instant, date = ("timestamp", "data_date") if is_daily else ("bar_end", "trade_date")
    if is_instant and instant is not None:
        return f"{instant} <= @as_of"
    if not is_instant and date is not None:
        return f"{date} <= @as_of"
    raise UsageError(
        "cannot be read as of a time" if date is not None else "cannot be read as of a date",
        subject=spec.id,
        remedy="Give a trade date." if date is not None else "Omit `as_of`.",
    )


def _hide_unknown(frame: pl.DataFrame, moment: dt.date | dt.datetime) -> pl.DataFrame:
    """Return a training table as it was: without the targets that became known later."""
    by = "target_known_at" if isinstance(moment, dt.datetime) else "target_date"
    later = (pl.col(by) > moment).fill_null(False)
    hidden = ("target", "target_unadjusted", "exit_contract", "rolls_between")
    return frame.with_columns(
        pl.when(~later).then(pl.col(name)).alias(name) for name in hidden
    ).with_columns(
        pl.when(later)
        .then(pl.lit("not yet"))
        .otherwise(pl.col("target_missing"))
        .alias("target_missing")
    )


@contextmanager
def _open(project: Project) -> Iterator[Warehouse]:
    if project.settings.cbi_warehouse != "duckdb":
        with project.open_warehouse(create_tables=False) as remote:
            yield remote
        return
    copy = project.home.read_copy
    if not copy.exists():
        raise HomeError(
            "no such file", subject=str(copy), remedy="`cbi load` makes the readers' copy."
        )
    with DuckDBWarehouse(copy, project.home.scratch, read_only=True) as embedded:
        yield embedded
