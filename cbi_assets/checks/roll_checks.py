"""The check on the own chain's rolls, by root."""

from __future__ import annotations

from collections.abc import Sequence

from cbi_assets.checks.check import Check, CheckResult, run_checks
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.tables.derived_tables import ROLL_CALENDAR

MATCH_PERCENT = 95
"""Own chain and vendor must hold the same contract on this share of the trade dates.

The vendor takes the UTC day's volume, changes at 00:00 UTC, goes back again and knows no deadline,
so that a few trade dates a roll may differ: one at each of twelve rolls a year is 5%.
"""

ROLL_CHECKS = (
    Check(
        "own_rolls_match_vendor",
        "The own chain holds the vendor's contract (ROOT.v.0) but for a few dates around a roll.",
        "WARN",
    ),
)


def check_rolls(
    session: Session, roots: Sequence[str], table: str = ROLL_CALENDAR.id
) -> list[CheckResult]:
    """Run the roll checks on these roots. `table` is another id of the roll calendar.

    Contracts are compared on trade dates on which the 1d or 1h tables hold both the vendor's symbol
    and the outright behind it.
    """
    names = {"table": table, "daily": RAW["1d"].id, "hourly": RAW["1h"].id}
    params = {"roots": list(roots), "percent": MATCH_PERCENT}
    return run_checks(session, ROLL_CHECKS, names, params, roots, None)
