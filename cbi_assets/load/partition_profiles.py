"""What people see of a partition of a raw table."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from cbi_assets.market.bars import Timeframe


@dataclass(frozen=True)
class PartitionProfile:
    """Rows, symbols, files and range of one root's bars, and up to five of its last bars."""

    root: str
    timeframe: Timeframe
    row_count: int
    symbols: int
    files: int
    first_ts_event: dt.datetime
    last_ts_event: dt.datetime
    first_trade_date: dt.date
    last_trade_date: dt.date
    sample: list[dict[str, Any]]
