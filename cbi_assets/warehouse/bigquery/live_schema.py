"""Tables of BigQuery from their specs, and what the live ones look like."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery

from cbi_assets.errors import AuditError, UsageError
from cbi_assets.tables import TableSpec, canonical_type
from cbi_assets.warehouse.bigquery.connection import Connection
from cbi_assets.warehouse.bigquery.query_jobs import Jobs
from cbi_assets.warehouse.drift import LiveColumn, LiveTable, additions, lint_live, lint_specs

_LEGACY = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def create_tables(connection: Connection, jobs: Jobs, specs: Iterable[TableSpec]) -> None:
    """Create datasets and tables that are absent, and columns that live tables lack.

    Raises UsageError for a dataset in another location, and for one or a table that would let
    rows expire; AuditError for a spec that BigQuery would take for something else.
    """
    specs = list(specs)
    if faults := lint_specs(specs):
        raise AuditError(f"{faults[0]}. Nothing was created; mend cbi_assets/warehouse/tables/.")
    by_dataset: dict[str, list[TableSpec]] = {}
    for spec in specs:
        by_dataset.setdefault(spec.dataset, []).append(spec)
    for dataset, wanted in by_dataset.items():
        open_dataset(connection, dataset)
        live = {
            item.table_id: item
            for item in connection.client.list_tables(dataset, retry=connection.retry)
        }
        if absent := [spec for spec in wanted if spec.name not in live]:
            jobs.script(
                [s for spec in absent for s in (spec.create_statement(), *spec.fill_statements())]
            )
        for spec in wanted:
            if (item := live.get(spec.name)) is not None:
                _refuse_expiration(spec, item)
                if (item.labels or {}).get("spec") != spec.fingerprint:
                    _migrate(connection, jobs, spec)


def open_dataset(connection: Connection, name: str, expiring: bool = False) -> None:
    """See that a dataset is there, in the right location, and lets nothing expire by default."""
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
            f"CBI_BQ_LOCATION: {options.location}, but dataset {name} of {options.project} lies in "
            f"{dataset.location}. Set CBI_BQ_LOCATION={dataset.location}."
        )
    if expiring:
        return
    for setting, value in (
        ("default_table_expiration_days", dataset.default_table_expiration_ms),
        ("default_partition_expiration_days", dataset.default_partition_expiration_ms),
    ):
        if value:
            raise UsageError(
                f"dataset {name} of {options.project} deletes what is written into it "
                f"({setting} = {value / 86_400_000:g}). Run: ALTER SCHEMA `{name}` "
                f"SET OPTIONS ({setting} = NULL)"
            )


def live_table(connection: Connection, spec: TableSpec) -> LiveTable | None:
    """A table as it is, None where there is none."""
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
    """The columns of a staging table that all of these Parquet files can be loaded into.

    A column is REQUIRED only where no file's field is nullable: BigQuery refuses a nullable field
    for a REQUIRED column, its emulator does not. Raises AuditError for instants that are not in
    microseconds UTC, or where two files disagree on a type.
    """
    merged: dict[str, bigquery.SchemaField] = {}
    for schema in schemas:
        fields = [_field(field) for field in schema]
        for field in fields:
            known = merged.setdefault(field.name, field)
            if _type_of(known) != _type_of(field):
                raise AuditError(
                    f"landed column {field.name}: {_type_of(known)} in one file, {_type_of(field)} "
                    "in another. Delete the landing zone under CBI_HOME and load again."
                )
            if field.mode == "NULLABLE" and known.mode == "REQUIRED":
                merged[field.name] = field
    return list(merged.values())


def _migrate(connection: Connection, jobs: Jobs, spec: TableSpec) -> None:
    live = live_table(connection, spec)
    assert live is not None
    for column in additions(spec, live):
        jobs.query(spec.add_statement(column))
    table = connection.client.get_table(spec.id, retry=connection.retry)
    table.labels = {**table.labels, **spec.labels}
    connection.client.update_table(table, ["labels"], retry=connection.retry)


def _refuse_expiration(spec: TableSpec, item: bigquery.table.TableListItem) -> None:
    partitioning = item.time_partitioning
    live = LiveTable(
        columns=(),
        partition_by=partitioning.field if partitioning else None,
        granularity=partitioning.type_ if partitioning else None,
        expires=item.expires is not None,
        partitions_expire=bool(partitioning and partitioning.expiration_ms),
    )
    if faults := lint_live(spec, live):
        raise UsageError(f"{spec.id}: {faults[0]}")


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
    raise AuditError(f"column {column}: {kind} cannot be loaded; instants are microseconds UTC.")


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
