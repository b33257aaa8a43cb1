"""Every check, one row each: whatever runs, lists, documents or draws checks reads CHECKS."""

from __future__ import annotations

from functools import partial
from typing import Final

from cbi_assets.checks.built_checks import run_matrix, run_rolls, run_sessions, run_table_spec
from cbi_assets.checks.check import Check, Runner
from cbi_assets.checks.fold_checks import run_folds
from cbi_assets.checks.point_in_time import run_point_in_time
from cbi_assets.checks.raw_checks import run_raw, run_rebuilds
from cbi_assets.checks.staging_checks import run_bridge, run_observations
from cbi_assets.checks.training_checks import run_training
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.tables import (
    ALL_TABLES,
    ALL_VIEWS,
    DAILY_ML_MATRIX,
    FOLDS,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    TRAINING,
    YAHOO_BRIDGE,
)

SPEC_CHECK: Final = "table_matches_its_spec"
"""The check that every table has; it is about the table's structure, not its rows."""


def _raw_checks(timeframe: Timeframe) -> tuple[Check, ...]:
    check = partial(Check, table=RAW[timeframe], run=run_raw, timeframe=timeframe)
    return (
        check(
            "row_count_matches_files",
            sentence="The table contains as many bars of each file as the ledger says.",
            noun="unaccounted bar",
        ),
        check(
            "no_duplicate_bars",
            sentence="No two bars share a symbol and start time.",
            noun="duplicate bar",
            in_canary=True,
        ),
        check(
            "source_is_databento",
            sentence="Every bar comes from a Databento file that the ledger knows.",
            noun="non-Databento bar",
        ),
        check(
            "no_overlapping_loads_disagree",
            sentence="Where files overlap, they agree on every bar; else both versions are kept.",
            noun="conflicting bar",
        ),
        check(
            "ohlc_is_consistent",
            sentence="Open and close are between low and high; no price or volume is missing.",
            noun="inconsistent bar",
            in_canary=True,
        ),
        check(
            "prices_are_on_tick",
            sentence="Every price of an outright or a continuous symbol is a multiple of its "
            "root's tick on that trade date.",
            noun="off-tick bar",
            in_canary=True,
        ),
        check(
            "prices_are_plausible",
            sentence="No close is less than two thirds or more than one and a half times the one "
            "before. QM's were, in April 2020.",
            noun="implausible step",
            severity="WARN",
        ),
        check(
            "schema_matches_timeframe",
            sentence="Every bar starts on the minute, on the hour or at midnight UTC, as its "
            "timeframe requires, and its file is of that timeframe.",
            noun="wrong-timeframe bar",
        ),
        check(
            "coverage_is_uniform",
            sentence="Each root covers the dates wanted of it, up to the newest date of the table.",
            noun="uncovered range",
            severity="WARN",
        ),
        check(
            "no_unexplained_gaps",
            sentence="No trade date is missing within a series, except those the vendor lacks.",
            noun="missing trade date",
            severity="WARN",
        ),
        check(
            "days_are_final",
            sentence="The vendor called no loaded day degraded or pending when it was fetched, and "
            "has modified none since.",
            noun="unsettled day",
            severity="WARN",
        ),
        check(
            "bars_are_fresh",
            sentence="The newest bar is from one of the last five trade dates that have closed.",
            noun="stale root",
            severity="WARN",
        ),
    )


_TRAINING_CHECKS: Final = (
    (
        "targets_do_not_leak",
        "Rebuilt from input that ends on a random date, no target is known before target_known_at, "
        "and every feature is the matrix row's.",
        "leaking row",
    ),
    (
        "targets_are_roll_consistent",
        "On a sample of rows, the target is what the closes of its contracts and the rolls in "
        "market_data.roll_calendar give.",
        "inconsistent target",
    ),
)

CHECKS: Final[tuple[Check, ...]] = (
    *(check for timeframe in TIMEFRAMES for check in _raw_checks(timeframe)),
    Check(
        "hourly_rebuilds_daily",
        RAW["1d"],
        "Each 1d bar equals the 1h bars of its instrument aggregated by UTC day, whatever symbol "
        "either was requested by, where both tables have bars.",
        "mismatched bar",
        run_rebuilds,
        timeframe="1d",
    ),
    Check(
        "minute_rebuilds_hourly",
        RAW["1h"],
        "Each 1h bar equals the 1m bars of its instrument aggregated by hour, whatever symbol "
        "either was requested by, where both tables have bars.",
        "mismatched bar",
        run_rebuilds,
        timeframe="1h",
    ),
    Check(
        "no_price_from_staging",
        MACRO_OBSERVATIONS,
        "Every observation is of a series in macro.yaml, from a source allowed to give it and a "
        "file that the ledger knows; no raw bar comes from staging.",
        "disallowed value",
        run_observations,
    ),
    Check(
        "yahoo_only_before_2010_06_06",
        YAHOO_BRIDGE,
        "Yahoo's rows are dated before 2010-06-06, and are in the bridge alone.",
        "disallowed Yahoo row",
        run_bridge,
    ),
    Check(
        "stitch_is_documented",
        YAHOO_BRIDGE,
        "Yahoo's rows are stitched as sources.yaml says, and the statistics of their overlap with "
        "Databento's were computed after the newest load.",
        "stitch problem",
        run_bridge,
        of_build=True,
    ),
    Check(
        "continuous_is_liquid",
        SESSIONS,
        "In no session did ROOT.v.0 trade less than 5% of its usual volume, the mean of the 20 "
        "sessions before. After holidays and at month ends the vendor's stands on dead contracts.",
        "thin session",
        run_sessions,
        "WARN",
    ),
    Check(
        "own_rolls_match_vendor",
        ROLL_CALENDAR,
        "Our front month is the vendor's (ROOT.v.0) on at least 95% of trade dates.",
        "mismatched trade date",
        run_rolls,
        "WARN",
    ),
    Check(
        "one_row_per_trade_date",
        DAILY_ML_MATRIX,
        "Each root has one row per trade date.",
        "duplicated trade date",
        run_matrix,
    ),
    Check(
        "prices_come_from_databento",
        DAILY_ML_MATRIX,
        "Every row's prices come from Databento bars, of loads that the ledger knows.",
        "non-Databento row",
        run_matrix,
    ),
    Check(
        "regime_covers_every_row",
        DAILY_ML_MATRIX,
        "Every row is in a market regime of regimes.yaml.",
        "uncovered row",
        run_matrix,
    ),
    Check(
        "matrix_is_point_in_time",
        DAILY_ML_MATRIX,
        "No row knows the future: rebuilt from what was known on a date, every row up to that date "
        "is the same.",
        "mismatched row",
        run_point_in_time,
    ),
    *(
        Check(name, table, sentence, noun, run_training)
        for table in TRAINING.values()
        for name, sentence, noun in _TRAINING_CHECKS
    ),
    Check(
        "folds_are_purged",
        FOLDS,
        "No target window of a row reaches a date of another role of its fold, and no test row is "
        "within the horizon after validation.",
        "row too close to another role",
        run_folds,
    ),
    *(
        Check(
            SPEC_CHECK,
            table,
            "The table has the columns, partitions and clustering of its spec; nothing expires.",
            "difference",
            run_table_spec,
        )
        for table in (*ALL_TABLES, *ALL_VIEWS)
    ),
)
"""All checks; those of one table and runner follow each other, so that they run together."""


def checks_run_by(run: Runner, timeframe: Timeframe | None = None) -> list[Check]:
    """Return the checks that a runner runs, of one timeframe if given."""
    return [
        check
        for check in CHECKS
        if check.run is run and (timeframe is None or check.timeframe == timeframe)
    ]
