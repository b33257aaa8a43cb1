"""Metadata of what `load_staging` and `train` did, for Dagster's assets and for the terminal.

A command in a terminal records it without the assets' definitions, which it need not import.
"""

from __future__ import annotations

from typing import Any

from cbi_assets.build.training import MISSING, TrainingOutcome
from cbi_assets.downloads.roll_fills import roll_fills
from cbi_assets.formatting import span
from cbi_assets.pipeline.metadata import range_metadata, rows_as_markdown
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.report.lights import Lights
from cbi_assets.session import Session
from cbi_assets.tables import FOLDS, TRAINING, YAHOO_BRIDGE, TableSpec

_BOOKS = (
    "SELECT path, source, layout, verdict, row_count, observations, published, duplicates, "
    "refused, conflicts, reason FROM `ops.staging_files` ORDER BY path, source"
)


def staging_metadata(session: Session, spec: TableSpec, lights: Lights) -> dict[str, Any]:
    """Return a table's rows and range, the lights, and the books of its staging files."""
    books = [
        row
        for row in session.warehouse.query(_BOOKS).to_dicts()
        if (row["layout"] == "bridge") == (spec is YAHOO_BRIDGE)
    ]
    return {
        **range_metadata(session.warehouse, [spec])[spec.id],
        **lights_metadata(lights),
        "books": rows_as_markdown(books),
    }


def training_metadata(
    session: Session, outcome: TrainingOutcome, lights: Lights
) -> dict[str, dict[str, Any]]:
    """Return each table's metadata: rows, range, lights, what targets lack, what was written."""
    fills = roll_fills(session, outcome.builds)
    builds = {row["table"]: row for row in outcome.builds.drop("inputs").to_dicts()}
    by_table = [{"table": name, "folds": row["folds"]} for name, row in builds.items()]
    rows = session.warehouse.query(f"SELECT COUNT(*) FROM `{FOLDS.id}`").item()
    shown = lights_metadata(lights)
    found: dict[str, dict[str, Any]] = {
        FOLDS.id: {"dagster/row_count": rows, "folds": rows_as_markdown(by_table), **shown}
    }
    for name, spec in TRAINING.items():
        row = builds.get(name)
        if row is None:
            found[spec.id] = {"dagster/row_count": 0, **shown}
            continue
        found[spec.id] = {
            "dagster/row_count": row["row_count"],
            "trade dates": span(row["first_date"], row["last_date"]) or "none",
            **shown,
            "rows written": outcome.written.get(name, 0),
            "rows removed": outcome.removed.get(name, 0),
            "targets": row["targets"],
            "without target": rows_as_markdown(
                [
                    {"reason": reason, "rows": row[column]}
                    for reason, column in MISSING.items()
                    if row[column]
                ]
            ),
            "folds": row["folds"],
            **({"to fill roll steps": fills[name]} if name in fills else {}),
        }
    return found
