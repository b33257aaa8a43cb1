"""Metadata of assets and their runs: columns, lineage, books, samples."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import polars as pl

from cbi_assets.build.build import BuildOutcome
from cbi_assets.drive.inventory import by_folder, count_trusts, jobs_of, trusts_of
from cbi_assets.drive.survey import Survey
from cbi_assets.formatting import markdown_table, span
from cbi_assets.ledger.books import LOAD_COUNTS
from cbi_assets.load.partition_profiles import PartitionLoad, PartitionProfile
from cbi_assets.report.table_summaries import row_counts_sql
from cbi_assets.tables import BUILT, DAILY_ML_MATRIX, SESSIONS, Column, TableSpec
from cbi_assets.tables.lineage import LINEAGE, OTHER_ORIGINS
from cbi_assets.warehouse.base import JobCost, Warehouse

_REFUSED_LISTED = 50
DATA_THROUGH: Final = "data through"
"""The metadata of a materialization that says when its newest trade date ended."""


def data_through(newest: dt.date | None) -> dict[str, Any]:
    """Return the metadata of a table with this newest trade date: the end of that day, in UTC."""
    if newest is None:
        return {}
    end = dt.datetime.combine(newest + dt.timedelta(days=1), dt.time(), dt.UTC)
    return {DATA_THROUGH: dg.MetadataValue.timestamp(end)}


def table_metadata(spec: TableSpec) -> dict[str, Any]:
    """Return what a table's asset shows without a run: columns, name, key, lineage by column.

    The lineage is also given in words, because Dagster's open-source UI draws none by column.
    """
    lines = LINEAGE.get(spec.id, {})
    others = OTHER_ORIGINS.get(spec.id, {})
    lineage = {
        column: [
            dg.TableColumnDep(dg.AssetKey(table.split(".")), name)
            for table, names in sources.items()
            for name in names
        ]
        for column, sources in lines.items()
    }
    in_words = [
        {
            "column": column.name,
            "computed from": "; ".join(
                f"{table}: {', '.join(names)}" for table, names in lines[column.name].items()
            )
            if column.name in lines
            else others.get(column.name, "unknown"),
        }
        for column in spec.columns
    ]
    return {
        "dagster/column_schema": column_schema(spec),
        "dagster/column_lineage": dg.TableColumnLineage(lineage),
        "dagster/table_name": spec.id,
        "key": ", ".join(spec.key),
        "column sources": rows_as_markdown(in_words),
    }


def column_schema(spec: TableSpec) -> dg.TableSchema:
    """Return a table's columns, each STRUCT followed by its fields, such as `pivots.P`."""
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


def inventory_metadata(survey: Survey) -> dict[str, Any]:
    """Return the counts of a survey, its folders, and the files that were refused."""
    return {
        "files": len(survey.files),
        "files read": survey.read,
        "records on the drive": sum(content.records for content in survey.contents.values()),
        **trust_metadata(survey),
        "folders": rows_as_markdown([row.shown() for row in by_folder(survey)]),
        "refused": refused_files(survey),
    }


def trust_metadata(survey: Survey) -> dict[str, Any]:
    """Return how many files are in each state of trust, and the state of each job."""
    rows = [
        {"job": j.job, "trust": j.trust, "files": count_trusts(j.files)} for j in jobs_of(survey)
    ]
    return {
        **{f"{trust} files": count for trust, count in trusts_of(survey).items()},
        "jobs": rows_as_markdown(rows),
    }


def refused_files(survey: Survey) -> dg.MarkdownMetadataValue:
    """Return the refused files of a survey, each with its reason."""
    refused = survey.refused[:_REFUSED_LISTED]
    return rows_as_markdown([{"path": file.path, "reason": file.reason} for file in refused])


def cost_metadata(cost: JobCost | None) -> dict[str, Any]:
    """Return what a load cost, all partitions together; empty if the warehouse bills nothing."""
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
    """Return what a partition contains and, after a load, its rows before and after and its books.

    `profile` is None if the partition has no bars.
    """
    metadata: dict[str, Any] = {"dagster/partition_row_count": profile.row_count if profile else 0}
    if profile is None:
        metadata["note"] = "No file on the drive has bars of this root in this timeframe."
    else:
        metadata |= {
            "first bar": profile.first_ts_event.isoformat(),
            "last bar": profile.last_ts_event.isoformat(),
            "trade dates": f"{profile.first_trade_date} to {profile.last_trade_date}",
            "symbols": profile.symbols,
            "files": profile.files,
            **plots,
            "newest bars": rows_as_markdown(profile.sample),
        }
    if load is not None:
        metadata |= {
            "rows before": load.rows_before,
            "rows after": load.rows_after,
            "books": rows_as_markdown(
                [{name: getattr(load, name) for name in ("files", *LOAD_COUNTS)}]
            ),
        }
    return metadata


def range_metadata(warehouse: Warehouse, specs: Sequence[TableSpec]) -> dict[str, dict[str, Any]]:
    """Return, by table id, how many rows a table has, and its first and last date."""
    return _ranges(warehouse.query(row_counts_sql(specs)), specs)


def built_range_metadata(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    """Return `range_metadata` of the built tables, and when their newest session's day ended.

    Rolls are as current as the sessions that they are found in, though the newest is weeks old.
    """
    found = warehouse.query(row_counts_sql(BUILT))
    newest = found.filter(pl.col("id") == SESSIONS.id)["last_date"].item()
    ranges = _ranges(found, BUILT)
    return {table: {**shown, **data_through(newest)} for table, shown in ranges.items()}


def _ranges(row_counts: pl.DataFrame, specs: Sequence[TableSpec]) -> dict[str, dict[str, Any]]:
    kinds = {spec.id: "reference dates" for spec in specs if spec.partition_by == "reference_date"}
    return {
        table: {
            "dagster/row_count": rows,
            kinds.get(table, "trade dates"): span(first, last) or "none",
        }
        for table, rows, first, last in row_counts.iter_rows()
    }


def built_metadata(
    outcome: BuildOutcome, table: TableSpec, ranges: Mapping[str, Any], plots: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a table contains, what a build wrote into it, and which roots it skipped.

    `ranges` is `built_range_metadata` of the table, roots that were not built included; `plots` are
    of the matrix.
    """
    done = next((item for item in outcome.replaced if item.spec is table), None)
    counts = {"rows written": done.written, "rows removed": done.removed} if done else {}
    if table is not DAILY_ML_MATRIX:
        return {**ranges, **counts}
    return {
        **ranges,
        **counts,
        "rows by root": rows_as_markdown(
            [{"root": root, "rows": count} for root, count in outcome.rows.items()]
        ),
        "not rebuilt": rows_as_markdown(
            [{"root": root, "reason": "; ".join(why)} for root, why in outcome.skipped.items()]
        ),
        **plots,
    }


def rows_as_markdown(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Return rows as a Markdown table; a dash if there are none."""
    if not rows:
        return dg.MetadataValue.md("–")
    columns = list(rows[0])
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    return dg.MetadataValue.md(markdown_table(columns, cells))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _column(name: str, column: Column) -> dg.TableColumn:
    return dg.TableColumn(
        name,
        "STRUCT" if column.fields else column.type,  # the fields follow, with their types
        description=column.description,
        tags={"unit": column.unit.replace(" ", "_")} if column.unit else None,
        constraints=dg.TableColumnConstraints(nullable=not column.required),
    )
