"""Compare live tables with their specs, and check the specs themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from cbi_assets.tables import Column, TableSpec, canonical_type, plain_id

PARTITIONS_PER_JOB = 4_000
"""Partitions that one BigQuery job may modify: 16 years are 192 months, but 5,844 days."""


@dataclass(frozen=True)
class LiveColumn:
    """A column as it exists; `type` is canonical GoogleSQL (`canonical_type`)."""

    name: str
    type: str
    required: bool
    description: str | None = None


@dataclass(frozen=True)
class LiveTable:
    """A table as it exists.

    `has_layout` is False on DuckDB, which has no partitions, clusters or expirations.
    """

    columns: tuple[LiveColumn, ...]
    partition_by: str | None = None
    granularity: str | None = None
    cluster_by: tuple[str, ...] = ()
    expires: bool = False
    partitions_expire: bool = False
    has_layout: bool = True


@dataclass(frozen=True)
class TableProblem:
    """A property of a live table that would lose rows or break a limit, and how to fix it."""

    problem: str
    remedy: str


def lint_specs(specs: Iterable[TableSpec]) -> list[str]:
    """Return the errors in the specs, one line each."""
    errors: list[str] = []
    for spec in specs:
        for part in (spec.dataset, spec.name, *spec.column_names):
            try:
                plain_id(part)
            except ValueError as error:
                errors.append(f"{spec.id}: {error}")
        statement = spec.create_statement.lower()
        if "expiration" in statement:
            errors.append(f"{spec.id}: rows would expire")
        if spec.partition_by and ", month)" not in statement:
            errors.append(f"{spec.id}: partitions must be MONTH")
        missing = {*spec.key, *spec.cluster_by, spec.partition_by} - {*spec.column_names, None}
        errors += [f"{spec.id}: no column {name}" for name in sorted(filter(None, missing))]
        errors += [
            f"{spec.id}: BigQuery has no required ARRAY: {column.name}"
            for column in spec.columns
            if column.required and column.type.startswith("ARRAY")
        ]
        errors += [
            f"{spec.id}: no description of {name}"
            for column in spec.columns
            for name in _undescribed(column)
        ]
        if len(spec.cluster_by) > 4:
            errors.append(f"{spec.id}: clusters by more than four columns")
    return errors


def _undescribed(column: Column) -> Iterator[str]:
    """Yield the names of a column, and of its STRUCT fields, that have no description."""
    if not column.description.strip():
        yield column.name
    kind = exp.DataType.build(column.type, dialect="bigquery")
    described = {field.name for field in column.fields if field.description.strip()}
    for struct in kind.find_all(exp.DataType):
        if struct.is_type("struct"):
            for field in struct.expressions:
                if field.name not in described:
                    yield f"{column.name}.{field.name}"


def lint_live(spec: TableSpec, live: LiveTable) -> list[TableProblem]:
    """Return what would lose rows of a live table or break a limit of BigQuery."""
    problems: list[TableProblem] = []
    for expires, problem, option in (
        (live.expires, "the table expires", "expiration_timestamp"),
        (live.partitions_expire, "its partitions expire", "partition_expiration_days"),
    ):
        if expires:
            remedy = f"Run: ALTER TABLE `{spec.id}` SET OPTIONS ({option} = NULL)"
            problems.append(TableProblem(problem, remedy))
    if live.has_layout and live.granularity in ("DAY", "HOUR"):
        problems.append(
            TableProblem(
                f"it has {live.granularity} partitions, and a load of 15 years modifies more than "
                f"the {PARTITIONS_PER_JOB:,} that one job may",
                "Copy it elsewhere, drop it, and retry: the table is created again with MONTH "
                "partitions.",
            )
        )
    return problems


def additions(spec: TableSpec, live: LiveTable) -> list[Column]:
    """Return the columns of the spec that the live table lacks."""
    existing = {column.name for column in live.columns}
    return [column for column in spec.columns if column.name not in existing]


def can_read(view: TableSpec, live: Mapping[str, LiveTable]) -> bool:
    """Return whether the table that a view reads has every field; an earlier version's may not.

    `live` are tables by id.
    """
    table = view.reads and live.get(view.reads.id)
    if view.reads is None or table is None:
        return False
    existing = {column.name: column.type for column in table.columns}
    return all(existing.get(c.name) == canonical_type(c.type) for c in view.reads.columns)


def differences(spec: TableSpec, live: LiveTable) -> list[str]:
    """Return where a live table differs from its spec, one line each, sorted.

    Descriptions are not compared.
    """
    found = [f"{item.problem}. {item.remedy}" for item in lint_live(spec, live)]
    existing = {column.name: column for column in live.columns}
    expected = {column.name: column for column in spec.columns}
    found += [f"column {name} is missing" for name in expected if name not in existing]
    found += [f"column {name} is not in the spec" for name in existing if name not in expected]
    for name in expected.keys() & existing.keys():
        kind = canonical_type(expected[name].type)
        if existing[name].type != kind:
            found.append(f"column {name} is {existing[name].type}, expected {kind}")
        if existing[name].required and not expected[name].required:
            found.append(f"column {name} rejects NULL, which the spec allows")
    if live.has_layout:
        if live.partition_by != spec.partition_by:
            found.append(
                f"partitioned by {live.partition_by or 'nothing'}, expected "
                f"{spec.partition_by or 'nothing'}"
            )
        elif live.granularity not in (None, "MONTH", "DAY", "HOUR"):
            found.append(f"it has {live.granularity} partitions, expected MONTH")
        if live.cluster_by != spec.cluster_by:
            found.append(
                f"clustered by {', '.join(live.cluster_by) or 'nothing'}, expected "
                f"{', '.join(spec.cluster_by) or 'nothing'}"
            )
    return sorted(found)
