"""Show check results: findings or a table for people, JSON values for --json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbi_assets.cli.console import say, table
from cbi_assets.ledger.check_results import CheckResult

_LISTED = 3
"""Failing partitions that a check's row names."""


def show_findings(results: Sequence[CheckResult]) -> None:
    """Print one line per check that fails or warns, failures first."""
    groups: dict[tuple[str, str], list[CheckResult]] = {}
    for result in results:
        if not result.passed:
            groups.setdefault((result.table_id, result.name), []).append(result)
    for (_, name), group in sorted(groups.items(), key=lambda item: not item[1][0].failed):
        first, *others = group
        more = f" (and {len(others):,} more)" if others else ""
        say(f"{'FAIL' if first.failed else 'WARN'}  {name}  {first.message}{more}", indent="      ")


def show_checks(results: Sequence[CheckResult]) -> None:
    """Print one row per table and check, with the partitions that fail."""
    groups: dict[tuple[str, str, str], list[CheckResult]] = {}
    for result in results:
        key = (result.table_id, result.name, result.severity)
        groups.setdefault(key, []).append(result)
    rows = []
    for (table_id, name, severity), group in groups.items():
        failed = [result for result in group if not result.passed]
        partitions = sum(1 for result in group if result.partition) or None
        verdict = "passes" if not failed else ("WARN" if severity == "WARN" else "FAIL")
        findings = ", ".join(f"{r.partition} ({r.actual})".strip() for r in failed[:_LISTED])
        if len(failed) > _LISTED:
            findings += f" … and {len(failed) - _LISTED} more"
        rows.append((table_id.partition(".")[2], name, verdict, partitions, findings))
    table("Checks", ["table", "check", "verdict", "partitions", "findings"], rows)


def count_results(results: Sequence[CheckResult]) -> tuple[int, int]:
    """Return how many results fail and how many warn."""
    failed = sum(result.failed for result in results)
    return failed, sum(not result.passed for result in results) - failed


def check_document(result: CheckResult) -> dict[str, Any]:
    """Return a check's result as JSON values."""
    return {
        "table": result.table_id,
        "check": result.name,
        "severity": result.severity,
        "partition": result.partition,
        "passed": result.passed,
        "expected": result.expected,
        "actual": result.actual,
        "sample": result.sample,
        "sql": result.sql,
    }
