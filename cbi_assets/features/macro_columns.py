"""Macro and policy series as they were known at each session's close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

_KEY: Final = ["root", "trade_date"]


def macro_as_of(
    rows: pl.DataFrame, observations: pl.DataFrame, max_age_days: Mapping[str, int]
) -> pl.DataFrame:
    """Return the value of each series that was known at each row's close.

    Of the observations available at or before the timestamp, the one with the latest reference date
    counts, and of that date its last vintage.

    Parameters
    ----------
    rows : pl.DataFrame
        root, trade_date, timestamp (session close, UTC): one row per root and trade date.
    observations : pl.DataFrame
        series_id, reference_date, available_at (UTC), value; as in
        raw_intelligence.macro_observations, in any order.
    max_age_days : Mapping[str, int]
        The series in column order, each with the greatest age of a usable value.

    Returns
    -------
    pl.DataFrame
        root, trade_date and one Float64 column per series, in its own unit; in input order. Null if
        nothing was available, or if the reference date is more than `max_age_days` before the
        timestamp's UTC date.
    """
    found = rows.select(*_KEY, "timestamp").with_row_index("row").sort("timestamp")
    by_series = {
        str(key[0]): part
        for key, part in observations.partition_by("series_id", as_dict=True).items()
    }
    for series_id, max_age in max_age_days.items():
        found = found.join_asof(
            _steps(by_series.get(series_id, observations.clear())),
            left_on="timestamp",
            right_on="available_at",
            strategy="backward",
        )
        age = pl.col("timestamp").dt.date() - pl.col("reference_date")
        fresh = pl.when(age <= pl.duration(days=max_age)).then(pl.col("value"))
        found = found.with_columns(fresh.alias(series_id)).drop(
            "reference_date", "value", "available_at", strict=False
        )
    return found.sort("row").select(*_KEY, *max_age_days)


def _steps(observations: pl.DataFrame) -> pl.DataFrame:
    """Return when the value to use changes: available_at, reference_date, value, in time order.

    A late revision, of a date before the latest one available, changes nothing.
    """
    return (
        observations.select(
            pl.col("available_at").cast(pl.Datetime("us", "UTC")), "reference_date", "value"
        )
        .sort("available_at", "reference_date")
        .filter(pl.col("reference_date") >= pl.col("reference_date").cum_max())
        .unique("available_at", keep="last", maintain_order=True)
    )
