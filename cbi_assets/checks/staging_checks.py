"""Run the checks on staging's observations and on the Yahoo bridge; one result per check."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from cbi_assets.checks.check import Check, CheckContext, run_sql_checks
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.tables import RAW
from cbi_assets.warehouse.sql_files import load_sql


def run_observations(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Run checks on the macro and policy observations."""
    project = context.session.project
    allowed = [
        (source, series_id)
        for series_id, series in project.macro.series.items()
        for source, spec in project.sources.staging.sources.items()
        if series.kind in spec.kinds
    ]
    schema = {"source": pl.String, "series_id": pl.String}
    frame = pl.DataFrame(allowed, schema=schema, orient="row")
    raw = {f"raw_{timeframe}": spec.id for timeframe, spec in RAW.items()}
    frames = {"allowed": frame}
    if context.full or _files_in_slices(context):
        return run_sql_checks(context, checks, [""], frames=frames, tables=raw)
    warehouse = context.session.warehouse
    bars = RAW["1d"].schema_of("symbol", "dataset", "trade_date", "source_file_id")
    none = warehouse.stage_frame("no_bars", pl.DataFrame(schema=bars))
    unread = dict.fromkeys(raw, none)
    return run_sql_checks(context, checks, [""], frames=frames, tables=unread, pasted=raw)


def _files_in_slices(context: CheckContext) -> int:
    """Return how many files of staging the stored slices of the raw tables have bars of."""
    return int(context.session.warehouse.query(load_sql("checks/staging_files_in_slices")).item())


def run_bridge(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Run checks on the Yahoo bridge."""
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
    return run_sql_checks(context, checks, [""], frames={"stitch": pl.DataFrame(rows, schema)})
