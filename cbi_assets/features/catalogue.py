"""The columns that features.yaml declares, for the rows of daily_ml_matrix."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, get_args

import polars as pl

from cbi_assets.config.features import Feature, Features, PairMeasure, PriceMeasure
from cbi_assets.features.pair_features import correlation_and_beta, spread
from cbi_assets.features.price_features import price_features
from cbi_assets.market.session_bars import INTRADAY

_KEY: Final = ["root", "trade_date"]
_UTC: Final = pl.Datetime("us", "UTC")


def catalogue_columns(
    rows: pl.DataFrame,
    observations: pl.DataFrame,
    catalogue: Features,
    roots: Collection[str],
) -> pl.DataFrame:
    """Compute the features of some roots.

    Parameters
    ----------
    rows : pl.DataFrame
        root, trade_date, built_from, timestamp (session close, UTC), open, high, low, close,
        prior_date, growth, log_return of the active sessions of these roots and of their legs.
    observations : pl.DataFrame
        series_id, reference_date, available_at (UTC), value, for legs that are series.
    catalogue : Features
        All of features.yaml.
    roots : collection of str
        The roots to compute.

    Returns
    -------
    pl.DataFrame
        root, trade_date and one Float64 column per feature, in the catalogue's order; one row per
        row of `rows` that is of these roots. A feature that a root does not have is null.
    """
    every = catalogue.every
    schema = pl.Schema(
        {name: rows.schema[name] for name in _KEY} | {f.name: pl.Float64() for f in every}
    )
    known = rows.sort(_KEY).with_columns(_known_at())
    by_root = {str(key[0]): part for key, part in known.partition_by("root", as_dict=True).items()}
    parts = [pl.DataFrame(schema=schema)]
    for root in sorted(set(by_root) & set(roots)):
        features = [feature for feature in every if feature.is_of(root)]
        own = by_root[root]
        found = pl.concat(
            [own.select(_KEY), price_features(own, _with(features, PriceMeasure))],
            how="horizontal",
        )
        for part in _of_others(own, by_root, observations, features):
            found = found.join(part, on="trade_date", how="left", maintain_order="left")
        parts.append(found)
    return pl.concat(parts, how="diagonal").select(schema.names())


def _of_others(
    own: pl.DataFrame,
    by_root: dict[str, pl.DataFrame],
    observations: pl.DataFrame,
    features: list[Feature],
) -> list[pl.DataFrame]:
    """Compute a root's features of other markets: those whose legs all have rows."""
    parts = []
    pairs = _with(features, PairMeasure)
    for leg in dict.fromkeys(f.leg for f in pairs if f.leg is not None):
        returns = by_root[leg] if leg in by_root else _series_returns(observations, leg)
        columns = ("trade_date", "prior_date", "log_return", "known_at")
        parts.append(
            correlation_and_beta(
                own.select(columns), returns.select(columns), [f for f in pairs if f.leg == leg]
            )
        )
    for feature in features:
        if feature.terms and all(root in by_root for root, _ in feature.terms):
            parts.append(spread(own, by_root, feature))
    return parts


def _with(features: list[Feature], measures: object) -> list[Feature]:
    return [feature for feature in features if feature.measure in get_args(measures)]


def _known_at() -> pl.Expr:
    """Return when a row was known: a UTC day of the vendor's ends after the session."""
    close = pl.col("timestamp").cast(_UTC)
    day_end = pl.col("trade_date").dt.offset_by("1d").cast(_UTC)
    is_daily = ~pl.col("built_from").is_in(INTRADAY)
    return pl.max_horizontal(close, pl.when(is_daily).then(day_end)).alias("known_at")


def _series_returns(observations: pl.DataFrame, series_id: str) -> pl.DataFrame:
    """Return a series' log returns from one reference date to the next, of first vintages.

    A return is known once both of its values are.
    """
    values = (
        observations.filter(pl.col("series_id") == series_id)
        .with_columns(pl.col("available_at").cast(_UTC))
        .sort("reference_date", "available_at")
        .unique("reference_date", keep="first", maintain_order=True)
    )
    prior = values.select(pl.col("reference_date", "available_at", "value").shift(1))
    positive = (values["value"] > 0) & (prior["value"] > 0)
    return values.select(
        trade_date="reference_date",
        prior_date=prior["reference_date"],
        log_return=pl.when(positive).then((pl.col("value") / prior["value"]).log()),
        known_at=pl.max_horizontal("available_at", prior["available_at"]),
    )
