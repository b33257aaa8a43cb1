"""Small frames of bars and sessions for the tests of features."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.config.features import load_features
from cbi_assets.config.macro import load_macro
from cbi_assets.config.regimes import Regimes, load_regimes
from cbi_assets.config.universe import load_universe
from cbi_assets.features.golden_zone import golden_zone
from cbi_assets.features.matrix import MatrixInputs, build_matrix
from cbi_assets.market.continuous import choose_active
from cbi_assets.market.session_bars import choose_finest, session_bars
from cbi_assets.tables import MACRO_OBSERVATIONS, RAW, SESSIONS

OBSERVATION_SCHEMA = MACRO_OBSERVATIONS.schema_of(
    "series_id", "reference_date", "available_at", "value"
)
SESSION_SCHEMA = SESSIONS.schema_of(
    *(name for name in SESSIONS.column_names if name not in {"bars", "load_ids"})
)
"""What `session_bars` returns: a build adds the bars and loads of each session."""
WRITTEN = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)

BAR_SCHEMA = RAW["1h"].schema_of(
    *("root", "symbol", "contract", "instrument_id", "trade_date", "ts_event"),
    *("open", "high", "low", "close", "volume", "load_id"),
)


def bar(
    date: dt.date,
    hour: int,
    ohlc: tuple[float, float, float, float],
    volume: int = 10,
    symbol: str = "ZL.v.0",
    contract: str | None = None,
    instrument_id: int = 1,
    root: str = "ZL",
    load_id: str = "L1",
) -> tuple[Any, ...]:
    """Make a bar that starts at `hour` UTC of its trade date."""
    start = dt.datetime.combine(date, dt.time(hour), dt.UTC)
    return (root, symbol, contract, instrument_id, date, start, *ohlc, volume, load_id)


def bar_frame(rows: list[tuple[Any, ...]], built_from: str = "1h") -> pl.DataFrame:
    """Make the input of `session_bars`, with load_id."""
    weighted = (pl.col("high") + pl.col("low") + pl.col("close")) * pl.col("volume")
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row").with_columns(
        weighted=weighted, built_from=pl.lit(built_from)
    )


def sessions_of(*bars: pl.DataFrame) -> pl.DataFrame:
    """Build the sessions of the bars, with their loads."""
    every = pl.concat(bars)
    key = ["symbol", "trade_date", "built_from"]
    inventory = every.group_by("root", *key).agg(
        pl.len().alias("bars"),
        pl.col("volume").sum(),
        pl.col("load_id").unique().sort().alias("load_ids"),
    )
    kept = choose_finest(inventory).select(*key, "bars", "load_ids")
    return session_bars(every).join(kept, on=key, how="inner")


def matrix_of(
    *bars: pl.DataFrame,
    regimes: Regimes | None = None,
    observations: pl.DataFrame | None = None,
    now: dt.datetime = WRITTEN,
) -> pl.DataFrame:
    """Build the matrix of the bars, as a build does."""
    universe = load_universe()
    sessions = sessions_of(*bars)
    active = choose_active(sessions, front_month_chain(sessions, universe).front_months)
    hours = pl.concat(bars).filter(pl.col("root") == "MES", pl.col("built_from") != "1d")
    zone = hours.join(active, on=["symbol", "trade_date", "built_from"], how="semi")
    inputs = MatrixInputs(
        active=active,
        sessions=sessions,
        zone=golden_zone(zone),
        observations=pl.DataFrame(schema=OBSERVATION_SCHEMA)
        if observations is None
        else observations,
        calendars=universe.calendars(),
        regimes=regimes or load_regimes(),
        macro=load_macro(),
        features=load_features(),
    )
    return build_matrix(inputs, now)


def session(
    date: dt.date,
    hlc: tuple[float, float, float] = (11.0, 9.0, 10.0),
    volume: int = 10,
    symbol: str = "ZL.v.0",
    contract_key: str = "ZL.v.0#1",
    is_pure: bool = True,
    root: str = "ZL",
) -> tuple[Any, ...]:
    """Make a session whose open is its close."""
    high, low, close = hlc
    prices = (close, high, low, close)
    contract = None if "#" in contract_key else contract_key
    names = (date, root, symbol, contract, contract_key, is_pure)
    return (*names, *prices, volume, None, None, "1h")


def outright(date: dt.date, contract: str, volume: int, root: str = "ZL") -> tuple[Any, ...]:
    """Make a session of an outright such as `ZLH2024`."""
    return session(
        date, volume=volume, symbol=contract[:3] + contract[-1], contract_key=contract, root=root
    )


def session_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SESSION_SCHEMA, orient="row")


def calendar_frame(days: list[dt.date], root: str = "ZL") -> pl.DataFrame:
    return pl.DataFrame({"root": [root] * len(days), "trade_date": days})
