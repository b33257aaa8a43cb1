"""Checks: one registry, and the runners that the checks of a table share."""

from cbi_assets.checks.check import Check, CheckContext, run_all, run_checks
from cbi_assets.checks.raw_checks import FRESH_TRADE_DATES
from cbi_assets.checks.registry import CHECKS, SPEC_CHECK, checks_run_by

__all__ = [
    "CHECKS",
    "FRESH_TRADE_DATES",
    "SPEC_CHECK",
    "Check",
    "CheckContext",
    "checks_run_by",
    "run_all",
    "run_checks",
]
