"""Differences between live tables and their specs are reported by name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cbi_assets.tables import ALL_TABLES, Column, TableSpec, canonical_type, struct
from cbi_assets.warehouse.drift import (
    LiveColumn,
    LiveTable,
    additions,
    differences,
    lint_live,
    lint_specs,
)

SPEC = TableSpec(
    dataset="ops",
    name="things",
    description="a test's table",
    columns=(
        Column("seen", "TIMESTAMP", "when"),
        Column("name", "STRING", "what"),
        struct(
            "place",
            "where",
            (Column("x", "FLOAT64", "how far"), Column("close", "FLOAT64", "how near")),
            required=False,
        ),
    ),
    key=("name",),
    partition_by="seen",
    cluster_by=("name",),
)
LIVE = LiveTable(
    columns=(
        LiveColumn("seen", "TIMESTAMP", True),
        LiveColumn("name", "STRING", True),
        LiveColumn("place", "STRUCT<x FLOAT64, close FLOAT64>", False),
    ),
    partition_by="seen",
    granularity="MONTH",
    cluster_by=("name",),
)


def with_column(place: int, **change: object) -> LiveTable:
    columns = list(LIVE.columns)
    columns[place] = replace(columns[place], **change)  # type: ignore[arg-type]
    return replace(LIVE, columns=tuple(columns))


def test_differences_is_empty_for_a_matching_table() -> None:
    assert differences(SPEC, LIVE) == []
    assert additions(SPEC, LIVE) == []


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (with_column(0, type="DATE"), "column seen is DATE, expected TIMESTAMP"),
        (
            with_column(2, type="STRUCT<x FLOAT64>"),
            "column place is STRUCT<x FLOAT64>, expected STRUCT<x FLOAT64, close FLOAT64>",
        ),
        (with_column(2, required=True), "column place rejects NULL, which the spec allows"),
        (with_column(1, name="title"), "column name is missing"),
        (replace(LIVE, partition_by=None), "partitioned by nothing, expected seen"),
        (replace(LIVE, granularity="YEAR"), "it has YEAR partitions, expected MONTH"),
        (replace(LIVE, cluster_by=()), "clustered by nothing, expected name"),
        (replace(LIVE, expires=True), "the table expires"),
        (replace(LIVE, partitions_expire=True), "its partitions expire"),
        (replace(LIVE, granularity="DAY"), "it has DAY partitions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_differences_names_each_difference(live: LiveTable, expected: str) -> None:
    assert any(line.startswith(expected) for line in differences(SPEC, live))


def test_differences_accepts_a_nullable_column_for_a_required_one() -> None:
    assert differences(SPEC, with_column(1, required=False)) == []


def test_differences_ignores_layout_where_the_warehouse_has_none() -> None:
    plain = LiveTable(LIVE.columns, has_layout=False)
    assert differences(SPEC, plain) == []
    assert lint_live(SPEC, plain) == []


def test_lint_specs_passes_all_tables() -> None:
    assert lint_specs(ALL_TABLES) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "bars$20250101"}, "is not a valid table id"),
        ({"key": ("nobody",)}, "no column nobody"),
        ({"cluster_by": ("a", "b", "c", "d", "e")}, "clusters by more than four columns"),
        (
            {"columns": (*SPEC.columns, Column("parts", "ARRAY<STRING>", "of what"))},
            "no required ARRAY: parts",
        ),
        ({"columns": (*SPEC.columns, Column("mute", "INT64", " "))}, "no description of mute"),
        (
            {"columns": (*SPEC.columns, Column("pair", "STRUCT<a INT64, b INT64>", "two"))},
            "no description of pair.a",
        ),
        (
            {
                "columns": (
                    *SPEC.columns,
                    struct("pair", "two", (Column("a", "INT64", "one"), Column("b", "INT64", ""))),
                )
            },
            "no description of pair.b",
        ),
        (
            {"columns": (*SPEC.columns, Column("many", "ARRAY<STRUCT<a INT64>>", "all", False))},
            "no description of many.a",
        ),
    ],
)
def test_lint_specs_reports_invalid_specs(change: dict[str, object], expected: str) -> None:
    errors = lint_specs([replace(SPEC, **change)])  # type: ignore[arg-type]
    assert any(re.search(expected, error) for error in errors), errors


def test_lint_specs_passes_a_valid_spec() -> None:
    assert lint_specs([SPEC]) == []


def test_differences_ignores_descriptions_so_that_rewording_needs_no_migration() -> None:
    reworded = [replace(c, description="other", unit="other") for c in SPEC.columns]
    assert differences(replace(SPEC, columns=tuple(reworded)), LIVE) == []


@pytest.mark.parametrize(
    ("dialect", "text", "kind"),
    [
        ("duckdb", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
        ("duckdb", "BIGINT", "INT64"),
        ("duckdb", 'STRUCT("open" DOUBLE, "close" DOUBLE)', "STRUCT<open FLOAT64, close FLOAT64>"),
        ("duckdb", "VARCHAR[]", "ARRAY<STRING>"),
        ("bigquery", "struct<a int64>", "STRUCT<a INT64>"),
    ],
)
def test_canonical_type_writes_a_type_in_one_way(dialect: str, text: str, kind: str) -> None:
    assert canonical_type(text, dialect) == kind
