"""What people see of a partition of a raw table."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import polars as pl

from cbi_assets.ledger.books import LoadCounts
from cbi_assets.market.bars import Timeframe


@dataclass(frozen=True, kw_only=True)
class PartitionLoad(LoadCounts):
    """What a load did to one partition: rows before and after, and the outcome of its records."""

    root: str
    timeframe: Timeframe
    rows_before: int
    rows_after: int
    files: int

    @property
    def key(self) -> str:
        """`ZL|1h`."""
        return f"{self.root}|{self.timeframe}"


@dataclass(frozen=True)
class PartitionProfile:
    """Rows, symbols, files and range of one root's bars, and up to five of its last bars.

    `closes` has one row per trade date, in order: trade_date, bars, and the close of the most
    traded symbol, spreads excluded.
    """

    root: str
    timeframe: Timeframe
    row_count: int
    symbols: int
    files: int
    first_ts_event: dt.datetime
    last_ts_event: dt.datetime
    closes: pl.DataFrame
    sample: list[dict[str, Any]]

    @property
    def first_trade_date(self) -> dt.date:
        """The first trade date with bars."""
        first: dt.date = self.closes["trade_date"][0]
        return first

    @property
    def last_trade_date(self) -> dt.date:
        """The last trade date with bars."""
        last: dt.date = self.closes["trade_date"][-1]
        return last
