"""Create BigQuery tables from their specs, migrate them, and read the live schema."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery

from cbi_assets.errors import AuditError, UsageError
from cbi_assets.tables import TableSpec, canonical_type
from cbi_assets.warehouse.bigquery.connection import Connection
from cbi_assets.warehouse.bigquery.query_jobs import Jobs
from cbi_assets.warehouse.drift import (
    LiveColumn,
    LiveTable,
    additions,
    can_read,
    lint_live,
    lint_specs,
)

_LEGACY = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def create_tables(connection: Connection, jobs: Jobs, specs: Iterable[TableSpec]) -> None:
    """Create missing datasets and tables, add missing columns and replace views that differ.

    A dataset's views follow its tables in `specs`. A view whose table lacks a field stays as it is.

    Raises
    ------
    UsageError
        If a dataset is in another location, or a dataset or table would let rows expire.
    AuditError
        If a spec is invalid; nothing is created then.
    """
    specs = list(specs)
    if errors := lint_specs(specs):
        remedy = "Nothing was created. Fix cbi_assets/tables/."
        raise AuditError(errors[0], remedy=remedy)
    by_dataset: dict[str, list[TableSpec]] = {}
    for spec in specs:
        by_dataset.setdefault(spec.dataset, []).append(spec)
    for dataset, wanted in by_dataset.items():
        open_dataset(connection, dataset)
        live = {
            item.table_id: item
            for item in connection.client.list_tables(dataset, retry=connection.retry)
        }
        tables = [spec for spec in wanted if spec.query is None]
        if absent := [spec for spec in tables if spec.name not in live]:
            jobs.script(
                [s for spec in absent for s in (spec.create_statement, *spec.fill_statements())]
            )
        for spec in wanted:
            item = live.get(spec.name)
            if spec.query is not None:
                if item is None or (item.labels or {}).get("spec") != spec.fingerprint:
                    _create_view(connection, jobs, spec)
            elif item is not None:
                _check_expiration(spec, item)
                if (item.labels or {}).get("spec") != spec.fingerprint:
                    _migrate(connection, jobs, spec)


def open_dataset(connection: Connection, name: str, expiring: bool = False) -> None:
    """Create a dataset if it is missing, and check its location and default expirations.

    Raises UsageError if the location differs, or if tables expire by default and `expiring` is
    False.
    """
    options = connection.options
    try:
        dataset = connection.client.get_dataset(name, retry=connection.retry)
    except exceptions.NotFound:
        dataset = bigquery.Dataset(f"{options.project}.{name}")
        dataset.location = options.location
        dataset.labels = {"tool": "cbi_assets"}
        dataset = connection.client.create_dataset(dataset, exists_ok=True, retry=connection.retry)
    if (dataset.location or "").lower() != options.location.lower():
        raise UsageError(
            f"{options.location}, but dataset {name} of {options.project} is in {dataset.location}",
            subject="CBI_BQ_LOCATION",
            remedy=f"Set CBI_BQ_LOCATION={dataset.location}.",
        )
    if expiring:
        return
    for setting, value in (
        ("default_table_expiration_days", dataset.default_table_expiration_ms),
        ("default_partition_expiration_days", dataset.default_partition_expiration_ms),
    ):
        if value:
            raise UsageError(
                f"new tables or partitions expire ({setting} = {value / 86_400_000:g})",
                subject=f"dataset {name} of {options.project}",
                remedy=f"Run: ALTER SCHEMA `{name}` SET OPTIONS ({setting} = NULL)",
            )


def live_table(connection: Connection, spec: TableSpec) -> LiveTable | None:
    """Return a table as it exists; None if it does not."""
    try:
        table = connection.client.get_table(spec.id, retry=connection.retry)
    except exceptions.NotFound:
        return None
    partitioning = table.time_partitioning
    return LiveTable(
        columns=tuple(
            LiveColumn(field.name, _type_of(field), field.mode == "REQUIRED", field.description)
            for field in table.schema
        ),
        partition_by=partitioning.field if partitioning else None,
        granularity=partitioning.type_ if partitioning else None,
        cluster_by=tuple(table.clustering_fields or ()),
        expires=table.expires is not None,
        partitions_expire=bool(partitioning and partitioning.expiration_ms),
    )


def staging_fields(schemas: Iterable[pa.Schema]) -> list[bigquery.SchemaField]:
    """Return the columns of a staging table that all of these Parquet files can be loaded into.

    A column is REQUIRED only if it is nullable in no file: BigQuery rejects a nullable field for a
    REQUIRED column. Raises AuditError for timestamps that are not microseconds UTC, and if two
    files disagree on a type.
    """
    merged: dict[str, bigquery.SchemaField] = {}
    for schema in schemas:
        fields = [_field(field) for field in schema]
        for field in fields:
            known = merged.setdefault(field.name, field)
            if _type_of(known) != _type_of(field):
                raise AuditError(
                    f"{_type_of(known)} in one file, {_type_of(field)} in another",
                    subject=f"landed column {field.name}",
                    remedy="Delete the landing zone under CBI_HOME and load again.",
                )
            if field.mode == "NULLABLE" and known.mode == "REQUIRED":
                merged[field.name] = field
    return list(merged.values())


def _create_view(connection: Connection, jobs: Jobs, spec: TableSpec) -> None:
    table = spec.reads and live_table(connection, spec.reads)
    if spec.reads and table and can_read(spec, {spec.reads.id: table}):
        jobs.query(spec.create_statement)


def _migrate(connection: Connection, jobs: Jobs, spec: TableSpec) -> None:
    live = live_table(connection, spec)
    assert live is not None
    if added := additions(spec, live):
        jobs.query(spec.add_statement(*added))
    table = connection.client.get_table(spec.id, retry=connection.retry)
    table.labels = {**table.labels, **spec.labels}
    connection.client.update_table(table, ["labels"], retry=connection.retry)


def _check_expiration(spec: TableSpec, item: bigquery.table.TableListItem) -> None:
    partitioning = item.time_partitioning
    live = LiveTable(
        columns=(),
        partition_by=partitioning.field if partitioning else None,
        granularity=partitioning.type_ if partitioning else None,
        expires=item.expires is not None,
        partitions_expire=bool(partitioning and partitioning.expiration_ms),
    )
    if problems := lint_live(spec, live):
        raise UsageError(problems[0].problem, subject=spec.id, remedy=problems[0].remedy)


def _type_of(field: bigquery.SchemaField) -> str:
    name = _LEGACY.get(field.field_type, field.field_type)
    if name in ("RECORD", "STRUCT"):
        inner = ", ".join(f"{child.name} {_type_of(child)}" for child in field.fields)
        name = f"STRUCT<{inner}>"
    if field.mode == "REPEATED":
        name = f"ARRAY<{name}>"
    return canonical_type(name)


def _field(field: pa.Field) -> bigquery.SchemaField:
    kind, mode = field.type, "NULLABLE" if field.nullable else "REQUIRED"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    children = [_field(child) for child in kind] if pa.types.is_struct(kind) else []
    return bigquery.SchemaField(field.name, _type_name(field.name, kind), mode, fields=children)


def _type_name(column: str, kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for is_kind, name in _TYPES:
        if is_kind(kind):
            return name
    if pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz == "UTC":
        return "TIMESTAMP"
    raise AuditError(
        f"{kind} cannot be loaded; timestamps must be microseconds UTC", subject=f"column {column}"
    )


_TYPES = (
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_string, "STRING"),
    (pa.types.is_large_string, "STRING"),
    (pa.types.is_string_view, "STRING"),
    (pa.types.is_date32, "DATE"),
    (pa.types.is_struct, "RECORD"),
)
