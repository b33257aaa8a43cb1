"""Column lineage: which columns each column is computed from, down to raw bars and staging.

A column's sources are those that its value is computed from or selected by. Keys that only join
rows are not sources; constants and the clock are listed in OTHER_ORIGINS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cbi_assets.config.features import load_features
from cbi_assets.config.macro import load_macro
from cbi_assets.config.sources import load_sources
from cbi_assets.config.training import load_training
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.tables import (
    CONTINUOUS,
    DAILY_ML_MATRIX,
    DERIVED,
    FOLDS,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    TRAINING,
    YAHOO_BRIDGE,
)

Sources = dict[str, tuple[str, ...]]
"""Column names, by the id of their table, such as `market_data.roll_calendar`."""

Lines = dict[str, Sources]
"""The sources of each column of a table."""

FILES: Final = "drive.inventory"
"""The files themselves, as if they were a table with the files' columns."""

LOADED: Final = "raw.databento_ohlcv"
"""The loaded partitions, as if they were a table with the raw tables' columns."""

_ALL = [RAW[timeframe].id for timeframe in TIMEFRAMES]
_FINE = [RAW["1h"].id, RAW["1m"].id]
_PRICES = "open high low close"


def _same(columns: str, *tables: str) -> Iterator[tuple[str, Sources]]:
    """Yield each column with the column of the same name in these tables as its source."""
    for name in columns.split():
        yield name, dict.fromkeys(tables, (name,))


def _of(columns: str, sources: Mapping[str, str]) -> Iterator[tuple[str, Sources]]:
    """Yield each column with all of these as its sources."""
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
        # a session is built from its 1h bars if those have more volume
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

# the front month is chosen by the volumes of the trade date before
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
                # the adjustment at a roll is computed from both contracts' closes
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

_OBSERVED = {MACRO_OBSERVATIONS.id: "series_id reference_date available_at value"}
_RANGE_MEASURES = {
    "atr": ("high", "low", "close"),
    "garman_klass": ("open", "high", "low", "close"),
    "parkinson": ("high", "low"),
}


def _declared_lines() -> Iterator[tuple[str, Sources]]:
    """Yield the columns of features.yaml: closes, a range's other prices, legs that are series."""
    catalogue = load_features()
    for name in catalogue.structs:
        features = catalogue.of_struct(name)
        prices = {p for f in features for p in _RANGE_MEASURES.get(f.measure, ("close",))}
        sources = {SESSIONS.id: " ".join(p for p in _PRICES.split() if p in prices)}
        if any(f.leg in load_macro().series for f in features):
            sources |= _OBSERVED
        yield from _of(name, sources)


_MATRIX_LINES = [
    *_of("symbol", {SESSIONS.id: "root"}),
    *_of("data_date", {SESSIONS.id: "trade_date"}),
    *_of("timestamp", {SESSIONS.id: "trade_date root"}),
    *_of("market_data", {SESSIONS.id: f"{_PRICES} volume vwap realized_vol_1h"}),
    *_of("pivots", {SESSIONS.id: "high low close"}),
    *_of("fibonacci", {SESSIONS.id: "high low trade_date"}),
    # the only feature computed from bars within a session
    *_of("golden_zone", dict.fromkeys(_FINE, "ts_event high low close volume")),
    *_of("crush", {SESSIONS.id: "close"}),
    *_declared_lines(),
    *_of("macro policy", _OBSERVED),
    *_of("regime", {SESSIONS.id: "trade_date close"}),
    *_of("regime_name", {SESSIONS.id: "trade_date"}),
    *_of("source", {SESSIONS.id: "built_from contract_key symbol contract volume load_ids"}),
]


def _macro_lines() -> Lines:
    """Return the columns that macro.yaml's series are read from.

    A long file has one value per row, a wide one has many.
    """
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
            else:  # cot: contract.column; open interest shows whether a zero was measured
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


def _training_lines(name: str) -> Lines:
    """Return a training table's features by their column of the matrix, and where targets are from.

    A STRUCT's flat columns have the STRUCT as their source.
    """
    table = load_training().tables[name]
    origins = {
        f"{column.name}_{field.name}" if column.fields else column.name: column.name
        for column in DAILY_ML_MATRIX.columns
        for field in column.fields or (column,)
    }
    names = [c for c in TRAINING[name].column_names if c in origins]
    lines: Lines = {c: {DAILY_ML_MATRIX.id: (origins[c],)} for c in names}
    lines["training_weight"] = {DAILY_ML_MATRIX.id: ("regime",)}
    sessions = {SESSIONS.id: "contract_key symbol trade_date volume"}
    if table.bar is None:
        closes = {SESSIONS.id: "close contract_key symbol trade_date volume"}
        lines |= _of("target target_missing target_unadjusted target_closes", closes)
        lines |= _of("target_date target_known_at entry_contract exit_contract", sessions)
        return lines | dict(_of("rolls_between", sessions))
    raw = table.bar in TIMEFRAMES
    source = RAW[table.bar].id if raw else DERIVED[table.bar].id  # type: ignore[index]
    lines |= _same(f"trade_date {_PRICES} volume", source)
    lines |= _of("bar_end target_known_at", {source: "ts_event" if raw else "bar_end"})
    lines |= _of("bar_load_ids", {source: "load_id" if raw else "load_ids"})
    lines |= _of("target target_unadjusted", {source: "close ts_event"})
    lines |= _of("target_missing", {source: "close ts_event trade_date symbol instrument_id"})
    lines |= _of("target_date", {source: "trade_date"})
    named = {source: "contract symbol instrument_id", **sessions}
    return lines | dict(_of("entry_contract exit_contract rolls_between", named))


def _fold_lines() -> Lines:
    dates = {
        spec.id: "data_date" if load_training().tables[name].bar is None else "trade_date"
        for name, spec in TRAINING.items()
    }
    return dict(_of("fold from_date to_date", dates))


LINEAGE: Final[dict[str, Lines]] = {
    **{spec.id: dict(_same(" ".join(spec.column_names), LOADED)) for spec in RAW.values()},
    **{spec.id: _derived(timeframe) for timeframe, spec in DERIVED.items()},
    SESSIONS.id: dict(_SESSIONS_LINES),
    ROLL_CALENDAR.id: dict(_ROLL_LINES),
    CONTINUOUS.id: dict(_CONTINUOUS_LINES),
    DAILY_ML_MATRIX.id: dict(_MATRIX_LINES),
    **{spec.id: _training_lines(name) for name, spec in TRAINING.items()},
    FOLDS.id: _fold_lines(),
    MACRO_OBSERVATIONS.id: _macro_lines(),
    YAHOO_BRIDGE.id: _bridge_lines(),
}
"""Each table's columns with their sources, by table id."""

_FILE_HASH = "the file's own sha256"
_LOAD = "the load's id"

OTHER_ORIGINS: Final[dict[str, dict[str, str]]] = {
    **{
        spec.id: {"built_from": "always 1m"}
        for timeframe, spec in DERIVED.items()
        if timeframe != "4h"
    },
    CONTINUOUS.id: {
        "method": "constant per series: none, difference or ratio",
        "source": "constant per source table",
        "close_kind": "constant per source table",
    },
    DAILY_ML_MATRIX.id: {"ingestion_ts": "the clock"},
    **{
        spec.id: {"horizon": "training.yaml"}
        | ({} if load_training().tables[name].bar is None else {"target_closes": "always session"})
        for name, spec in TRAINING.items()
    },
    FOLDS.id: {"table": "training.yaml", "role": "training.yaml"},
    MACRO_OBSERVATIONS.id: {"source_file_id": _FILE_HASH, "load_id": _LOAD},
    YAHOO_BRIDGE.id: {
        **dict.fromkeys(("root", "close_kind", "scale", "adjustment", "source"), "sources.yaml"),
        "source_file_id": _FILE_HASH,
        "load_id": _LOAD,
        "loaded_at": "the clock",
    },
}
"""The columns without a source column, by table id, and where their value comes from."""
