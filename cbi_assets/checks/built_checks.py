"""Run the checks on what a build publishes, by root, and on every live table's structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cbi_assets.checks.check import Check, CheckContext
from cbi_assets.checks.sql_checks import SqlInputs, sql_runner
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.market.rolls import THIN_SHARE, USUAL_DATES
from cbi_assets.tables import RAW
from cbi_assets.warehouse.drift import differences

MATCH_PERCENT: Final = 95
"""The share of trade dates on which our front month must be the vendor's.

The vendor ranks by the UTC day's volume, changes at 00:00 UTC, may change back, and knows no
deadline, so a few trade dates per roll may differ: one at each of twelve rolls a year is 5%.
"""


def _matrix(context: CheckContext, checks: Sequence[Check]) -> SqlInputs:
    roots = context.roots_in(checks[0].table)
    return SqlInputs(roots, {"roots": roots})


def _sessions(context: CheckContext, checks: Sequence[Check]) -> SqlInputs:
    roots = context.roots_in(checks[0].table)
    return SqlInputs(
        roots, {"roots": roots, "share": THIN_SHARE}, tables={"dates": str(USUAL_DATES)}
    )


def _rolls(context: CheckContext, checks: Sequence[Check]) -> SqlInputs:
    roots = context.roots_in(checks[0].table)
    tables = {"daily": RAW["1d"].id, "hourly": RAW["1h"].id}
    return SqlInputs(roots, {"roots": roots, "percent": MATCH_PERCENT}, tables=tables)


run_matrix: Final = sql_runner(_matrix)
"""Runs checks on the matrix' own rows."""

run_sessions: Final = sql_runner(_sessions)
"""Runs checks on each root's sessions."""

run_rolls: Final = sql_runner(_rolls)
"""Compares our front months with the vendor's.

On trade dates for which the 1d or 1h table contains both the vendor's symbol (ROOT.v.0) and the
outright that it mapped to.
"""


def run_table_spec(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Compare a live table with its TableSpec."""
    (check,) = checks
    warehouse = context.session.warehouse
    live = warehouse.live_table(check.table)
    found = ["the table is missing"] if live is None else differences(check.table, live)
    sample = [{"difference": difference} for difference in found]
    sql = warehouse.to_dialect(check.table.create_statement)
    actual = f"{plural(len(found), check.noun)}: {'; '.join(found)}" if found else ""
    return [check.result(context, "", len(found), sample, sql, actual=actual)]
