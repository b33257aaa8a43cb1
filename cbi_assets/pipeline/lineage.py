"""Column lineage: what each column of a table is made of, down to the raw bars and staging.

A column is made of those that its value is worked out from or chosen by. The keys that only bring
rows together are not among them, nor what is written down here as a constant or the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cbi_assets.config.macro import load_macro
from cbi_assets.config.sources import load_sources
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.tables import (
    CONTINUOUS,
    DAILY_ML_MATRIX,
    DERIVED,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    YAHOO_BRIDGE,
)

Sources = dict[str, tuple[str, ...]]
"""Columns, by the id of the table that has them: `market_data.roll_calendar`."""

Lines = dict[str, Sources]
"""Sources, by the column that is made of them."""

FILES: Final = "drive.inventory"
"""What stands for the files themselves, as a table's id; its columns are those of the files."""

LOADED: Final = "raw.databento_ohlcv"
"""What stands for the loaded partitions, with the columns of the raw tables."""

_ALL = [RAW[timeframe].id for timeframe in TIMEFRAMES]
_FINE = [RAW["1h"].id, RAW["1m"].id]
_PRICES = "open high low close"


def _same(columns: str, *tables: str) -> Iterator[tuple[str, Sources]]:
    """Each column of the like-named one."""
    for name in columns.split():
        yield name, dict.fromkeys(tables, (name,))


def _of(columns: str, sources: Mapping[str, str]) -> Iterator[tuple[str, Sources]]:
    """Each column of all these."""
    for name in columns.split():
        yield name, {table: tuple(found.split()) for table, found in sources.items()}


def _derived(timeframe: str) -> Lines:
    sources = _FINE if timeframe == "4h" else [RAW["1m"].id]
    lines = [
        *_of("ts_event bar_end", dict.fromkeys(sources, "ts_event")),
        *_same("trade_date root symbol kind contract instrument_id", *sources),
        *_same(f"{_PRICES} volume", *sources),
        *_of("load_ids", dict.fromkeys(sources, "load_id")),
    ]
    if timeframe == "4h":
        # the 1h bars stand in where they hold more volume
        lines += _of("built_from", dict.fromkeys(sources, "volume"))
    return dict(lines)


_SESSIONS_LINES = [
    *_same(f"trade_date root symbol contract {_PRICES} volume", *_ALL),
    *_of("contract_key is_pure", dict.fromkeys(_ALL, "contract symbol instrument_id")),
    *_of("vwap", dict.fromkeys(_FINE, "high low close volume")),
    *_of("realized_vol_1h", dict.fromkeys(_FINE, "open close")),
    *_of("built_from", dict.fromkeys(_FINE, "volume")),
    *_of("bars", dict.fromkeys(_ALL, "ts_event")),
    *_of("load_ids", dict.fromkeys(_ALL, "load_id")),
]

# which contract leads is decided by volume, from the trade date before
_ROLL_LINES = [
    *_same("root", SESSIONS.id),
    *_of(
        "roll_date decided_on from_contract to_contract method",
        {SESSIONS.id: "trade_date contract volume"},
    ),
    *_of("deadline", {SESSIONS.id: "contract"}),
    *_of("from_close to_close", {SESSIONS.id: "close"}),
    *_of("from_volume to_volume", {SESSIONS.id: "volume"}),
]

_ADJUSTED_BY = {ROLL_CALENDAR.id: "roll_date decided_on from_contract to_contract"}
_CONTINUOUS_LINES = [
    *_of("date", {SESSIONS.id: "trade_date", YAHOO_BRIDGE.id: "date"}),
    *_of("root cont_id", {SESSIONS.id: "root"}),
    *(
        line
        for name in _PRICES.split()
        for line in _of(
            name,
            {
                # a roll is adjusted for by both contracts' closes
                SESSIONS.id: name if name == "close" else f"{name} close",
                **_ADJUSTED_BY,
                YAHOO_BRIDGE.id: name,
            },
        )
    ),
    *_same("volume", SESSIONS.id, YAHOO_BRIDGE.id),
    *_of("back_adj", {SESSIONS.id: "close", **_ADJUSTED_BY}),
    *_of("active_contract roll_flag", {SESSIONS.id: "contract_key symbol contract volume"}),
    *_of("roll_rule", {SESSIONS.id: "symbol contract volume"}),
    *_of("built_from", {SESSIONS.id: "built_from"}),
]

_MATRIX_LINES = [
    *_of("symbol", {SESSIONS.id: "root"}),
    *_of("data_date", {SESSIONS.id: "trade_date"}),
    *_of("timestamp", {SESSIONS.id: "trade_date root"}),
    *_of("market_data", {SESSIONS.id: f"{_PRICES} volume vwap realized_vol_1h"}),
    *_of("pivots", {SESSIONS.id: "high low close"}),
    *_of("fibonacci", {SESSIONS.id: "high low trade_date"}),
    # the one feature that looks inside a session
    *_of("golden_zone", dict.fromkeys(_FINE, "ts_event high low close volume")),
    *_of("crush", {SESSIONS.id: "close"}),
    *_of("macro policy", {MACRO_OBSERVATIONS.id: "series_id reference_date available_at value"}),
    *_of("regime", {SESSIONS.id: "trade_date close"}),
    *_of("regime_name", {SESSIONS.id: "trade_date"}),
    *_of("source", {SESSIONS.id: "built_from contract_key symbol contract volume load_ids"}),
]


def _macro_lines() -> Lines:
    """What macro.yaml's series are read from: a long file has one value a row, a wide one many."""
    long = {
        "indicators": ("time", ("indicator",), "value"),
        "currency": ("date", ("from_currency", "to_currency"), "rate"),
    }
    declared = {known.id: known.date for known in load_sources().staging.declared}
    dates, names, values = dict[str, None](), dict[str, None](), dict[str, None]()
    for series in load_macro().series.values():
        for origin in series.origins:
            if origin.layout in long:
                date, items, value = long[origin.layout]
                dates[date], values[value] = None, None
                names |= dict.fromkeys(items)
            elif origin.layout in declared:
                dates[declared[origin.layout]] = None
                values |= dict.fromkeys(origin.names)
            else:  # cot: contract.column; the open interest tells whether a zero was measured
                dates["report_date"] = names["contract_code"] = values["open_interest"] = None
                values |= dict.fromkeys(name.rpartition(".")[2] for name in origin.names)
    return {
        "source": {FILES: ("source_name",)},
        "series_id": {FILES: tuple(names)},
        "reference_date": {FILES: tuple(dates)},
        "available_at": {FILES: tuple(dates)},
        "value": {FILES: tuple(values)},
    }


def _bridge_lines() -> Lines:
    stitch = load_sources().stitch
    if stitch is None:
        return {}
    columns: dict[str, str] = stitch.columns.model_dump()
    prices = {columns[name] for name in (*_PRICES.split(), "date")}
    lines: Lines = {name: {FILES: (column,)} for name, column in columns.items()}
    return lines | {"close_only": {FILES: tuple(sorted(prices))}}


LINEAGE: Final[dict[str, Lines]] = {
    **{spec.id: dict(_same(" ".join(spec.column_names), LOADED)) for spec in RAW.values()},
    **{spec.id: _derived(timeframe) for timeframe, spec in DERIVED.items()},
    SESSIONS.id: dict(_SESSIONS_LINES),
    ROLL_CALENDAR.id: dict(_ROLL_LINES),
    CONTINUOUS.id: dict(_CONTINUOUS_LINES),
    DAILY_ML_MATRIX.id: dict(_MATRIX_LINES),
    MACRO_OBSERVATIONS.id: _macro_lines(),
    YAHOO_BRIDGE.id: _bridge_lines(),
}
"""What each column is made of, by table."""

_FILE_HASH = "the file's own sha256"
_LOAD = "the load"

MADE_OF_NOTHING: Final[dict[str, dict[str, str]]] = {
    **{
        spec.id: {"built_from": "always 1m"}
        for timeframe, spec in DERIVED.items()
        if timeframe != "4h"
    },
    CONTINUOUS.id: {
        "method": "one of three series: none, difference, ratio",
        "source": "which of the two tables the row is of",
        "close_kind": "which of the two tables the row is of",
    },
    DAILY_ML_MATRIX.id: {"ingestion_ts": "the clock"},
    MACRO_OBSERVATIONS.id: {"source_file_id": _FILE_HASH, "load_id": _LOAD},
    YAHOO_BRIDGE.id: {
        **dict.fromkeys(("root", "close_kind", "scale", "adjustment", "source"), "sources.yaml"),
        "source_file_id": _FILE_HASH,
        "load_id": _LOAD,
        "loaded_at": "the clock",
    },
}
"""The columns that are made of no other one, by table, and where their value comes from."""
