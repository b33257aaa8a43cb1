"""Macro and policy series as they were known at each session's close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

_KEY: Final = ["root", "trade_date"]


def macro_as_of(
    rows: pl.DataFrame, observations: pl.DataFrame, max_age_days: Mapping[str, int]
) -> pl.DataFrame:
    """The value of each series that was known at each row's close.

    `rows`: root, trade_date, timestamp (the session's close, UTC), one row a root and trade date.
    `observations`: series_id, reference_date, available_at (UTC), value; as in
    raw_intelligence.macro_observations. `max_age_days` names the series, in the order of the
    columns, with the age that makes a value none.

    Gives root, trade_date and one Float64 column a series, in its own unit: of the observations
    available at the timestamp or before, the one with the latest reference date, and of that date
    the vintage that came last. Null where nothing was available, or where the reference date lies
    more than `max_age_days` before the timestamp's day (UTC). Nothing is carried beyond that.
    """
    found = rows.select(*_KEY, "timestamp").with_row_index("place").sort("timestamp")
    held = {
        str(key[0]): part
        for key, part in observations.partition_by("series_id", as_dict=True).items()
    }
    for series_id, max_age in max_age_days.items():
        found = found.join_asof(
            _steps(held.get(series_id, observations.clear())),
            left_on="timestamp",
            right_on="available_at",
            strategy="backward",
        )
        age = pl.col("timestamp").dt.date() - pl.col("reference_date")
        fresh = pl.when(age <= pl.duration(days=max_age)).then(pl.col("value"))
        found = found.with_columns(fresh.alias(series_id)).drop(
            "reference_date", "value", "available_at", strict=False
        )
    return found.sort("place").select(*_KEY, *max_age_days)


def _steps(observations: pl.DataFrame) -> pl.DataFrame:
    """Where the value to use changes: available_at, reference_date, value; in time's order.

    An old date's value that comes out after a younger date's, a late revision, changes nothing.
    """
    return (
        observations.select(
            pl.col("available_at").cast(pl.Datetime("us", "UTC")), "reference_date", "value"
        )
        .sort("available_at", "reference_date")
        .filter(pl.col("reference_date") >= pl.col("reference_date").cum_max())
        .unique("available_at", keep="last", maintain_order=True)
    )
