"""The contracts whose 1h and 1m bars a root's front-month chain may need, and when.

They are chosen from the published 1d bars of the root's parent: on each trade date the front month
and the one that the chain would roll to next, by data through the date before.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from cbi_assets.market.bars import Timeframe
from cbi_assets.market.rolls import candidates
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.sql_files import load_sql

_MERGED = 10
"""A contract that is no candidate for fewer trade dates than this is requested for them, too."""


@dataclass(frozen=True)
class Window:
    """Consecutive trade dates on which a contract is a candidate, and its raw symbol."""

    contract: str
    symbol: str
    dates: tuple[dt.date, ...]


@dataclass(frozen=True)
class DailyBars:
    """The published 1d bars of some roots' contracts and spreads, by symbol and trade date.

    `frame` has root, symbol, kind, contract, trade_date, volume and close.
    """

    frame: pl.DataFrame

    @classmethod
    def read(cls, session: Session, roots: Sequence[str]) -> DailyBars:
        """Read them."""
        sql = load_sql("downloads/daily_contracts", table=RAW["1d"].id)
        return cls(session.warehouse.query(sql, {"roots": list(roots)}))

    def windows(self, session: Session, root: str, through: dt.date) -> list[Window]:
        """Return the windows of a root's contracts, in order of their first date.

        From the newest published date on, to `through`, the candidates are those of the date after
        it. Empty without published contracts, or for a root without a roll rule.
        """
        universe = session.universe
        outrights = self.frame.filter(root=root, kind="outright")
        if outrights.is_empty():
            return []
        found = candidates(outrights, universe.roll_rules(), universe.calendars())
        symbols = dict(outrights.sort("trade_date").select("contract", "symbol").iter_rows())
        dates = trade_dates(universe.roots[root].calendar, end=through)
        newest = found["trade_date"].to_list()[-1]
        later = range(bisect_left(dates, newest), len(dates))
        windows = []
        for (contract,), rows in found.partition_by("contract", as_dict=True).items():
            places = {bisect_left(dates, date) for date in rows["trade_date"] if date <= through}
            if newest in rows["trade_date"]:
                places |= set(later)
            windows += [
                Window(str(contract), symbols[contract], tuple(dates[first : last + 1]))
                for first, last in _runs(sorted(places))
            ]
        return sorted(windows, key=lambda window: (window.dates[0], window.contract))

    def bars_per_date(self, root: str, most: float, symbols: Sequence[str] = ()) -> float | None:
        """Return an upper bound of the bars per trade date, of all contracts and spreads.

        A contract or spread has at most one bar per contract traded, and at most `most`. None if
        nothing is published. With `symbols`, of those alone, per trade date that they traded.
        """
        rows = self.frame.filter(root=root)
        if symbols:
            rows = rows.filter(pl.col("symbol").is_in(list(symbols)))
        if rows.is_empty():
            return None
        bars = rows["volume"].clip(upper_bound=round(most)).sum()
        return float(bars) / rows["trade_date"].n_unique()


def published_days(
    session: Session, root: str, timeframe: Timeframe, dates: Sequence[dt.date]
) -> dict[str, set[dt.date]]:
    """Return, by contract, the UTC days with a bar of the one of `dates` open at their 00:00."""
    sql = load_sql("downloads/published_contract_days", table=RAW[timeframe].id)
    found: dict[str, set[dt.date]] = {}
    for contract, trade_date, day in session.warehouse.query(sql, {"roots": [root]}).iter_rows():
        if dates[bisect_left(dates, day)] == trade_date:
            found.setdefault(contract, set()).add(day)
    return found


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of the runs of places without a gap of _MERGED."""
    splits = [n for n in range(1, len(places)) if places[n] - places[n - 1] > _MERGED]
    for first, after in pairwise([0, *splits, len(places)]):
        if after > first:
            yield places[first], places[after - 1]
