"""The tables that `cbi build` builds from the raw ones, except the matrix."""

from __future__ import annotations

from typing import Final

from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.tables.spec import NATIVE, Column, TableSpec

_PRICES: Final = (
    Column("open", "FLOAT64", "first trade", required=False, unit=NATIVE),
    Column("high", "FLOAT64", "highest trade", required=False, unit=NATIVE),
    Column("low", "FLOAT64", "lowest trade", required=False, unit=NATIVE),
    Column("close", "FLOAT64", "last trade", required=False, unit=NATIVE),
)

DERIVED: Final[dict[DerivedTimeframe, TableSpec]] = {
    timeframe: TableSpec(
        dataset="market_data",
        name=f"futures_ohlcv_{timeframe}",
        description=f"{timeframe} bars built from Databento's 1m bars"
        + (", else from its 1h bars" if timeframe == "4h" else "")
        + "; never across trade dates or contracts; no bar without a trade.",
        columns=(
            Column("ts_event", "TIMESTAMP", "start of the bar", unit="UTC"),
            Column("bar_end", "TIMESTAMP", "end of the bar, exclusive", unit="UTC"),
            Column("trade_date", "DATE", "exchange trade date"),
            Column("root", "STRING", "product root"),
            Column("symbol", "STRING", "the vendor's symbol"),
            Column("kind", "STRING", "outright or continuous"),
            Column("contract", "STRING", "outright with a four-digit year", required=False),
            Column("instrument_id", "INT64", "the vendor's instrument id"),
            *_PRICES,
            Column("volume", "INT64", "contracts traded", unit="contracts"),
            Column("built_from", "STRING", "timeframe of the bars it is built from: 1m or 1h"),
            Column("load_ids", "ARRAY<STRING>", "loads that published those bars", required=False),
        ),
        key=("symbol", "instrument_id", "ts_event"),
        partition_by="ts_event",
        cluster_by=("root", "symbol"),
    )
    for timeframe in DERIVED_TIMEFRAMES
}
"""The derived bars, by timeframe."""

SESSIONS = TableSpec(
    dataset="market_data",
    name="futures_sessions_1d",
    description="One bar per symbol and trade date, built from 1m bars, else from 1h bars; and the "
    "vendor's UTC-day bars by trade date (built_from 1d). All daily features are computed from it.",
    columns=(
        Column("trade_date", "DATE", "exchange trade date"),
        Column("root", "STRING", "product root"),
        Column("symbol", "STRING", "the vendor's symbol"),
        Column("contract", "STRING", "outright with a four-digit year", required=False),
        Column("contract_key", "STRING", "contract, or symbol#instrument_id, of the last bar"),
        Column("is_pure", "BOOL", "whether every bar of the session is of that contract"),
        *_PRICES,
        Column("volume", "INT64", "contracts traded", unit="contracts"),
        Column(
            "vwap",
            "FLOAT64",
            "volume-weighted mean of (H+L+C)/3 of the session's bars; NULL if built from 1d",
            required=False,
            unit=NATIVE,
        ),
        Column(
            "realized_vol_1h",
            "FLOAT64",
            "sqrt of the sum of squared 1h log returns, the first from the session's open, not "
            "annualised; NULL if built from 1d, or if a price is not positive",
            required=False,
        ),
        Column("built_from", "STRING", "timeframe of the bars it is built from: 1m, 1h or 1d"),
        Column("bars", "INT64", "number of those bars"),
        Column("load_ids", "ARRAY<STRING>", "loads that published them", required=False),
    ),
    key=("symbol", "trade_date", "built_from"),
    partition_by="trade_date",
    cluster_by=("root", "symbol"),
)

ROLL_CALENDAR = TableSpec(
    dataset="market_data",
    name="roll_calendar",
    description="Every roll of each root's front-month chain of outrights: decided from the trade "
    "date before, forward only.",
    columns=(
        Column("roll_date", "DATE", "first trade date of the new contract"),
        Column("root", "STRING", "product root"),
        Column("from_contract", "STRING", "old contract, e.g. ZLZ2025"),
        Column("to_contract", "STRING", "new contract"),
        Column("method", "STRING", "volume, or deadline if the old contract reached its deadline"),
        Column("decided_on", "DATE", "the trade date before, whose data decided it"),
        Column("deadline", "DATE", "old contract's first notice day or last trade day", False),
        Column("from_close", "FLOAT64", "old contract's close on decided_on", False, unit=NATIVE),
        Column(
            "from_volume", "INT64", "old contract's volume on decided_on", False, unit="contracts"
        ),
        Column("to_close", "FLOAT64", "new contract's close on decided_on", False, unit=NATIVE),
        Column(
            "to_volume", "INT64", "new contract's volume on decided_on", False, unit="contracts"
        ),
    ),
    key=("root", "roll_date"),
    partition_by="roll_date",
    cluster_by=("root",),
)

CONTINUOUS = TableSpec(
    dataset="market_data",
    name="databento_futures_continuous_1d",
    description="Continuous daily series: the front-month chain, the vendor's ROOT.v.0 on dates "
    "without a session of the chain, and ZL's Yahoo bridge before 2010-06-06, unadjusted (none); "
    "the rows whose contract is known, adjusted by the rolls up to each date only (difference, "
    "ratio).",
    columns=(
        Column("date", "DATE", "trade date"),
        Column("root", "STRING", "product root"),
        Column("cont_id", "STRING", "the series: root and method, e.g. ZL.difference"),
        *_PRICES,
        Column("volume", "INT64", "contracts traded", required=False, unit="contracts"),
        Column("active_contract", "STRING", "contract behind the row", required=False),
        Column(
            "roll_flag",
            "BOOL",
            "whether the contract differs from the row before; NULL if one of the two is not known "
            "by its name (vendor's symbols of different letters, Yahoo)",
            required=False,
        ),
        Column(
            "back_adj",
            "FLOAT64",
            "amount added to the prices (difference) or factor applied to them (ratio); NULL if "
            "unadjusted (none)",
            required=False,
        ),
        Column("method", "STRING", "none, difference or ratio"),
        Column("source", "STRING", "databento or yahoo"),
        Column("close_kind", "STRING", "last_trade or settlement"),
        Column("roll_rule", "STRING", "own_chain, vendor_v0, vendor_n0, vendor_c0 or yahoo"),
        Column("built_from", "STRING", "timeframe of the bars: 1m, 1h, 1d"),
    ),
    key=("cont_id", "date"),
    partition_by="date",
    cluster_by=("root", "cont_id"),
)
