"""The feature matrix. The functions of `cbi_assets.features` state the formulas and conditions."""

from __future__ import annotations

from typing import Final

from cbi_assets.config.features import load_features
from cbi_assets.config.macro import Group, load_macro
from cbi_assets.tables.spec import NATIVE, Column, TableSpec, struct

RETRACEMENTS: Final[dict[str, float]] = {
    "retrace_236": 0.236,
    "retrace_382": 0.382,
    "retrace_50": 0.5,
    "retrace_618": 0.618,
    "retrace_786": 0.786,
}
"""Retraced share of the leg's range, by column."""

EXTENSIONS: Final[dict[str, float]] = {
    "ext_1236": 1.236,
    "ext_1382": 1.382,
    "ext_1618": 1.618,
    "ext_200": 2.0,
    "ext_2618": 2.618,
}
"""Multiple of the leg's range, from its origin, by column."""


def _price(name: str, description: str) -> Column:
    return Column(name, "FLOAT64", description, unit=NATIVE)


def _series(group: Group, about: str = "") -> tuple[Column, ...]:
    """The fields of a group's column: its series in macro.yaml, described by their titles."""
    macro = load_macro()
    known = {name: macro.series[name] for name in macro.of_group(group)}
    return tuple(Column(name, "FLOAT64", about + s.title, unit=s.unit) for name, s in known.items())


_MARKET_DATA: Final = (
    _price("open", "first trade of the session"),
    _price("high", "highest trade of the session"),
    _price("low", "lowest trade of the session"),
    _price("close", "last trade of the session"),
    Column("volume", "INT64", "contracts traded in the session", unit="contracts"),
    _price(
        "vwap",
        "volume-weighted mean of (H+L+C)/3 over the session's 1m bars, else its 1h bars; NULL if "
        "built from 1d",
    ),
    Column(
        "realized_vol_1h",
        "FLOAT64",
        "square root of the sum of the session's squared 1h log returns, the first from its open, "
        "not annualised; NULL if built from 1d, or if a price is not positive",
        unit="log return",
    ),
)

_PIVOTS: Final = (
    _price("P", "pivot: (H+L+C)/3 of the prior trade date"),
    _price("R1", "first resistance: 2 P - L"),
    _price("R2", "second resistance: P + (H-L)"),
    _price("S1", "first support: 2 P - H"),
    _price("S2", "second support: P - (H-L)"),
    _price("distance_to_P", "close - P, signed"),
    _price(
        "distance_to_nearest_pivot", "smallest absolute distance of close from P, R1, R2, S1, S2"
    ),
    _price(
        "weekly_pivot_distance",
        "absolute distance of the close from (H+L+C)/3 of the prior Monday-to-Friday week; NULL "
        "unless the contract has every trade date of that week",
    ),
    Column("price_above_P", "BOOL", "whether the close is above P"),
)

_FIBONACCI: Final = (
    _price("swing_high", "price of the swing high"),
    _price("swing_low", "price of the swing low"),
    Column("swing_high_date", "DATE", "trade date of the swing high"),
    Column("swing_low_date", "DATE", "trade date of the swing low"),
    Column("direction", "STRING", "up if the swing high is the later of the two, else down"),
    Column("confirmed_on", "DATE", "trade date that confirmed the later of the two"),
    *(
        _price(name, f"price at which the leg has retraced {100 * share:g}% of its range")
        for name, share in RETRACEMENTS.items()
    ),
    *(
        _price(name, f"price at {times:g} times the leg's range from its origin")
        for name, times in EXTENSIONS.items()
    ),
)

_GOLDEN_ZONE: Final = (
    Column(
        "state",
        "INT64",
        "position of the last 1h close: 1 from fib_50 to fib_618, both included; 2 beyond "
        "fib_618; 0 short of fib_50; NULL without a leg, or if the close is beyond its origin",
    ),
    _price("swing_high", "price of the swing high"),
    _price("swing_low", "price of the swing low"),
    _price("fib_50", "price at which the leg has retraced 50% of its range"),
    _price("fib_618", "price at which the leg has retraced 61.8% of its range"),
    Column(
        "vol_decay_slope",
        "FLOAT64",
        "slope of the least-squares line through ln(volume) of the 5 bars before the zone was "
        "entered; NULL except during a stay and at its trigger, and if one of the 5 bars is "
        "missing or has no volume",
        unit="ln(contracts) per 1h bar",
    ),
    Column(
        "qualified_trigger",
        "BOOL",
        "whether a bar of the session triggered: the bar before it was in the zone, its close is "
        "back across fib_50, its volume at least 1.5 times the mean of the 24 bars before, and the "
        "slope below 0; NULL if none of the session's bars had a leg",
    ),
)

_CRUSH: Final = (
    Column(
        "board_crush",
        "FLOAT64",
        "2.2 ZM + 11 ZL - ZS; NULL if one of the three closes is missing",
        unit="US cents per bushel",
    ),
    Column(
        "oil_share",
        "FLOAT64",
        "oil's share of the products' value, 11 ZL / (11 ZL + 2.2 ZM); NULL if one of the two "
        "closes is missing, or if that value is not positive",
        unit="fraction",
    ),
)


def _declared() -> tuple[Column, ...]:
    """The columns of features.yaml; an earlier version's table gets them as NULLABLE."""
    catalogue = load_features()
    return tuple(
        struct(
            name,
            description,
            (Column(f.name, "FLOAT64", f.formula, unit=f.unit) for f in catalogue.of_struct(name)),
            required=False,
        )
        for name, description in catalogue.structs.items()
    )


_REGIME: Final = (
    Column("name", "STRING", "the user's regime that covers data_date"),
    Column("weight", "FLOAT64", "the regime's weight, set by the user"),
    Column(
        "vol_percentile",
        "FLOAT64",
        "share of the last 252 values of that volatility that are at most today's; NULL before 252",
        unit="fraction",
    ),
    Column(
        "k_vol",
        "FLOAT64",
        "today's volatility over the median of those 252, clipped to [0.5, 3]; NULL before 252",
        unit="ratio",
    ),
)

_SOURCE: Final = (
    Column("price_source", "STRING", "raw table of the bars that the session is built from"),
    Column(
        "active_contract",
        "STRING",
        "outright behind the row, e.g. ZLZ2025, or the vendor's continuous symbol, e.g. ZL.v.0",
    ),
    Column(
        "roll_rule", "STRING", "which rule chose it: own_chain, vendor_v0, vendor_n0 or vendor_c0"
    ),
    Column("load_ids", "ARRAY<STRING>", "loads that published those bars"),
)

DAILY_ML_MATRIX = TableSpec(
    dataset="features",
    name="daily_ml_matrix",
    description="One row per root and trade date, known at that session's close.",
    columns=(
        Column("symbol", "STRING", "root"),
        Column("data_date", "DATE", "trade date"),
        Column("timestamp", "TIMESTAMP", "close of the session", unit="UTC"),
        struct(
            "market_data",
            "the session of the active contract; the vendor's UTC day if source.price_source is "
            "the table of 1d bars",
            _MARKET_DATA,
        ),
        struct(
            "pivots",
            "floor pivots of the prior trade date, on the contract active on the row's date; NULL "
            "if that contract has no session of its own there",
            _PIVOTS,
        ),
        # a live table takes new columns as NULLABLE only
        struct(
            "fibonacci",
            "levels of the last two swings, one high and one low, of a 6% zigzag over the "
            "sessions, each known from the date that confirmed it; NULL before two are confirmed",
            _FIBONACCI,
            required=False,
        ),
        struct(
            "golden_zone",
            "for MES: the session's last 1h bar compared with the last two swings of a 1% zigzag "
            "over 1h bars that were confirmed by then",
            _GOLDEN_ZONE,
            required=False,
        ),
        struct(
            "crush",
            "for ZL: soybean crush from the closes of ZL, ZM and ZS on the same trade date",
            _CRUSH,
            required=False,
        ),
        *_declared(),
        struct(
            "macro",
            "series of macro.yaml as of the session's close: the latest value published by then; "
            "NULL if there is none, or only an old one",
            _series("macro"),
            required=False,
        ),
        struct(
            "policy",
            "policy series of macro.yaml, as of the session's close like macro",
            _series("policy", "policy events: "),
            required=False,
        ),
        struct(
            "regime",
            "the user's regime, and the root's volatility: the standard deviation of its last 20 "
            "daily log returns",
            _REGIME,
            required=False,
        ),
        Column("regime_name", "STRING", "the regime's name", required=False),
        struct("source", "provenance of the row", _SOURCE),
        Column("ingestion_ts", "TIMESTAMP", "when the row was written", unit="UTC"),
    ),
    key=("symbol", "data_date"),
    partition_by="data_date",
    cluster_by=("symbol",),
)


def _flatten() -> tuple[tuple[Column, ...], str]:
    """Return the flat view's columns and query: `<struct>_<field>` for each field of a STRUCT.

    A field whose flat name a column of the matrix has, such as regime.name, is that column.
    """
    columns, selected = [], []
    for column in DAILY_ML_MATRIX.columns:
        for field in column.fields or (column,):
            name = f"{column.name}_{field.name}" if column.fields else column.name
            if column.fields and name in DAILY_ML_MATRIX.column_names:
                continue
            path = f"matrix.{column.name}.{field.name}" if column.fields else f"matrix.{name}"
            kind, description = field.type, field.description
            if kind == "ARRAY<STRING>":
                path, kind = f"ARRAY_TO_STRING({path}, ' ')", "STRING"
                description += ", separated by blanks"
            columns.append(Column(name, kind, description, field.required, field.unit))
            selected.append(f"  {path} AS {name}")
    query = f"SELECT\n{',\n'.join(selected)}\nFROM `{DAILY_ML_MATRIX.id}` AS matrix"
    return tuple(columns), query


_FLAT_COLUMNS, _FLAT_QUERY = _flatten()

DAILY_ML_MATRIX_FLAT = TableSpec(
    dataset="features",
    name="daily_ml_matrix_flat",
    description="daily_ml_matrix with one scalar column per field, named <struct>_<field>.",
    columns=_FLAT_COLUMNS,
    key=DAILY_ML_MATRIX.key,
    query=_FLAT_QUERY,
    reads=DAILY_ML_MATRIX,
)
