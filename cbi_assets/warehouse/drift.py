"""Hold tables against their specs: what a spec may not say, and where a live table differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from cbi_assets.tables import Column, TableSpec, canonical_type, plain_id

PARTITIONS_PER_JOB = 4_000
"""How many partitions a job of BigQuery's may touch: 16 years are 192 months, but 5,844 days."""


@dataclass(frozen=True)
class LiveColumn:
    """A column as it is; `type` in GoogleSQL, written as `canonical_type` does."""

    name: str
    type: str
    required: bool
    description: str | None = None


@dataclass(frozen=True)
class LiveTable:
    """A table as it is. DuckDB knows neither partitions nor clusters nor expirations, so that
    `has_layout` says whether those mean anything."""

    columns: tuple[LiveColumn, ...]
    partition_by: str | None = None
    granularity: str | None = None
    cluster_by: tuple[str, ...] = ()
    expires: bool = False
    partitions_expire: bool = False
    has_layout: bool = True


def lint_specs(specs: Iterable[TableSpec]) -> list[str]:
    """What is wrong with the specs themselves, a line each."""
    faults: list[str] = []
    for spec in specs:
        for part in (spec.dataset, spec.name, *spec.column_names):
            try:
                plain_id(part)
            except ValueError as error:
                faults.append(f"{spec.id}: {error}")
        statement = spec.create_statement().lower()
        if "expiration" in statement:
            faults.append(f"{spec.id}: rows would expire")
        if spec.partition_by and ", month)" not in statement:
            faults.append(f"{spec.id}: partitions must be MONTH")
        missing = {*spec.key, *spec.cluster_by, spec.partition_by} - {*spec.column_names, None}
        faults += [f"{spec.id}: no column {name}" for name in sorted(filter(None, missing))]
        faults += [
            f"{spec.id}: BigQuery knows no required ARRAY: {column.name}"
            for column in spec.columns
            if column.required and column.type.startswith("ARRAY")
        ]
        faults += [
            f"{spec.id}: no meaning is written down for {name}"
            for column in spec.columns
            for name in _undescribed(column)
        ]
        if len(spec.cluster_by) > 4:
            faults.append(f"{spec.id}: clusters by more than four columns")
    return faults


def _undescribed(column: Column) -> Iterator[str]:
    """The column and the fields of its type that say nothing of what they are."""
    if not column.description.strip():
        yield column.name
    kind = exp.DataType.build(column.type, dialect="bigquery")
    described = {field.name for field in column.fields if field.description.strip()}
    for struct in kind.find_all(exp.DataType):
        if struct.is_type("struct"):
            for field in struct.expressions:
                if field.name not in described:
                    yield f"{column.name}.{field.name}"


def lint_live(spec: TableSpec, live: LiveTable) -> list[str]:
    """What would lose rows or break a limit in a live table, a line each with its mend."""
    faults: list[str] = []
    if live.expires:
        faults.append(
            f"the table expires. Run: ALTER TABLE `{spec.id}` SET OPTIONS "
            "(expiration_timestamp = NULL)"
        )
    if live.partitions_expire:
        faults.append(
            f"its partitions expire. Run: ALTER TABLE `{spec.id}` SET OPTIONS "
            "(partition_expiration_days = NULL)"
        )
    if live.has_layout and live.granularity in ("DAY", "HOUR"):
        faults.append(
            f"it has {live.granularity} partitions, of which a load of 15 years touches more than "
            f"the {PARTITIONS_PER_JOB:,} that a job may. Copy it out, drop it, and run again: the "
            "table is made anew with MONTH partitions."
        )
    return faults


def additions(spec: TableSpec, live: LiveTable) -> list[Column]:
    """Columns that the spec has and the live table lacks."""
    held = {column.name for column in live.columns}
    return [column for column in spec.columns if column.name not in held]


def differences(spec: TableSpec, live: LiveTable) -> list[str]:
    """Where a live table differs from its spec, a line each; nothing where it does not."""
    found = lint_live(spec, live)
    held = {column.name: column for column in live.columns}
    wanted = {column.name: column for column in spec.columns}
    found += [f"column {name} is missing" for name in wanted if name not in held]
    found += [f"column {name} is not in the spec" for name in held if name not in wanted]
    for name in wanted.keys() & held.keys():
        kind = canonical_type(wanted[name].type)
        if held[name].type != kind:
            found.append(f"column {name} is {held[name].type}, the spec says {kind}")
        if held[name].required and not wanted[name].required:
            found.append(f"column {name} refuses NULL, which the spec allows")
    if live.has_layout:
        if live.partition_by != spec.partition_by:
            found.append(
                f"partitioned by {live.partition_by or 'nothing'}, the spec says "
                f"{spec.partition_by or 'nothing'}"
            )
        elif live.granularity not in (None, "MONTH", "DAY", "HOUR"):
            found.append(f"it has {live.granularity} partitions, the spec says MONTH")
        if live.cluster_by != spec.cluster_by:
            found.append(
                f"clustered by {', '.join(live.cluster_by) or 'nothing'}, the spec says "
                f"{', '.join(spec.cluster_by) or 'nothing'}"
            )
    return sorted(found)
