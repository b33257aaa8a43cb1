"""daily_ml_matrix: one row per root and trade date, known at that session's close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import polars as pl

from cbi_assets.config.macro import Macro
from cbi_assets.config.regimes import Regimes
from cbi_assets.features.crush import CRUSH_COLUMNS, crush
from cbi_assets.features.fibonacci import FIBONACCI_COLUMNS, fibonacci
from cbi_assets.features.golden_zone import golden_zone
from cbi_assets.features.macro_columns import macro_as_of
from cbi_assets.features.pivots import PIVOT_COLUMNS, pivots
from cbi_assets.features.regime_columns import name_regimes
from cbi_assets.features.volatility import log_returns, volatility
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.market.sessions import Calendar, session_closes, trade_dates

ZONE_ROOTS = ("MES",)
"""The roots whose rows have a golden zone."""

_KEY = ["root", "trade_date"]


def build_matrix(
    active: pl.DataFrame,
    sessions: pl.DataFrame,
    zone_hours: pl.DataFrame,
    observations: pl.DataFrame,
    calendars: Mapping[str, Calendar],
    tables: Mapping[str, str],
    regimes: Regimes,
    macro: Macro,
    ingestion_ts: dt.datetime,
) -> pl.DataFrame:
    """Build the rows of daily_ml_matrix (its columns, in order), one a row of `active`.

    `sessions` has SESSION_COLUMNS and load_ids: outrights and continuous symbols of rank 0;
    `active` are those of them that stand for their roots, one a root and trade date, with
    roll_rule. `zone_hours` are the hours of ZONE_ROOTS' active sessions; `observations` the values
    of `macro`'s series (series_id, reference_date, available_at, value). `calendars` names every
    root's sector; `tables` the raw tables' ids by timeframe, for `source.price_source`.

    A pivot, a return and a session are of bars of one kind: the exchange's sessions (1m, 1h) or the
    vendor's UTC days (1d); the windows of the volatility reach over the root's rows of both. The
    crush of ZL's rows needs the rows of ZM and ZS.
    """
    if active.is_empty():
        return pl.DataFrame()
    is_fine = pl.col("built_from").is_in(INTRADAY)
    rows = []
    for kind in (is_fine, ~is_fine):
        some, own = active.filter(kind), sessions.filter(kind)
        if some.is_empty():
            continue
        calendar = _trade_dates_of(some, calendars)
        rows.append(
            some.join(pivots(some, own, calendar), on=_KEY, how="left").join(
                log_returns(some, own, calendar), on=_KEY, how="left"
            )
        )
    whole = pl.concat(rows).with_columns(
        price_source=pl.col("built_from").replace_strict(tables, return_dtype=pl.String)
    )
    whole = (
        whole.join(fibonacci(whole), on=_KEY, how="left")
        .join(_as_struct("golden_zone", golden_zone(zone_hours)), on=_KEY, how="left")
        .join(crush(whole), on=_KEY, how="left")
        .join(volatility(whole), on=_KEY, how="left")
        .join(name_regimes(whole, regimes), on="trade_date", how="left")
        .join(_closes(whole, calendars), on=_KEY, how="left")
    )
    ages = {name: series.max_age_days for name, series in macro.series.items()}
    whole = whole.join(macro_as_of(whole, observations, ages), on=_KEY, how="left")
    return whole.sort("root", "trade_date").select(
        pl.col("root").alias("symbol"),
        pl.col("trade_date").alias("data_date"),
        "timestamp",
        pl.struct("open", "high", "low", "close", "volume", "vwap", "realized_vol_1h").alias(
            "market_data"
        ),
        pl.struct(*PIVOT_COLUMNS).alias("pivots"),
        pl.struct(*FIBONACCI_COLUMNS).alias("fibonacci"),
        "golden_zone",
        pl.struct(*CRUSH_COLUMNS).alias("crush"),
        pl.struct(*macro.of_group("macro")).alias("macro"),
        pl.struct(*macro.of_group("policy")).alias("policy"),
        pl.struct(pl.col("regime_name").alias("name"), "weight", "vol_percentile", "k_vol").alias(
            "regime"
        ),
        "regime_name",
        pl.struct(
            "price_source",
            pl.when(pl.col("contract_key").str.contains("#", literal=True))
            .then(pl.col("symbol"))
            .otherwise(pl.col("contract_key"))
            .alias("active_contract"),
            "roll_rule",
            "load_ids",
        ).alias("source"),
        pl.lit(ingestion_ts, dtype=pl.Datetime("us", "UTC")).alias("ingestion_ts"),
    )


def _closes(rows: pl.DataFrame, calendars: Mapping[str, Calendar]) -> pl.DataFrame:
    """Each row's session close: root, trade_date, timestamp."""
    return pl.concat(
        part.select(*_KEY, timestamp=session_closes(part["trade_date"], calendars[part["root"][0]]))
        for part in rows.partition_by("root")
    )


def _as_struct(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns beside the key as one struct: its names are taken elsewhere in a row."""
    return rows.select(*_KEY, pl.struct(pl.exclude(_KEY)).alias(name))


def _trade_dates_of(active: pl.DataFrame, calendars: Mapping[str, Calendar]) -> pl.DataFrame:
    spans = active.group_by("root", maintain_order=True).agg(
        pl.col("trade_date").min().alias("first"), pl.col("trade_date").max().alias("last")
    )
    frames = []
    for root, first, last in spans.iter_rows():
        # two weeks more, so that the first rows know their prior week
        days = trade_dates(calendars[root], first - dt.timedelta(days=14), last)
        frames.append(pl.DataFrame({"root": [root] * len(days), "trade_date": days}))
    return pl.concat(frames)
