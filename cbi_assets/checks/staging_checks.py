"""The checks on staging's observations and on the Yahoo bridge."""

from __future__ import annotations

import polars as pl

from cbi_assets.checks.check import Check, CheckResult, run_checks
from cbi_assets.session import Session
from cbi_assets.tables import MACRO_OBSERVATIONS, RAW, YAHOO_BRIDGE

STAGING_CHECKS = (
    Check(
        "no_price_from_staging",
        "Every observation is of a series of macro.yaml, from a source that may give it and a file "
        "that the books know; no raw bar comes from staging.",
        counts="values from where they may not come from",
    ),
)

BRIDGE_CHECKS = (
    Check(
        "yahoo_only_before_2010_06_06",
        "Yahoo's rows all lie before 2010-06-06, and in the bridge alone.",
        counts="rows of Yahoo where none may be",
    ),
    Check(
        "stitch_is_documented",
        "Yahoo's rows stand before Databento's as sources.yaml says, and what compares the two "
        "where they overlap was worked out after the newest load.",
        counts="faults of the stitch",
    ),
)


def check_staging(session: Session) -> list[CheckResult]:
    """Run the checks on raw_intelligence.macro_observations; one result for the whole table."""
    project = session.project
    allowed = [
        (source, series_id)
        for series_id, series in project.macro.series.items()
        for source, spec in project.sources.staging.sources.items()
        if series.kind in spec.kinds
    ]
    frame = pl.DataFrame(
        allowed, schema={"source": pl.String, "series_id": pl.String}, orient="row"
    )
    names = {
        "table": MACRO_OBSERVATIONS.id,
        **{f"raw_{timeframe}": spec.id for timeframe, spec in RAW.items()},
    }
    return run_checks(session, STAGING_CHECKS, names, {}, [""], None, {"allowed": frame})


def check_bridge(session: Session) -> list[CheckResult]:
    """Run the checks on the bridge; one result for the whole table."""
    stitch = session.project.sources.stitch
    rows = [] if stitch is None else [stitch.model_dump(exclude={"columns", "close_only_before"})]
    frame = pl.DataFrame(
        rows,
        schema={
            "root": pl.String,
            "source": pl.String,
            "boundary": pl.Date,
            "scale": pl.Float64,
            "adjustment": pl.String,
            "close_kind": pl.String,
        },
    )
    names = {"table": YAHOO_BRIDGE.id}
    return run_checks(session, BRIDGE_CHECKS, names, {}, [""], None, {"stitch": frame})
