"""Compute when a value was published from the date that it describes."""

from __future__ import annotations

import datetime as dt
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.config.macro import WEEKDAYS, Publication


@cache
def _us_holidays() -> npt.NDArray[np.datetime64]:
    from pandas.tseries.holiday import USFederalHolidayCalendar  # 0.5 s, and only a load needs it

    days = USFederalHolidayCalendar().holidays(dt.datetime(1900, 1, 1), dt.datetime(2100, 12, 31))
    holidays: npt.NDArray[np.datetime64] = days.values.astype("datetime64[D]")
    return holidays


def available_at(reference: pl.Series, publication: Publication) -> pl.Series:
    """Return the UTC time at which a value for each `reference` date was published.

    Business days follow the US federal holidays.

    Parameters
    ----------
    reference : pl.Series
        `pl.Date`, without nulls.
    publication : Publication
        The series' publication rule, from macro.yaml.

    Returns
    -------
    pl.Series
        `available_at`, `pl.Datetime("us", "UTC")`, in input order.
    """
    days = reference.to_numpy().astype("datetime64[D]")
    if publication.counted_from == "month_end":
        next_month = days.astype("datetime64[M]") + np.timedelta64(1, "M")
        days = next_month.astype("datetime64[D]") - np.timedelta64(1, "D")
    days = days + np.timedelta64(publication.days, "D")
    holidays = _us_holidays()
    if publication.business_days:
        # Counting from a weekend or holiday starts at the next business day.
        days = np.busday_offset(days, publication.business_days, roll="forward", holidays=holidays)
    if publication.weekday is not None:
        # 1970-01-01 was a Thursday
        ahead = (WEEKDAYS.index(publication.weekday) - 3 - days.astype(np.int64)) % 7
        days = days + ahead.astype("timedelta64[D]")
    if publication.holidays == "move":
        days = np.busday_offset(days, 0, roll="forward", holidays=holidays)
    frame = pl.DataFrame({"reference": reference, "day": pl.Series(days).cast(pl.Date)})
    local = pl.col("day").dt.combine(publication.time)
    for late in publication.not_before:
        hit = pl.col("reference").is_between(late.first, late.last)
        at = pl.lit(late.at, dtype=pl.Datetime("us"))
        local = pl.when(hit).then(pl.max_horizontal(local, at)).otherwise(local)
    instant = (
        local.dt.replace_time_zone(publication.zone, ambiguous="latest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .alias("available_at")
    )
    return frame.select(instant).to_series()
