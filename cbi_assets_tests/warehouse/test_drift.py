"""A live table that differs from its spec is told, each difference by name."""

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


def test_a_table_as_its_spec_says_has_no_difference() -> None:
    assert differences(SPEC, LIVE) == []
    assert additions(SPEC, LIVE) == []


@pytest.mark.parametrize(
    ("live", "told"),
    [
        (with_column(0, type="DATE"), "column seen is DATE, the spec says TIMESTAMP"),
        (
            with_column(2, type="STRUCT<x FLOAT64>"),
            "column place is STRUCT<x FLOAT64>, the spec says STRUCT<x FLOAT64, close FLOAT64>",
        ),
        (with_column(2, required=True), "column place refuses NULL, which the spec allows"),
        (with_column(1, name="title"), "column name is missing"),
        (replace(LIVE, partition_by=None), "partitioned by nothing, the spec says seen"),
        (replace(LIVE, granularity="YEAR"), "it has YEAR partitions, the spec says MONTH"),
        (replace(LIVE, cluster_by=()), "clustered by nothing, the spec says name"),
        (replace(LIVE, expires=True), "the table expires"),
        (replace(LIVE, partitions_expire=True), "its partitions expire"),
        (replace(LIVE, granularity="DAY"), "it has DAY partitions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_difference_is_named(live: LiveTable, told: str) -> None:
    assert any(line.startswith(told) for line in differences(SPEC, live))


def test_a_required_column_that_was_added_later_may_be_nullable() -> None:
    assert differences(SPEC, with_column(1, required=False)) == []


def test_a_warehouse_without_layout_is_not_held_to_it() -> None:
    plain = LiveTable(LIVE.columns, has_layout=False)
    assert differences(SPEC, plain) == []
    assert lint_live(SPEC, plain) == []


def test_the_projects_own_specs_are_sound() -> None:
    assert lint_specs(ALL_TABLES) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "bars$20250101"}, "is no table's id"),
        ({"key": ("nobody",)}, "no column nobody"),
        ({"cluster_by": ("a", "b", "c", "d", "e")}, "clusters by more than four columns"),
        (
            {"columns": (*SPEC.columns, Column("parts", "ARRAY<STRING>", "of what"))},
            "no required ARRAY: parts",
        ),
        ({"columns": (*SPEC.columns, Column("mute", "INT64", " "))}, "no meaning .* for mute"),
        (
            {"columns": (*SPEC.columns, Column("pair", "STRUCT<a INT64, b INT64>", "two"))},
            "no meaning .* for pair.a",
        ),
        (
            {
                "columns": (
                    *SPEC.columns,
                    struct("pair", "two", (Column("a", "INT64", "one"), Column("b", "INT64", ""))),
                )
            },
            "no meaning .* for pair.b",
        ),
        (
            {"columns": (*SPEC.columns, Column("many", "ARRAY<STRUCT<a INT64>>", "all", False))},
            "no meaning .* for many.a",
        ),
    ],
)
def test_a_spec_that_bigquery_would_take_for_something_else_is_a_fault(
    change: dict[str, object], told: str
) -> None:
    faults = lint_specs([replace(SPEC, **change)])  # type: ignore[arg-type]
    assert any(re.search(told, fault) for fault in faults), faults


def test_a_sound_spec_has_no_fault() -> None:
    assert lint_specs([SPEC]) == []


def test_what_is_said_of_a_column_is_no_difference() -> None:
    # a home that was made with other words goes on as it is
    said = [replace(c, description="other", unit="other") for c in SPEC.columns]
    assert differences(replace(SPEC, columns=tuple(said)), LIVE) == []


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
def test_a_type_is_written_one_way(dialect: str, text: str, kind: str) -> None:
    assert canonical_type(text, dialect) == kind
