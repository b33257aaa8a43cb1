"""Run the checks on staging's observations and on the Yahoo bridge; one result per check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from cbi_assets.checks.check import Check, CheckContext
from cbi_assets.checks.sliced_table import book_of
from cbi_assets.checks.sql_checks import SqlInputs, sql_runner
from cbi_assets.tables import RAW, STAGING_FILES
from cbi_assets.warehouse.base import Statement

STAGING_IDS: Final = Statement(f"SELECT DISTINCT file_id FROM `{STAGING_FILES.id}`")
"""What asks for the files of staging."""


def _observations(context: CheckContext, checks: Sequence[Check]) -> SqlInputs:
    project = context.session.project
    allowed = [
        (source, series_id)
        for series_id, series in project.macro.series.items()
        for source, spec in project.sources.staging.sources.items()
        if series.kind in spec.kinds
    ]
    schema = {"source": pl.String, "series_id": pl.String}
    frames = {"allowed": pl.DataFrame(allowed, schema=schema, orient="row")}
    raw = {f"raw_{timeframe}": spec.id for timeframe, spec in RAW.items()}
    if context.full or _has_staged_bars(context):
        return SqlInputs([""], frames=frames, tables=raw)
    bars = RAW["1d"].schema_of("symbol", "dataset", "trade_date", "source_file_id")
    none = context.session.warehouse.stage_frame("no_bars", pl.DataFrame(schema=bars))
    return SqlInputs([""], frames=frames, tables=dict.fromkeys(raw, none), pasted=raw)


def _has_staged_bars(context: CheckContext) -> bool:
    """Return whether the slices of the raw tables have bars of a file of staging."""
    staged = set(context.session.warehouse.query(STAGING_IDS.sql)["file_id"])
    return any(
        file_id in staged
        for spec in RAW.values()
        for piece in book_of(context).stored(spec.id).values()
        for _, file_id, _ in piece.files
    )


def _bridge(context: CheckContext, checks: Sequence[Check]) -> SqlInputs:
    stitch = context.session.project.sources.stitch
    rows = [] if stitch is None else [stitch.model_dump(exclude={"columns", "close_only_before"})]
    schema = {
        "root": pl.String,
        "source": pl.String,
        "boundary": pl.Date,
        "scale": pl.Float64,
        "adjustment": pl.String,
        "close_kind": pl.String,
    }
    return SqlInputs([""], frames={"stitch": pl.DataFrame(rows, schema)})


run_observations: Final = sql_runner(_observations)
"""Runs checks on the macro and policy observations."""

run_bridge: Final = sql_runner(_bridge)
"""Runs checks on the Yahoo bridge."""
