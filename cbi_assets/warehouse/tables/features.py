"""The table of features."""

from __future__ import annotations

from cbi_assets.macro import load_macro
from cbi_assets.warehouse.tables.spec import NATIVE, Column, TableSpec

DAILY_ML_MATRIX = TableSpec(
    dataset="features",
    name="daily_ml_matrix",
    description="One row per root and trade date, known at that session's close.",
    columns=(
        Column("symbol", "STRING", "root"),
        Column("data_date", "DATE", "trade date"),
        Column("timestamp", "TIMESTAMP", "close of the session", unit="UTC"),
        Column(
            "market_data",
            "STRUCT<open FLOAT64, high FLOAT64, low FLOAT64, close FLOAT64, volume INT64, "
            "vwap FLOAT64, realized_vol_1h FLOAT64>",
            "the session's bars of the active contract; vwap of typical prices over 1h bars; "
            "realized_vol_1h = sqrt of the sum of squared 1h log returns, not annualised",
            unit=NATIVE,
        ),
        Column(
            "pivots",
            "STRUCT<P FLOAT64, R1 FLOAT64, R2 FLOAT64, S1 FLOAT64, S2 FLOAT64, "
            "distance_to_P FLOAT64, distance_to_nearest_pivot FLOAT64, "
            "weekly_pivot_distance FLOAT64, price_above_P BOOL>",
            "floor pivots of the active contract's own prior trade date; NULL where unknown",
            unit=NATIVE,
        ),
        # a live table takes new columns as NULLABLE only
        Column(
            "fibonacci",
            "STRUCT<swing_high FLOAT64, swing_low FLOAT64, swing_high_date DATE, "
            "swing_low_date DATE, direction STRING, confirmed_on DATE, retrace_236 FLOAT64, "
            "retrace_382 FLOAT64, retrace_50 FLOAT64, retrace_618 FLOAT64, retrace_786 FLOAT64, "
            "ext_1236 FLOAT64, ext_1382 FLOAT64, ext_1618 FLOAT64, ext_200 FLOAT64, "
            "ext_2618 FLOAT64>",
            "levels of the last two swings of a 6% zigzag over the sessions, each known from the "
            "date that confirmed it; NULL before two are",
            required=False,
            unit=NATIVE,
        ),
        Column(
            "golden_zone",
            "STRUCT<state INT64, swing_high FLOAT64, swing_low FLOAT64, fib_50 FLOAT64, "
            "fib_618 FLOAT64, vol_decay_slope FLOAT64, qualified_trigger BOOL>",
            "of MES' rows: the session's last 1h close against the last confirmed 1h swings (1 "
            "between the 50% and 61.8% retracements, 2 beyond, 0 before), and whether a bar of the "
            "session triggered",
            required=False,
            unit=NATIVE,
        ),
        Column(
            "crush",
            "STRUCT<board_crush FLOAT64, oil_share FLOAT64>",
            "of ZL's rows, from the closes of ZL, ZM and ZS on the same trade date: board_crush = "
            "2.2 ZM + 11 ZL - ZS; oil_share = 11 ZL / (11 ZL + 2.2 ZM), a fraction; NULL where a "
            "close is missing",
            required=False,
            unit="US cents per bushel",
        ),
        Column(
            "macro",
            load_macro().struct_type("macro"),
            "series of macro.yaml, each in its own unit, as of the session's close: the latest "
            "value published by then; NULL where there is none, or an old one only",
            required=False,
        ),
        Column(
            "policy",
            load_macro().struct_type("policy"),
            "the policy series of macro.yaml, in the same way",
            required=False,
        ),
        Column(
            "regime",
            "STRUCT<name STRING, weight FLOAT64, vol_percentile FLOAT64, k_vol FLOAT64>",
            "the user's regime on data_date and its weight; vol_percentile = share of the last 252 "
            "values of 20-day volatility that are at most today's, k_vol = today's over their "
            "median within [0.5, 3], both NULL before 252",
            required=False,
        ),
        Column("regime_name", "STRING", "the regime's name", required=False),
        Column(
            "source",
            "STRUCT<price_source STRING, active_contract STRING, roll_rule STRING, "
            "load_ids ARRAY<STRING>>",
            "provenance of the row",
        ),
        Column("ingestion_ts", "TIMESTAMP", "when the row was written", unit="UTC"),
    ),
    key=("symbol", "data_date"),
    partition_by="data_date",
    cluster_by=("symbol",),
)
