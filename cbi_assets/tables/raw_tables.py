"""The raw tables: Databento's bars as delivered."""

from __future__ import annotations

from typing import Final

from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.tables.spec import NATIVE, Column, TableSpec

_BAR_COLUMNS: Final = (
    Column("ts_event", "TIMESTAMP", "start of the bar", unit="UTC"),
    Column("trade_date", "DATE", "exchange trade date of the bar"),
    Column("root", "STRING", "product root, e.g. ZL"),
    Column("symbol", "STRING", "the vendor's symbol, e.g. ZL.v.0 or ZLZ5"),
    Column("kind", "STRING", "outright, spread, continuous or other"),
    Column(
        "contract",
        "STRING",
        "contract with a four-digit year, e.g. ZLZ2025: an outright's own; of a continuous symbol, "
        "the one that market_data.instruments names; else NULL",
        required=False,
    ),
    Column("instrument_id", "INT64", "the vendor's instrument id, unique within a UTC day"),
    Column("publisher_id", "INT64", "the vendor's publisher id"),
    Column("open", "FLOAT64", "first trade of the bar", required=False, unit=NATIVE),
    Column("high", "FLOAT64", "highest trade of the bar", required=False, unit=NATIVE),
    Column("low", "FLOAT64", "lowest trade of the bar", required=False, unit=NATIVE),
    Column("close", "FLOAT64", "last trade of the bar", required=False, unit=NATIVE),
    Column("volume", "INT64", "contracts traded in the bar", unit="contracts"),
    Column("dataset", "STRING", "the vendor's dataset, e.g. GLBX.MDP3"),
    Column("source_file_id", "STRING", "sha256 of the file with the bar"),
    Column("load_id", "STRING", "load that published the bar"),
    Column("loaded_at", "TIMESTAMP", "when the bar was published", unit="UTC"),
)

_MEANING: Final[dict[Timeframe, str]] = {
    "1d": "one bar per UTC day (not per exchange session)",
    "1h": "one bar per hour",
    "1m": "one bar per minute",
}

RAW: Final[dict[Timeframe, TableSpec]] = {
    timeframe: TableSpec(
        dataset="market_data",
        name=f"databento_futures_ohlcv_{timeframe}",
        description=f"Databento ohlcv-{timeframe} as delivered: {_MEANING[timeframe]}, "
        "none without a trade. Contains outrights, spreads and continuous symbols.",
        columns=_BAR_COLUMNS,
        key=("symbol", "ts_event"),
        partition_by="ts_event",
        cluster_by=("root", "symbol"),
    )
    for timeframe in TIMEFRAMES
}
"""The raw tables, by timeframe."""
