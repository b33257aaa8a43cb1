"""Metadata that people see in Dagster: tables, schemas, books, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from cbi_assets import formatting
from cbi_assets.build.build import BuildOutcome
from cbi_assets.drive.inventory import by_folder
from cbi_assets.drive.survey import Survey
from cbi_assets.ledger.books import LOAD_COUNTS
from cbi_assets.load.load import PartitionLoad
from cbi_assets.load.partition_profiles import PartitionProfile
from cbi_assets.pipeline.lineage import LINEAGE, MADE_OF_NOTHING
from cbi_assets.tables import DAILY_ML_MATRIX, Column, TableSpec
from cbi_assets.warehouse.base import JobCost


def column_schema(spec: TableSpec) -> dg.TableSchema:
    """A table's columns with types, descriptions and units; a STRUCT's fields behind it, as
    `pivots.P`."""
    return dg.TableSchema(
        columns=[
            _column(name, shown)
            for column in spec.columns
            for name, shown in (
                (column.name, column),
                *((f"{column.name}.{field.name}", field) for field in column.fields),
            )
        ]
    )


def table_metadata(spec: TableSpec) -> dict[str, Any]:
    """What an asset shows of its table without a run: columns, name, key, and lineage by column.

    Dagster's free page draws no column lineage, so a table says the same in words.
    """
    lines = LINEAGE.get(spec.id, {})
    lineage = dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(dg.AssetKey(table.split(".")), name)
                for table, names in sources.items()
                for name in names
            ]
            for column, sources in lines.items()
        }
    )
    told = [
        {
            "column": column.name,
            "made of": "; ".join(
                f"{table}: {', '.join(found)}" for table, found in lines[column.name].items()
            )
            if column.name in lines
            else MADE_OF_NOTHING.get(spec.id, {}).get(column.name, "not written down"),
        }
        for column in spec.columns
    ]
    return {
        "dagster/column_schema": column_schema(spec),
        "dagster/column_lineage": lineage,
        "dagster/table_name": spec.id,
        "key": ", ".join(spec.key),
        "what each column is made of": markdown_table(told),
    }


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Return rows as a Markdown table; a dash if there are none."""
    if not rows:
        return dg.MetadataValue.md("–")
    columns = list(rows[0])
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    return dg.MetadataValue.md(formatting.markdown_table(columns, cells))


def inventory_metadata(survey: Survey) -> dict[str, Any]:
    """What lies on the drive: folder says and content says, side by side."""
    troubles = [{"path": f.path, "why": f.reason} for f in survey.refused]
    return {
        "files": len(survey.files),
        "files read": survey.read,
        "records on the drive": sum(content.records for content in survey.contents.values()),
        "folders": markdown_table([row.shown() for row in by_folder(survey)]),
        "refused": markdown_table(troubles[:50]),
    }


def cost_metadata(cost: JobCost | None) -> dict[str, Any]:
    """What a load cost where the warehouse bills; of the whole load, not of one partition."""
    if cost is None:
        return {}
    return {
        "jobs of the load": cost.jobs,
        "bytes sent": cost.bytes_uploaded,
        "bytes billed": cost.bytes_billed,
        "slot seconds": cost.slot_ms / 1_000,
    }


def partition_metadata(
    profile: PartitionProfile | None,
    load: PartitionLoad | None,
    plots: Mapping[str, dg.MarkdownMetadataValue],
) -> dict[str, Any]:
    """What a partition holds and, after a load, what the load did to it."""
    metadata: dict[str, Any] = {"dagster/partition_row_count": profile.row_count if profile else 0}
    if profile is None:
        metadata["note"] = "No file on the drive holds bars of this root in this timeframe."
    else:
        metadata |= {
            "first bar": profile.first_ts_event.isoformat(),
            "last bar": profile.last_ts_event.isoformat(),
            "trade dates": f"{profile.first_trade_date} to {profile.last_trade_date}",
            "symbols": profile.symbols,
            "files": profile.files,
            **plots,
            "newest bars": markdown_table(profile.sample),
        }
    if load is not None:
        metadata |= {
            "rows before": load.rows_before,
            "rows after": load.rows_after,
            "books": markdown_table(
                [{name: getattr(load, name) for name in ("files", *LOAD_COUNTS)}]
            ),
        }
    return metadata


def _column(name: str, column: Column) -> dg.TableColumn:
    return dg.TableColumn(
        name,
        # its fields are listed, with their types
        "STRUCT" if column.fields else column.type,
        description=column.description,
        tags={"unit": column.unit.replace(" ", "_")} if column.unit else None,
        constraints=dg.TableColumnConstraints(nullable=not column.required),
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def built_metadata(
    outcome: BuildOutcome, table: TableSpec, rows: int, plots: Mapping[str, Any]
) -> dict[str, Any]:
    """What a build wrote into a table, and what it left as it was. `rows` are held now, those of
    roots that it did not look at among them; `plots` are the matrix'."""
    done = next((item for item in outcome.replaced if item.spec is table), None)
    counts = {"rows written": done.written, "rows removed": done.removed} if done else {}
    if table is not DAILY_ML_MATRIX:
        return {"dagster/row_count": rows, **counts}
    return {
        **counts,
        "dagster/row_count": rows,
        "trade dates": f"{outcome.first} to {outcome.last}" if outcome.first else "none",
        "rows by root": markdown_table(
            [{"root": root, "rows": held} for root, held in outcome.rows.items()]
        ),
        "not rebuilt": markdown_table(
            [{"root": root, "why": "; ".join(why)} for root, why in outcome.skipped.items()]
        ),
        **plots,
    }
