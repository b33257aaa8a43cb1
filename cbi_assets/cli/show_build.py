"""Show what a build wrote, or the rows that it would write."""

from __future__ import annotations

from typing import Any

import polars as pl

from cbi_assets.build.build import BuildOutcome
from cbi_assets.cli.console import format_cell, say, say_verdict, table
from cbi_assets.cli.show_checks import (
    check_document,
    count_results,
    show_checks,
    show_findings,
)
from cbi_assets.cli.show_lights import show_lights
from cbi_assets.formatting import plural, span
from cbi_assets.report.lights import Lights


def show_build(outcome: BuildOutcome, lights: Lights | None, *, everything: bool = False) -> None:
    """Print the skipped roots, a preview's rows, what is not right, the verdict and the lights.

    `lights` are None for a preview. If `everything`, print the checks that pass, too.
    """
    for root, reasons in outcome.skipped.items():
        say(f"not rebuilt: {root}: {'; '.join(reasons)}")
    if outcome.preview is not None:
        _show_preview(outcome.preview)
    if everything:
        show_checks(outcome.checks)
    else:
        show_findings(outcome.checks)
    say_verdict(not outcome.has_failures, _describe(outcome), count_results(outcome.checks)[1])
    if lights is not None:
        show_lights(lights)


def build_document(outcome: BuildOutcome, lights: Lights | None) -> dict[str, Any]:
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
    }


def _describe(outcome: BuildOutcome) -> str:
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
    failed = count_results(outcome.checks)[0]
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
