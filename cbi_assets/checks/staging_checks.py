"""Run the checks on staging's observations and on the Yahoo bridge; one result per check."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from cbi_assets.checks.check import Check, CheckContext, run_sql_checks
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.tables import RAW


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
    return run_sql_checks(context, checks, [""], frames={"allowed": frame}, tables=raw)


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
