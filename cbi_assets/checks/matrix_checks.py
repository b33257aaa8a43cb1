"""The checks on the matrix, by root, and on every live table."""

from __future__ import annotations

from collections.abc import Sequence

from cbi_assets.checks.check import Check, CheckResult, run_checks
from cbi_assets.session import Session
from cbi_assets.tables import DAILY_ML_MATRIX, TableSpec
from cbi_assets.warehouse.drift import differences

MATRIX_CHECKS = (
    Check(
        "one_row_per_trade_date",
        "Each root has one row for a trade date, not two.",
        counts="trade dates with more than one row",
    ),
    Check(
        "prices_come_from_databento",
        "Every row's prices come from Databento bars, of loads that the books know.",
        counts="rows with prices from elsewhere",
    ),
    Check(
        "regime_covers_every_row",
        "Every row lies in a market regime of regimes.yaml.",
        counts="rows without a regime",
    ),
)
TABLE_CHECK = Check(
    "table_matches_its_spec",
    "The table has the columns, partitions and clusters it should have, and nothing in it expires.",
)


def check_matrix(
    session: Session, roots: Sequence[str], table: str = DAILY_ML_MATRIX.id
) -> list[CheckResult]:
    """Run the matrix checks on these roots. `table` is another id."""
    names = {"table": table}
    return run_checks(session, MATRIX_CHECKS, names, {"roots": list(roots)}, roots, None)


def check_table(session: Session, spec: TableSpec) -> CheckResult:
    """Hold a live table against its spec."""
    warehouse = session.warehouse
    live = warehouse.live_table(spec)
    faults = ["the table is missing"] if live is None else differences(spec, live)
    return CheckResult(
        check=TABLE_CHECK,
        table_id=spec.id,
        root="",
        timeframe=None,
        passed=not faults,
        expected="no difference from its specification",
        actual="; ".join(faults) or "none",
        offenders=len(faults),
        sample=[{"difference": fault} for fault in faults],
        sql=warehouse.to_dialect(spec.create_statement()),
    )
