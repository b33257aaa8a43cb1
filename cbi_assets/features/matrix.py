"""daily_ml_matrix: one row per root and trade date, known at that session's close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

from cbi_assets.config.features import Features
from cbi_assets.config.macro import Macro
from cbi_assets.config.regimes import Regimes
from cbi_assets.features.catalogue import catalogue_columns
from cbi_assets.features.crush import crush
from cbi_assets.features.fibonacci import fibonacci
from cbi_assets.features.macro_columns import macro_as_of
from cbi_assets.features.pivots import pivots
from cbi_assets.features.regime_columns import name_regimes
from cbi_assets.features.volatility import log_returns, volatility
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.market.sessions import Calendar, session_closes, trade_dates
from cbi_assets.tables import DAILY_ML_MATRIX, RAW, Column

ZONE_ROOTS = ("MES",)
"""The roots whose rows have a golden zone."""

_KEY = ["root", "trade_date"]


@dataclass(frozen=True)
class MatrixInputs:
    """What the rows of daily_ml_matrix are computed from.

    Attributes
    ----------
    active : pl.DataFrame
        The roots' active sessions, as from `choose_active`, with load_ids.
    sessions : pl.DataFrame
        The sessions that these were chosen from: outrights and continuous symbols of rank 0.
    zone : pl.DataFrame
        The rows of `golden_zone` of ZONE_ROOTS' active sessions of 1m or 1h bars.
    observations : pl.DataFrame
        Values of macro.yaml's series: series_id, reference_date, available_at (UTC), value.
    calendars : Mapping[str, Calendar]
        Sector calendar of every root in `active`.
    regimes : Regimes
        The user's regimes.
    macro : Macro
        The series of macro.yaml.
    features : Features
        The features of features.yaml.
    roots : collection of str or None
        The roots whose rows get these; all if None. The others are legs.
    """

    active: pl.DataFrame
    sessions: pl.DataFrame
    zone: pl.DataFrame
    observations: pl.DataFrame
    calendars: Mapping[str, Calendar]
    regimes: Regimes
    macro: Macro
    features: Features
    roots: Collection[str] | None = None


def build_matrix(inputs: MatrixInputs, ingestion_ts: dt.datetime) -> pl.DataFrame:
    """Build the rows of daily_ml_matrix, one per active session.

    A pivot, a return and a session use bars of one kind: the exchange's sessions (1m, 1h) or the
    vendor's UTC days (1d). The windows of the volatility include the root's rows of both kinds. The
    crush of ZL's rows needs the active sessions of ZM and ZS.

    Parameters
    ----------
    inputs : MatrixInputs
        Sessions, hours, observations and settings.
    ingestion_ts : dt.datetime
        When the rows are written (UTC). No other column depends on it.

    Returns
    -------
    pl.DataFrame
        The table's columns in its order, sorted by symbol and data_date.
    """
    if inputs.active.is_empty():
        return pl.DataFrame(schema=DAILY_ML_MATRIX.polars_schema)
    is_intraday = pl.col("built_from").is_in(INTRADAY)
    parts = []
    for kind in (is_intraday, ~is_intraday):
        active, sessions = inputs.active.filter(kind), inputs.sessions.filter(kind)
        if active.is_empty():
            continue
        calendar = _trade_dates_of(active, inputs.calendars)
        parts.append(
            active.join(pivots(active, sessions, calendar), on=_KEY, how="left").join(
                log_returns(active, sessions, calendar), on=_KEY, how="left"
            )
        )
    rows = pl.concat(parts)
    max_ages = {name: series.max_age_days for name, series in inputs.macro.series.items()}
    closes = _session_closes(rows, inputs.calendars)
    rows = (
        rows.join(fibonacci(rows), on=_KEY, how="left")
        .join(_as_struct("golden_zone", inputs.zone), on=_KEY, how="left")
        .join(crush(rows), on=_KEY, how="left")
        .join(volatility(rows), on=_KEY, how="left")
        .join(name_regimes(rows, inputs.regimes), on="trade_date", how="left")
        .join(closes, on=_KEY, how="left")
        .join(macro_as_of(closes, inputs.observations, max_ages), on=_KEY, how="left")
    )
    roots = set(rows["root"]) if inputs.roots is None else inputs.roots
    declared = catalogue_columns(rows, inputs.observations, inputs.features, roots)
    rows = (
        rows.join(declared, on=_KEY, how="left")
        .with_columns(
            name="regime_name",
            price_source=pl.col("built_from").replace_strict(
                {timeframe: spec.id for timeframe, spec in RAW.items()}, return_dtype=pl.String
            ),
            active_contract=pl.when(pl.col("contract_key").str.contains("#", literal=True))
            .then(pl.col("symbol"))
            .otherwise(pl.col("contract_key")),
            ingestion_ts=pl.lit(ingestion_ts, dtype=pl.Datetime("us", "UTC")),
        )
        .drop("symbol")
        .rename({"root": "symbol", "trade_date": "data_date"})
    )
    return rows.sort("symbol", "data_date").select(
        _select(column, rows) for column in DAILY_ML_MATRIX.columns
    )


def _select(column: Column, rows: pl.DataFrame) -> pl.Expr:
    """The table's column: as it is, or a STRUCT of the columns named like its fields."""
    if column.name in rows.columns:
        return pl.col(column.name)
    return pl.struct(field.name for field in column.fields).alias(column.name)


def _session_closes(rows: pl.DataFrame, calendars: Mapping[str, Calendar]) -> pl.DataFrame:
    """Return each row's session close: root, trade_date, timestamp (UTC)."""
    return pl.concat(
        part.select(*_KEY, timestamp=session_closes(part["trade_date"], calendars[part["root"][0]]))
        for part in rows.partition_by("root")
    )


def _as_struct(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Pack all columns but the key into a struct, as a row has other columns of these names."""
    return rows.select(*_KEY, pl.struct(pl.exclude(_KEY)).alias(name))


def _trade_dates_of(active: pl.DataFrame, calendars: Mapping[str, Calendar]) -> pl.DataFrame:
    """Return the trade dates of each root's rows: root, trade_date."""
    spans = active.group_by("root", maintain_order=True).agg(
        pl.col("trade_date").min().alias("first"), pl.col("trade_date").max().alias("last")
    )
    frames = []
    for root, first, last in spans.iter_rows():
        # The first rows need all of their prior week.
        days = trade_dates(calendars[root], first - dt.timedelta(days=14), last)
        frames.append(pl.DataFrame({"root": [root] * len(days), "trade_date": days}))
    return pl.concat(frames)
