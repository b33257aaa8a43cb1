"""Show what a build wrote, or the rows that it would write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from cbi_assets.build.build import BuildOutcome
from cbi_assets.build.training import MISSING, TrainingOutcome
from cbi_assets.cli.console import format_cell, say, say_verdict, table
from cbi_assets.cli.show_checks import (
    check_document,
    count_results,
    show_checks,
    show_findings,
)
from cbi_assets.cli.show_lights import show_lights
from cbi_assets.formatting import number, plural, span
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.report.lights import Lights


def show_build(
    outcome: BuildOutcome,
    trained: TrainingOutcome | None,
    lights: Lights | None,
    fills: Mapping[str, str],
    *,
    everything: bool = False,
) -> None:
    """Print the skipped roots, a preview's rows, what is not right, the verdict and the lights.

    `trained` and `lights` are None for a preview; `fills` say by root what would make roll steps
    known. If `everything`, print the checks that pass, too.
    """
    for root, reasons in outcome.skipped.items():
        say(f"not rebuilt: {root}: {'; '.join(reasons)}")
    if outcome.preview is not None:
        _show_preview(outcome.preview)
    checks = [*outcome.checks, *(trained.checks if trained else ())]
    if everything:
        show_checks(checks)
    else:
        show_findings(checks)
    for root, fill in fills.items():
        say(f"unknown roll steps of {root}: {fill}")
    passed = not outcome.has_failures and not (trained and trained.has_failures)
    say_verdict(passed, _describe(outcome, checks), count_results(checks)[1])
    if trained is not None and trained.builds.height:
        say(_describe_training(trained))
    if lights is not None:
        show_lights(lights)


def _describe_training(trained: TrainingOutcome) -> str:
    """Return on one line what the training tables contain, and what their targets lack."""
    builds = trained.builds
    rows, targets = (int(builds[name].sum()) for name in ("row_count", "targets"))
    counts = {text: int(builds[name].sum()) for text, name in MISSING.items()}
    reasons = ", ".join(f"{number(count)} {text}" for text, count in counts.items() if count)
    return (
        f"{plural(builds.height, 'training table')}: {plural(rows, 'row')}, "
        f"{number(sum(trained.written.values()))} written; {plural(targets, 'target')}"
        + (f", without: {reasons}" if reasons else "")
    )


def build_document(
    outcome: BuildOutcome, trained: TrainingOutcome | None, lights: Lights | None
) -> dict[str, Any]:
    """Return what a build wrote as JSON values."""
    return {
        "rows": outcome.rows,
        "lights": None if lights is None else lights.document(),
        "barred": outcome.skipped,
        "first": outcome.first,
        "last": outcome.last,
        "replaced": {
            item.spec.id: {"written": item.written, "removed": item.removed}
            for item in outcome.replaced
        },
        "preview": None if outcome.preview is None else outcome.preview.to_dicts(),
        "checks": [check_document(result) for result in outcome.checks],
        "training": None
        if trained is None
        else {
            "written": trained.written,
            "removed": trained.removed,
            "tables": trained.builds.drop("inputs").to_dicts(),
            "checks": [check_document(result) for result in trained.checks],
        },
    }


def _describe(outcome: BuildOutcome, checks: list[CheckResult]) -> str:
    """Return the rows of the matrix, and what went wrong."""
    if outcome.preview is not None:
        done = f"{plural(outcome.preview.height, 'row')} built, nothing published"
    else:
        total = sum(outcome.rows.values())
        done = (
            f"{plural(total, 'row')} of {plural(len(outcome.rows), 'root')} "
            "in features.daily_ml_matrix"
        )
        if outcome.first:
            done += f", {span(outcome.first, outcome.last)}"
    failed = count_results(checks)[0]
    counts = (
        (len(outcome.skipped), "root not rebuilt", "roots not rebuilt"),
        (failed, "check failed", "checks failed"),
    )
    return ", ".join([done, *(plural(n, one, many) for n, one, many in counts if n)])


def _show_preview(rows: pl.DataFrame) -> None:
    """Print one table per row: field and value, each field of a STRUCT by itself."""
    for row in rows.to_dicts():
        cells: list[tuple[str, Any]] = []
        for name, value in row.items():
            fields = value.items() if isinstance(value, dict) else [("", value)]
            cells += [(f"{name}.{field}".rstrip("."), inner) for field, inner in fields]
        title = f"{row['symbol']} {row['data_date']} (not published)"
        table(title, ["column", "value"], [(name, format_cell(value)) for name, value in cells])
