"""How many bars per trade date the published 1d bars let one expect of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cbi_assets.config.downloads import Policy
from cbi_assets.downloads.contract_windows import DailyBars
from cbi_assets.downloads.estimate import bars_per_date
from cbi_assets.downloads.wanted import Coverage
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.sql_files import load_sql

_ENOUGH: Final = 20
"""Trade dates on which a parent's bars must be published to be counted."""


@dataclass(frozen=True)
class MeasuredSizes:
    """Bars per trade date of parents and contracts, from what is published of them.

    `parents` are each root's 1d bars per trade date, spreads included; `daily` are the 1d bars of
    roots with intraday requests.
    """

    parents: dict[str, float] = field(default_factory=dict)
    daily: DailyBars | None = None

    @classmethod
    def read(cls, session: Session, coverages: list[Coverage]) -> MeasuredSizes:
        """Read what the coverages' requests need."""
        roots = sorted({coverage.root for coverage in coverages})
        sql = load_sql("downloads/parent_sizes", table=RAW["1d"].id)
        counted = session.warehouse.query(sql, {"roots": roots})
        counted = counted.filter(pl.col("trade_dates") >= _ENOUGH)
        parents = {root: bars / dates for root, bars, dates in counted.iter_rows()}
        intraday = {
            coverage.root
            for coverage in coverages
            if coverage.timeframe in INTRADAY and coverage.series.stype_in != "continuous"
        }
        daily = DailyBars.read(session, sorted(intraday & set(parents)))
        return cls(parents, daily)

    def bars_per_date(self, session: Session, policy: Policy, coverage: Coverage) -> float | None:
        """Return the bars per trade date of a coverage's series, None if nothing is measured.

        For 1h and 1m it is an upper bound: a contract has at most one bar per contract traded, and
        at most as many as a continuous symbol.
        """
        series, root, timeframe = coverage.series, coverage.root, coverage.timeframe
        if timeframe == "1d":
            return self.parents.get(root) if series.stype_in == "parent" else None
        calendar = session.universe.roots[root].calendar
        most = bars_per_date(policy.estimates, "continuous", timeframe, calendar)
        if self.daily is None or most is None or series.stype_in == "continuous":
            return None
        symbols = (series.symbol,) if series.stype_in == "raw_symbol" else ()
        return self.daily.bars_per_date(root, most, symbols)
