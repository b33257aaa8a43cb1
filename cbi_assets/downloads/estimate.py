"""What a request holds and costs, from downloads.yaml's figures, where the vendor is not asked."""

from __future__ import annotations

from dataclasses import dataclass

from cbi_assets.config.downloads import Estimates, Series, SType
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar


@dataclass(frozen=True)
class Figures:
    """Bars, uncompressed bytes and US dollars of one request; None where no figure is known."""

    records: int | None
    bytes: int | None
    cost_usd: float | None


def estimate(
    estimates: Estimates,
    series: Series,
    timeframe: Timeframe,
    calendar: Calendar,
    trade_dates: int,
) -> Figures:
    """Bars a trade date of the sector, times trade dates, times bytes a bar, times the price.

    Dollars are rounded up to the cent. A raw symbol is counted as a continuous one: one series.
    """
    stype: SType = "parent" if series.stype_in == "parent" else "continuous"
    by_timeframe = estimates.records_per_trade_date.get(stype) or {}
    each = (by_timeframe.get(timeframe) or {}).get(calendar)
    price = estimates.usd_per_gb.get(timeframe)
    if each is None:
        return Figures(None, None, None)
    records = round(each * trade_dates)
    size = records * estimates.bytes_per_record
    if price is None:
        return Figures(records, size, None)
    return Figures(records, size, -(-size * price // 10**7) / 100)
