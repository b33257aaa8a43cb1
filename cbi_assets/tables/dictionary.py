"""Write the data dictionary, docs/data-dictionary.md, from the table specs.

`make dictionary` runs this; a test compares the page with the specs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from cbi_assets.formatting import markdown_table
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS, TRAINING, Column, TableSpec, canonical_type

_HEAD = """\
# Data dictionary

Written by `make dictionary` from the specs in `cbi_assets/tables/`, which also define the
tables; don't edit it by hand. Types are GoogleSQL's. Names are the same on BigQuery (dataset) and
DuckDB (schema). Timestamps are UTC. An unknown value is NULL, never 0.
"""


def _one_of_each() -> Iterator[TableSpec]:
    """Yield one training table per set of columns; its description names the others."""
    by_columns: dict[tuple[str, ...], list[TableSpec]] = {}
    for spec in TRAINING.values():
        by_columns.setdefault(spec.column_names, []).append(spec)
    for first, *others in by_columns.values():
        names = ", ".join(f"`{spec.id}`" for spec in others)
        same = f" The same columns have: {names}." if others else ""
        yield replace(first, description=first.description + same)


DESCRIBED = (*ALL_TABLES, *ALL_VIEWS, *_one_of_each())


def render(specs: Sequence[TableSpec] = DESCRIBED) -> str:
    """Return the page in Markdown: a list of the tables, then one section per table."""
    by_dataset = sorted(specs, key=lambda spec: spec.dataset)
    lines = [_HEAD]
    for dataset, group in groupby(by_dataset, lambda spec: spec.dataset):
        lines.append(f"- `{dataset}`: " + ", ".join(f"[{s.name}](#{_anchor(s)})" for s in group))
    for spec in by_dataset:
        lines += _section(spec)
    return "\n".join(lines) + "\n"


def _anchor(spec: TableSpec) -> str:
    return spec.id.replace(".", "")


def _section(spec: TableSpec) -> Iterator[str]:
    yield f"\n## {spec.id}\n"
    yield f"{spec.description}\n"
    facts = [f"One row per {_listed(spec.key)}."]
    if spec.reads:
        facts.append(f"A view of `{spec.reads.id}`.")
    if spec.partition_by:
        facts.append(f"Partitioned by month of `{spec.partition_by}`.")
    if spec.cluster_by:
        facts.append(f"Clustered by {_listed(spec.cluster_by)}.")
    yield " ".join(facts) + "\n"
    rows = [row for column in spec.columns for row in _rows(column)]
    yield markdown_table(["column", "type", "may be NULL", "unit", "what it is"], rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rows(column: Column) -> Iterator[tuple[str, ...]]:
    """Yield a column's row, and below it one for each field of a STRUCT."""
    yield _row(column, "STRUCT" if column.fields else canonical_type(column.type))
    for field in column.fields:
        inner = replace(field, name=f"{column.name}.{field.name}")
        yield _row(inner, canonical_type(field.type))


def _row(column: Column, kind: str) -> tuple[str, ...]:
    null = "" if column.required else "yes"
    return (f"`{column.name}`", f"`{kind}`", null, column.unit or "", column.description)


if __name__ == "__main__":
    sys.stdout.write(render())
