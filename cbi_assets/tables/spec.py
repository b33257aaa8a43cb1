"""Define a table once: columns, key, partitions, clusters.

DDL of both warehouses, Polars schema, Dagster's column metadata, the checks' keys and the data
dictionary are derived from a TableSpec. Types are GoogleSQL's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Final

import polars as pl
from sqlglot import exp

_POLARS_TYPES: Final[dict[str, pl.DataType]] = {
    "STRING": pl.String(),
    "INT64": pl.Int64(),
    "FLOAT64": pl.Float64(),
    "BOOL": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us", "UTC"),
    "ARRAY<STRING>": pl.List(pl.String()),
}


@dataclass(frozen=True)
class Column:
    """One column. `type` is GoogleSQL, `unit` that of a number, `fields` those of a STRUCT."""

    name: str
    type: str
    description: str
    required: bool = True
    unit: str | None = None
    fields: tuple[Column, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """One table: `dataset.name`, its key, MONTH partition column and clustering.

    `seed` is a query of the row that a new table starts with. With `query`, it is a view: its
    columns are those of the query, in order, and `reads` is the table that they come from.
    """

    dataset: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    seed: str | None = None
    query: str | None = None
    reads: TableSpec | None = None

    @property
    def id(self) -> str:
        """`dataset.name`, as written between backticks in SQL."""
        return f"{self.dataset}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    def field_names(self, struct_column: str) -> tuple[str, ...]:
        """The fields of one of the table's STRUCT columns, in the table's order."""
        (column,) = (column for column in self.columns if column.name == struct_column)
        return tuple(field.name for field in column.fields)

    @property
    def polars_schema(self) -> pl.Schema:
        """The schema of the table's frames, in column order; timestamps are microseconds, UTC."""
        return pl.Schema({column.name: _polars_type(column) for column in self.columns})

    def schema_of(self, *names: str) -> pl.Schema:
        """Return the schema of the named columns, in the order named."""
        every = self.polars_schema
        return pl.Schema({name: every[name] for name in names})

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the CREATE statement; a live table in BigQuery is labelled with it."""
        text = self._create_statement("")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """The table's labels in BigQuery."""
        return {"tool": "cbi_assets", "spec": self.fingerprint}

    @cached_property
    def create_statement(self) -> str:
        """`CREATE TABLE IF NOT EXISTS`, or of a view `CREATE OR REPLACE VIEW`.

        The key is no constraint of it: BigQuery enforces none, but takes it for granted when it
        optimizes, and then a check for duplicates might not see them.
        """
        labels = ", ".join(f"('{name}', '{value}')" for name, value in self.labels.items())
        return self._create_statement(f", labels=[{labels}]")

    def fill_statements(self) -> list[str]:
        """Return the statements that insert the seed row, if there is one, into an empty table."""
        if self.seed is None:
            return []
        names = ", ".join(self.column_names)
        return [
            f"INSERT INTO `{self.id}` ({names}) SELECT {names} FROM ({self.seed}) AS seed "
            f"WHERE NOT EXISTS (SELECT 1 FROM `{self.id}`)"
        ]

    def add_statement(self, *columns: Column) -> str:
        """Return `ALTER TABLE … ADD COLUMN …`; an existing table takes NULLABLE columns only.

        DuckDB takes one column a statement. BigQuery takes any number, and few statements a minute.
        """
        added = (f"ADD COLUMN IF NOT EXISTS {_defined(column, False)}" for column in columns)
        return f"ALTER TABLE `{self.id}` {', '.join(added)}"

    def comments(self) -> list[tuple[str, str]]:
        """Return every column's name with its description and unit."""
        return [(column.name, _described(column)) for column in self.columns]

    def _create_statement(self, more_options: str) -> str:
        options = f"OPTIONS (description={_quoted(self.description)}{more_options})"
        if self.query is not None:
            names = ",\n  ".join(
                f"{name} OPTIONS (description={_quoted(text)})" for name, text in self.comments()
            )
            return f"CREATE OR REPLACE VIEW `{self.id}` (\n  {names}\n)\n{options} AS\n{self.query}"
        lines = ",\n  ".join(_defined(column, column.required) for column in self.columns)
        statement = f"CREATE TABLE IF NOT EXISTS `{self.id}` (\n  {lines}\n)"
        if self.partition_by:
            kind = next(c.type for c in self.columns if c.name == self.partition_by)
            trunc = "DATE_TRUNC" if kind == "DATE" else "TIMESTAMP_TRUNC"
            statement += f"\nPARTITION BY {trunc}({self.partition_by}, MONTH)"
        if self.cluster_by:
            statement += f"\nCLUSTER BY {', '.join(self.cluster_by)}"
        return f"{statement}\n{options}"


def struct(name: str, description: str, fields: Iterable[Column], required: bool = True) -> Column:
    """Return a STRUCT column whose fields may all be NULL."""
    inner = tuple(replace(field, required=False) for field in fields)
    kind = f"STRUCT<{', '.join(f'{field.name} {field.type}' for field in inner)}>"
    return Column(name, kind, description, required, fields=inner)


@cache
def canonical_type(text: str, dialect: str = "bigquery") -> str:
    """Return a type of any dialect as GoogleSQL writes it."""
    kind = exp.DataType.build(text, dialect=dialect)
    for name in kind.find_all(exp.Identifier):
        name.set("quoted", False)
    return kind.sql("bigquery")


def plain_id(name: str) -> str:
    """Return the name if it is a valid table id, else raise ValueError: `$` names a partition."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,1024}", name):
        raise ValueError(f"{name!r} is not a valid table id: letters, digits and _ only")
    return name


def _polars_type(column: Column) -> pl.DataType:
    if column.fields:
        return pl.Struct([pl.Field(field.name, _polars_type(field)) for field in column.fields])
    return _POLARS_TYPES[column.type]


def _defined(column: Column, required: bool) -> str:
    kind = column.type
    if column.fields:
        kind = f"STRUCT<{', '.join(_defined(field, False) for field in column.fields)}>"
    return (
        f"{column.name} {kind}{' NOT NULL' if required else ''}"
        f" OPTIONS (description={_quoted(_described(column))})"
    )


def _described(column: Column) -> str:
    return f"{column.description} ({column.unit})" if column.unit else column.description


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


NATIVE = "native units of the root"
"""The unit of a price column."""
