"""Validate a staging file's observations: published, duplicate, refused or in conflict."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import polars as pl

from cbi_assets.config.macro import Macro
from cbi_assets.config.sources import Staging
from cbi_assets.load.staging.availability import available_at
from cbi_assets.load.staging.layouts import NO_SOURCE
from cbi_assets.tables import MACRO_OBSERVATIONS

PUBLISHED_SCHEMA: Final = pl.Schema(
    MACRO_OBSERVATIONS.schema_of("series_id", "reference_date", "available_at", "value", "source")
    | {"is_new": pl.Boolean()}
)
"""Published observations; `is_new` if by this load. `source` is the key in sources.yaml."""

VERDICTS: Final = ("published", "duplicate", "refused", "conflict")


@dataclass(frozen=True)
class Validated:
    """Every observation of a file with its `verdict`, one of VERDICTS.

    `observations` has OBSERVATION_SCHEMA's columns, source_key, series_id, available_at (of the
    published), verdict and reason.
    """

    observations: pl.DataFrame

    def published(self) -> pl.DataFrame:
        """Return source (key in sources.yaml), series_id, dates and value of published rows."""
        return self.observations.filter(pl.col("verdict") == "published").select(
            pl.col("source_key").alias("source"),
            "series_id",
            "reference_date",
            "available_at",
            "value",
        )


def validate(
    layout: str,
    observations: pl.DataFrame,
    existing: pl.DataFrame,
    staging: Staging,
    macro: Macro,
    seen_at: dt.datetime,
) -> Validated:
    """Validate observations (OBSERVATION_SCHEMA) against sources.yaml, macro.yaml and the tables.

    A row is refused for the first of: no source, a refused source, an unknown source, what its
    layout found, no series of that name and date, a kind that the source may not give.

    Of equal values of one series and date, the first is published. Different values inside one file
    are all in conflict, since nothing says which was published when. A value equal to the published
    one is a duplicate. A different value of the same source is a vintage, known from `seen_at` on,
    when the file was first seen. A different value of another source, or of another file of the
    same load, is in conflict, and the published one stays.
    """
    placed = _place(layout, observations, staging, macro)
    return Validated(_settle(_date(placed, macro), existing, seen_at))


def _place(layout: str, observations: pl.DataFrame, staging: Staging, macro: Macro) -> pl.DataFrame:
    """Add source_key, series_id and the reason to refuse, null for valid rows."""
    names = observations["source"].drop_nulls().unique().to_list()
    known = staging.source_keys() | {source.source: source.source for source in staging.declared}
    why: dict[str, str] = {}
    for name in names:
        if reason := staging.refusal_reason(name):
            why[name] = f"{name}: {reason}"
        elif name not in known:
            why[name] = f"{name} is not a source of sources.yaml"
    placed = observations.with_columns(
        source_key=pl.col("source").replace_strict(known, default=None, return_dtype=pl.String),
        series_id=_series_of(layout, macro),
    )
    kinds = {name: series.kind for name, series in macro.series.items()}
    allowed = pl.DataFrame(
        [(key, kind) for key, source in staging.sources.items() for kind in source.kinds],
        schema={"source_key": pl.String, "kind": pl.String},
        orient="row",
    ).with_columns(is_allowed=True)
    placed = placed.with_columns(
        kind=pl.col("series_id").replace_strict(kinds, default=None, return_dtype=pl.String)
    ).join(allowed, on=["source_key", "kind"], how="left", maintain_order="left")
    none = pl.concat_str(
        pl.lit("no series of macro.yaml takes "),
        pl.col("item"),
        pl.when(pl.col("item").is_in(_names_of(layout, macro)))
        .then(pl.lit(" of this date"))
        .otherwise(pl.lit("")),
    )
    why_not = pl.coalesce(
        pl.when(pl.col("source").is_null()).then(pl.lit(NO_SOURCE)),
        pl.col("source").replace_strict(why, default=None, return_dtype=pl.String),
        pl.col("fault"),
        pl.when(pl.col("series_id").is_null()).then(none),
        pl.when(pl.col("is_allowed").is_null()).then(
            pl.concat_str("source_key", pl.lit(" may not give "), "kind")
        ),
    )
    return placed.with_columns(reason=why_not).drop("kind", "is_allowed")


def _names_of(layout: str, macro: Macro) -> list[str]:
    return [
        name
        for series in macro.series.values()
        for origin in series.origins
        if origin.layout == layout
        for name in origin.names
    ]


def _series_of(layout: str, macro: Macro) -> pl.Expr:
    """Return the series that takes an item on its reference date, or null."""
    day, first = pl.col("reference_date"), pl.col("reference_date").dt.day() == 1
    found: list[pl.Expr] = [pl.lit(None, pl.String)]
    for series_id, series in macro.series.items():
        for origin in series.origins:
            if origin.layout != layout:
                continue
            hit = pl.col("item").is_in(list(origin.names))
            hit &= day.is_between(origin.since, origin.until)
            if origin.day != "any":
                hit &= first if origin.day == "first" else ~first
            found.append(pl.when(hit).then(pl.lit(series_id)))
    return pl.coalesce(found)


def _date(placed: pl.DataFrame, macro: Macro) -> pl.DataFrame:
    """Add available_at by the series' publication rule, null for refused rows."""
    valid = placed.filter(pl.col("reason").is_null()).select("series_id", "reference_date").unique()
    parts = [
        part.with_columns(available_at(part["reference_date"], macro.publication_of(str(key[0]))))
        for key, part in valid.partition_by("series_id", as_dict=True).items()
    ]
    dates = (
        pl.concat(parts)
        if parts
        else valid.with_columns(available_at=pl.lit(None, PUBLISHED_SCHEMA["available_at"]))
    )
    return placed.join(dates, on=["series_id", "reference_date"], how="left", maintain_order="left")


def _settle(dated: pl.DataFrame, existing: pl.DataFrame, seen_at: dt.datetime) -> pl.DataFrame:
    """Add the verdict; move available_at for a vintage, and give conflicts a reason."""
    key = ["series_id", "reference_date"]
    refused = dated.filter(pl.col("reason").is_not_null()).with_columns(
        verdict=pl.lit("refused"), available_at=pl.lit(None, PUBLISHED_SCHEMA["available_at"])
    )
    latest = (
        existing.sort("available_at")
        .unique(key, keep="last", maintain_order=True)
        .select(
            *key,
            pl.col("value").alias("existing_value"),
            pl.col("source").alias("existing_source"),
            pl.col("available_at").alias("existing_at"),
            "is_new",
        )
    )
    seen = pl.lit(seen_at, dtype=pl.Datetime("us", "UTC"))
    differs = pl.col("existing_value").is_not_null() & (pl.col("existing_value") != pl.col("value"))
    shown = pl.col("existing_value").cast(pl.String)
    valid = (
        dated.filter(pl.col("reason").is_null())
        .join(latest, on=key, how="left", maintain_order="left")
        .with_row_index("place")
        .with_columns(
            versions=pl.col("value").n_unique().over(key),
            is_first=pl.col("place") == pl.col("place").min().over(key),
            vintage_at=pl.max_horizontal("available_at", seen),
        )
        .with_columns(
            reason=pl.when(pl.col("versions") > 1)
            .then(pl.format("{} different values for one date in this file", "versions"))
            .when(differs & (pl.col("existing_source") != pl.col("source_key")))
            .then(pl.format("{} has {} for this date", "existing_source", shown))
            .when(differs & pl.col("is_new"))
            .then(pl.format("another file of this load has {} for this date", shown))
            .when(differs & (pl.col("existing_at") >= pl.col("vintage_at")))
            .then(pl.format("{} is published for this date and not yet available", shown))
        )
        .with_columns(
            verdict=pl.when(pl.col("reason").is_not_null())
            .then(pl.lit("conflict"))
            .when(
                ~pl.col("is_first") | (pl.col("existing_value") == pl.col("value")).fill_null(False)
            )
            .then(pl.lit("duplicate"))
            .otherwise(pl.lit("published")),
            available_at=pl.when(differs).then("vintage_at").otherwise("available_at"),
        )
    )
    return pl.concat([refused, valid.select(refused.columns)]).sort("row_no", maintain_order=True)
