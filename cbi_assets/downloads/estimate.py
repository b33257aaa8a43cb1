"""Estimate a request's size and cost from downloads.yaml, if Databento is not asked."""

from __future__ import annotations

from dataclasses import dataclass

from cbi_assets.config.downloads import Estimates, Series, SType
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar


@dataclass(frozen=True)
class Estimate:
    """Bars, uncompressed bytes and US dollars of one request; None if downloads.yaml lacks one."""

    records: int | None
    bytes: int | None
    cost_usd: float | None


def estimate(
    estimates: Estimates,
    series: Series,
    timeframe: Timeframe,
    calendar: Calendar,
    trade_dates: int,
    measured: float | None = None,
) -> Estimate:
    """Return bars per trade date × trade dates × bytes per bar × price.

    The bars are `measured` ones, else the sector's. The cost is rounded up to the cent. A raw
    symbol counts as a continuous one: one series.
    """
    each = measured
    if each is None:
        stype: SType = "parent" if series.stype_in == "parent" else "continuous"
        each = bars_per_date(estimates, stype, timeframe, calendar)
    price = estimates.usd_per_gb.get(timeframe)
    if each is None:
        return Estimate(None, None, None)
    records = round(each * trade_dates)
    nbytes = records * estimates.bytes_per_record
    if price is None:
        return Estimate(records, nbytes, None)
    return Estimate(records, nbytes, -(-nbytes * price // 10**7) / 100)


def bars_per_date(
    estimates: Estimates, stype: SType, timeframe: Timeframe, calendar: Calendar
) -> float | None:
    """Return the sector's bars per trade date, None if downloads.yaml has none."""
    by_timeframe = estimates.records_per_trade_date.get(stype) or {}
    return (by_timeframe.get(timeframe) or {}).get(calendar)
