"""The audit's checks: each written down once, run on either warehouse, their results kept."""

from cbi_assets.checks.matrix import MATRIX_CHECKS, TABLE_CHECK, check_matrix, check_table
from cbi_assets.checks.model import Check, CheckResult, Severity
from cbi_assets.checks.raw import FRESH_TRADE_DATES, RAW_CHECKS, check_raw
from cbi_assets.checks.results import (
    check_everything,
    failed_upstream,
    keep_results,
    roots_held,
)

__all__ = [
    "FRESH_TRADE_DATES",
    "MATRIX_CHECKS",
    "RAW_CHECKS",
    "TABLE_CHECK",
    "Check",
    "CheckResult",
    "Severity",
    "check_everything",
    "check_matrix",
    "check_raw",
    "check_table",
    "failed_upstream",
    "keep_results",
    "roots_held",
]
