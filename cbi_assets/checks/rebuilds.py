"""The checks that hold the vendor's bars of one timeframe against its bars of the next finer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cbi_assets.checks.check import Check, CheckResult, run_checks
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW

REBUILD_CHECKS: Final[dict[Timeframe, Check]] = {
    "1d": Check(
        "hourly_rebuilds_daily",
        "The 1h bars of a UTC day make its 1d bar, to the tick and the lot, where both are held.",
        text="rebuilds",
    ),
    "1h": Check(
        "minute_rebuilds_hourly",
        "The 1m bars of an hour make its 1h bar, to the tick and the lot, where both are held.",
        text="rebuilds",
    ),
}
"""By the timeframe of the bars that are rebuilt."""

_PARTS: Final[dict[Timeframe, tuple[Timeframe, str]]] = {"1d": ("1h", "DAY"), "1h": ("1m", "HOUR")}


def check_rebuilds(
    session: Session, timeframe: Timeframe, roots: Sequence[str]
) -> list[CheckResult]:
    """Rebuild these roots' bars from the next finer ones; nothing for 1m bars: none are finer.

    A symbol's bars are compared on the UTC days for which both tables have bars of it.
    """
    if timeframe not in REBUILD_CHECKS:
        return []
    finer, step = _PARTS[timeframe]
    names = {"table": RAW[timeframe].id, "finer": RAW[finer].id, "step": step}
    check = REBUILD_CHECKS[timeframe]
    return run_checks(session, [check], names, {"roots": list(roots)}, roots, timeframe)
