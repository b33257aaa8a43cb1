"""Small frames of bars and sessions for the tests of features."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.config.macro import load_macro
from cbi_assets.config.regimes import Regimes, load_regimes
from cbi_assets.config.universe import load_universe
from cbi_assets.features.matrix import build_matrix
from cbi_assets.market.continuous import choose_active
from cbi_assets.market.session_bars import choose_finest, session_bars
from cbi_assets.tables import RAW, SESSIONS

OBSERVATION_SCHEMA: dict[str, Any] = {
    "series_id": pl.String,
    "reference_date": pl.Date,
    "available_at": pl.Datetime("us", "UTC"),
    "value": pl.Float64,
}
SESSION_SCHEMA = SESSIONS.schema_of(
    *(name for name in SESSIONS.column_names if name not in {"bars", "load_ids"})
)
"""What `session_bars` returns: a build adds the bars and loads of each session."""
WRITTEN = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)

BAR_SCHEMA: dict[str, Any] = {
    "root": pl.String,
    "symbol": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "trade_date": pl.Date,
    "ts_event": pl.Datetime("us", "UTC"),
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "load_id": pl.String,
}


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
    """A bar that starts at `hour` UTC of its trade date."""
    start = dt.datetime.combine(date, dt.time(hour), dt.UTC)
    return (root, symbol, contract, instrument_id, date, start, *ohlc, volume, load_id)


def bar_frame(rows: list[tuple[Any, ...]], built_from: str = "1h") -> pl.DataFrame:
    """Bars as `session_bars` takes them, and their load_id."""
    weighted = (pl.col("high") + pl.col("low") + pl.col("close")) * pl.col("volume")
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row").with_columns(
        weighted=weighted, built_from=pl.lit(built_from)
    )


def sessions_of(*bars: pl.DataFrame) -> pl.DataFrame:
    """The sessions of the bars, with the loads they came from."""
    whole = pl.concat(bars)
    key = ["symbol", "trade_date", "built_from"]
    stock = whole.group_by("root", *key).agg(
        pl.len().alias("bars"),
        pl.col("volume").sum(),
        pl.col("load_id").unique().sort().alias("load_ids"),
    )
    kept = choose_finest(stock).select(*key, "bars", "load_ids")
    return session_bars(whole).join(kept, on=key, how="inner")


def matrix_of(
    *bars: pl.DataFrame,
    regimes: Regimes | None = None,
    observations: pl.DataFrame | None = None,
    now: dt.datetime = WRITTEN,
) -> pl.DataFrame:
    """The matrix that a build makes of the bars."""
    universe = load_universe()
    sessions = sessions_of(*bars)
    active = choose_active(sessions, front_month_chain(sessions, universe).front_months)
    hours = pl.concat(bars).filter(pl.col("root") == "MES", pl.col("built_from") != "1d")
    zone = hours.join(active, on=["symbol", "trade_date", "built_from"], how="semi")
    tables = {timeframe: spec.id for timeframe, spec in RAW.items()}
    return build_matrix(
        active,
        sessions,
        zone,
        pl.DataFrame(schema=OBSERVATION_SCHEMA) if observations is None else observations,
        universe.calendars(),
        tables,
        regimes or load_regimes(),
        load_macro(),
        now,
    )


def session(
    date: dt.date,
    hlc: tuple[float, float, float] = (11.0, 9.0, 10.0),
    volume: int = 10,
    symbol: str = "ZL.v.0",
    contract_key: str = "ZL.v.0#1",
    is_pure: bool = True,
    root: str = "ZL",
) -> tuple[Any, ...]:
    """A session whose open is its close."""
    high, low, close = hlc
    prices = (close, high, low, close)
    contract = None if "#" in contract_key else contract_key
    names = (date, root, symbol, contract, contract_key, is_pure)
    return (*names, *prices, volume, None, None, "1h")


def outright(date: dt.date, contract: str, volume: int, root: str = "ZL") -> tuple[Any, ...]:
    """A session of an outright such as `ZLH2024`."""
    return session(
        date, volume=volume, symbol=contract[:3] + contract[-1], contract_key=contract, root=root
    )


def session_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SESSION_SCHEMA, orient="row")


def calendar_frame(days: list[dt.date], root: str = "ZL") -> pl.DataFrame:
    return pl.DataFrame({"root": [root] * len(days), "trade_date": days})
