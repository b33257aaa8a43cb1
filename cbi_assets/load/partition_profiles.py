"""Profile the partitions of the raw tables, for people to look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbi_assets.market.bars import Timeframe
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql


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


def profile_partitions(
    warehouse: Warehouse, timeframe: Timeframe, roots: Sequence[str]
) -> list[PartitionProfile]:
    """Return the profiles of these roots' partitions; none for a root without bars."""
    table = RAW[timeframe].id
    params = {"roots": list(roots)}
    rows = warehouse.query(load_sql("load/partition_profile", table=table), params)
    samples = warehouse.query(load_sql("load/partition_sample", table=table), params)
    by_root: dict[str, list[dict[str, Any]]] = {}
    for row in samples.sort("root", "ts_event", "symbol").to_dicts():
        by_root.setdefault(row.pop("root"), []).append(row)
    return [
        PartitionProfile(**row, timeframe=timeframe, sample=by_root.get(row["root"], []))
        for row in rows.to_dicts()
    ]
