"""The audit's checks: each written down once, run on either warehouse, their results kept."""

from cbi_assets.checks.check import Check, CheckResult, Severity
from cbi_assets.checks.matrix_checks import MATRIX_CHECKS, TABLE_CHECK, check_matrix, check_table
from cbi_assets.checks.point_in_time import POINT_IN_TIME, check_point_in_time
from cbi_assets.checks.raw_checks import FRESH_TRADE_DATES, RAW_CHECKS, check_raw
from cbi_assets.checks.rebuilds import REBUILD_CHECKS, check_rebuilds
from cbi_assets.checks.roll_checks import ROLL_CHECKS, check_rolls
from cbi_assets.checks.staging_checks import (
    BRIDGE_CHECKS,
    STAGING_CHECKS,
    check_bridge,
    check_staging,
)
from cbi_assets.ledger.check_results import (
    check_everything,
    failed_upstream,
    keep_results,
    roots_held,
    seed_of,
)

__all__ = [
    "BRIDGE_CHECKS",
    "FRESH_TRADE_DATES",
    "MATRIX_CHECKS",
    "POINT_IN_TIME",
    "RAW_CHECKS",
    "REBUILD_CHECKS",
    "ROLL_CHECKS",
    "STAGING_CHECKS",
    "TABLE_CHECK",
    "Check",
    "CheckResult",
    "Severity",
    "check_bridge",
    "check_everything",
    "check_matrix",
    "check_point_in_time",
    "check_raw",
    "check_rebuilds",
    "check_rolls",
    "check_staging",
    "check_table",
    "failed_upstream",
    "keep_results",
    "roots_held",
    "seed_of",
]
