"""Turn results of checks into Dagster's objects; no other module does.

A definition's description is the check's rule; a result's is its finding. Dagster has two types for
the latter: an asset check returns a result, while events logged by other runs are evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from cbi_assets.checks import Check
from cbi_assets.formatting import markdown_table, plural
from cbi_assets.ledger.check_results import CheckResult, Severity
from cbi_assets.pipeline.asset_keys import ASSET_TABLES, table_key
from cbi_assets.report.lights import LIGHT_CHECKS, LIGHTS_ID, Lights

_MOST_ROOTS = 20


def to_check_result(check: Check, results: Sequence[CheckResult]) -> dg.AssetCheckResult:
    """Return what an asset check found: on one partition, or on all roots of its table."""
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=table_key(check.table.id),
        **_finding(check.severity, results),
    )


def to_evaluations(results: Iterable[CheckResult]) -> list[dg.AssetCheckEvaluation]:
    """Return evaluations of the results on tables that are assets.

    One per check and partition of a raw table, one per check of any other table. Failures come
    last: Dagster's page shows of a check its newest evaluation, whichever partition that is of.
    """
    groups: dict[tuple[str, str, str | None], list[CheckResult]] = {}
    for result in results:
        if result.table_id in ASSET_TABLES:
            partition = result.partition if result.timeframe else None
            groups.setdefault((result.table_id, result.name, partition), []).append(result)
    evaluations = [
        dg.AssetCheckEvaluation(
            asset_key=table_key(table_id),
            check_name=name,
            partition=partition,
            blocking=group[0].severity == "ERROR",
            **_finding(group[0].severity, group),
        )
        for (table_id, name, partition), group in groups.items()
    ]
    return sorted(evaluations, key=lambda evaluation: not evaluation.passed)


def _finding(severity: Severity, results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return what both of Dagster's types take; a table fails if one of its roots does."""
    failed = [result for result in results if not result.passed]
    if not results:
        description = "the table is empty"
        metadata: dict[str, Any] = {"expected": "none", "actual": description}
    else:
        shown = (failed or results)[0]
        description, metadata = shown.message, _metadata(shown)
        if failed and severity == "WARN":
            description = f"Warning: {description}"  # Dagster calls it failed
        if len(failed) > 1:
            description += f" (and {plural(len(failed) - 1, 'more root')})"
        elif not failed and len(results) > 1:
            metadata["actual"] = description = f"passes for {plural(len(results), 'root')}"
        if failed and shown.timeframe is None and shown.root:
            metadata["roots"] = _list([result.root for result in failed])
    return {
        "passed": not failed,
        "severity": dg.AssetCheckSeverity[severity],
        "description": description,
        "metadata": metadata,
    }


def light_specs() -> list[dg.AssetCheckSpec]:
    """Return the definitions of the lights' checks, on the audit's asset."""
    return [
        dg.AssetCheckSpec(name, asset=table_key(LIGHTS_ID), description=sentence)
        for name, sentence in LIGHT_CHECKS.items()
    ]


def lights_to_evaluations(lights: Lights) -> list[dg.AssetCheckEvaluation]:
    """Return an evaluation of each light, for runs other than the audit's own."""
    return [
        dg.AssetCheckEvaluation(asset_key=table_key(LIGHTS_ID), check_name=name, **found)
        for name, found in _light_findings(lights)
    ]


def lights_to_check_results(lights: Lights) -> list[dg.AssetCheckResult]:
    """Return a result of each light's check, for the run that materializes the audit."""
    return [
        dg.AssetCheckResult(asset_key=table_key(LIGHTS_ID), check_name=name, **found)
        for name, found in _light_findings(lights)
    ]


def lights_metadata(lights: Lights) -> dict[str, Any]:
    """Return the lights, and how far the data reaches, for an asset to show at a glance."""
    rows = [(light.name, light.color, light.text, f"`{light.command}`") for light in lights.all]
    shown = markdown_table(["light", "color", "reason", "next"], rows)
    return {
        "lights": dg.MetadataValue.md(shown),
        "data": lights.through.text if lights.through else "no bars yet",
    }


def _light_findings(lights: Lights) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, light in zip(LIGHT_CHECKS, lights.all, strict=True):
        warning = "Warning: " if light.color == "amber" else ""
        sample = [vars(reason) for reason in light.reasons]
        yield (
            name,
            {
                "passed": light.color == "green",
                "severity": dg.AssetCheckSeverity["ERROR" if light.color == "red" else "WARN"],
                "description": f"{warning}{light.text}. Next: {light.command}",
                "metadata": {"color": light.color, "reasons": _sample_table(sample)},
            },
        )


def _metadata(result: CheckResult) -> dict[str, Any]:
    return {
        "expected": result.expected,
        "actual": result.actual,
        "offending rows": result.offenders,
        "sample": _sample_table(result.sample),
        "sql": dg.MetadataValue.md(f"```sql\n{result.sql.strip()}\n```"),
    }


def _sample_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as Dagster's own table, whose records must all have the same fields."""
    columns = list(rows[0]) if rows else ["offending row"]
    records = [dg.TableRecord({name: _cell(row[name]) for name in columns}) for row in rows]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    return dg.MetadataValue.table(records, schema)


def _cell(value: Any) -> str | int | float | bool | None:
    """Return a value that JSON can carry; Dagster's page reads neither dates nor NaN."""
    if value is None or isinstance(value, str | int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)


def _list(roots: Sequence[str]) -> str:
    shown = ", ".join(roots[:_MOST_ROOTS])
    return f"{shown} … and {len(roots) - _MOST_ROOTS} more" if len(roots) > _MOST_ROOTS else shown
