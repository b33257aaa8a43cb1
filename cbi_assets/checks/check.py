"""A check: a name, a sentence, a SQL text and a severity; run for many roots at once.

A check's SQL gives the offending rows, at most 20 a root, with `root` and `offenders` (how many
there are). A row with `offenders` 0 only tells what was found. `expected` and `actual` columns,
where a check has them, are what people read; else they are counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cbi_assets.checks.inline_sql import spell_check, staged_name
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.warehouse.base import Params
from cbi_assets.warehouse.sql_files import load_sql

Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True)
class Check:
    """One check; its SQL is `sql/checks/<name>.sql`, or another `text` there. `counts` says what
    its offending rows are, for people to read: "repeated bars: 2"."""

    name: str
    sentence: str
    severity: Severity = "ERROR"
    text: str | None = None
    counts: str = "offending rows"

    @property
    def expected(self) -> str:
        """What a check that only counts wants to find."""
        return f"no {self.counts}"


@dataclass(frozen=True)
class CheckResult:
    """A check's outcome on one root of one table. `sample` holds up to 20 of the offending rows,
    `offenders` counts them all, `sql` gives them again when it is pasted into the warehouse."""

    check: Check
    table_id: str
    root: str
    timeframe: Timeframe | None
    passed: bool
    expected: str
    actual: str
    offenders: int
    sample: list[dict[str, Any]]
    sql: str

    @property
    def partition(self) -> str:
        """`ZL|1h`, or the bare root for a table without timeframes; empty for a whole table."""
        return f"{self.root}|{self.timeframe}" if self.timeframe else self.root

    @property
    def failed(self) -> bool:
        """Whether data fell short: an ERROR that did not hold."""
        return not self.passed and self.check.severity == "ERROR"


def run_checks(
    session: Session,
    checks: Sequence[Check],
    names: dict[str, str],
    params: Params,
    roots: Sequence[str],
    timeframe: Timeframe | None,
    frames: Mapping[str, pl.DataFrame] | None = None,
) -> list[CheckResult]:
    """Run the checks' SQL, `names` put into it, and judge each root; `names["table"]` is the
    table, `frames` are staged for it."""
    warehouse = session.warehouse
    frames = frames or {}
    staged = {
        name: warehouse.stage_frame(staged_name(name), frame) for name, frame in frames.items()
    }
    results = []
    for check in checks:
        text = check.text or check.name
        found = warehouse.query(load_sql(f"checks/{text}", **names, **staged), params)
        by_root = {
            str(key[0]): part for key, part in found.partition_by("root", as_dict=True).items()
        }
        for root in roots:
            sql = spell_check(warehouse, text, names, params, frames, root)
            results.append(_judge(check, names["table"], root, timeframe, by_root.get(root), sql))
    return results


def _judge(
    check: Check,
    table_id: str,
    root: str,
    timeframe: Timeframe | None,
    rows: pl.DataFrame | None,
    sql: str,
) -> CheckResult:
    offenders = 0 if rows is None else int(rows["offenders"][0])
    expected, actual = check.expected, f"{check.counts}: {offenders:,}" if offenders else "none"
    sample: list[dict[str, Any]] = []
    if rows is not None:
        if "expected" in rows.columns:
            expected, actual = str(rows["expected"][0]), str(rows["actual"][0])
        if offenders:
            sample = rows.drop("offenders").to_dicts()
    return CheckResult(
        check=check,
        table_id=table_id,
        root=root,
        timeframe=timeframe,
        passed=offenders == 0,
        expected=expected,
        actual=actual,
        offenders=offenders,
        sample=sample,
        sql=sql,
    )
