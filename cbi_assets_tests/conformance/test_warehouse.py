"""Tables, values, staging and transactions behave alike on both warehouses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.errors import AuditError
from cbi_assets.session import Project
from cbi_assets.tables import ALL_TABLES, LEDGER_VERSION, Column, TableSpec, struct
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.drift import differences
from cbi_assets.warehouse.merge import merge_rows
from cbi_assets.warehouse.read_ahead import query_together
from cbi_assets_tests.helpers import NOW, open_warehouse

pytestmark = pytest.mark.both_warehouses

THINGS = TableSpec(
    dataset="ops",
    name="things",
    description="a test's table",
    columns=(
        Column("name", "STRING", "what it's called"),
        Column("seen", "TIMESTAMP", "when", unit="UTC"),
        Column("size", "INT64", "how large", required=False),
        Column("weight", "FLOAT64", "how heavy", required=False),
        Column("parts", "ARRAY<STRING>", "of what", required=False),
        struct(
            "place",
            "where",
            (Column("x", "FLOAT64", "it's how far", unit="m"), Column("on_hand", "BOOL", "there?")),
            required=False,
        ),
    ),
    key=("name",),
    partition_by="seen",
    cluster_by=("name",),
)
SIZED = replace(THINGS, columns=THINGS.columns[:3])
LISTED = ", ".join(THINGS.column_names)
INSERT = f"INSERT INTO `{THINGS.id}` (name, seen, size) SELECT @name, @seen, @size"


@pytest.fixture
def opened(project: Project) -> Iterator[Warehouse]:
    with open_warehouse(project) as warehouse:
        warehouse.create_tables([THINGS])
        yield warehouse


def thing(name: str, size: int | None = None, **more: Any) -> Statement:
    return Statement(INSERT, {"name": name, "seen": NOW, "size": size or 0}, **more)


def names(warehouse: Warehouse) -> list[str]:
    return warehouse.query(f"SELECT name FROM `{THINGS.id}` ORDER BY name")["name"].to_list()


@pytest.mark.both_warehouses(quick=True)
def test_created_tables_match_their_specs(opened: Warehouse) -> None:
    for spec in (*ALL_TABLES, THINGS):
        live = opened.live_table(spec)
        assert live is not None
        assert differences(spec, live) == []
        assert [column.name for column in live.columns] == list(spec.column_names)
        required = {column.name for column in spec.columns if column.required}
        assert {column.name for column in live.columns if column.required} == required
        if live.has_layout and spec.partition_by:
            assert (live.partition_by, live.granularity) == (spec.partition_by, "MONTH")
    opened.create_tables([THINGS])  # a second time changes nothing
    for statement in LEDGER_VERSION.fill_statements():
        opened.transact([Statement(statement)])
    assert opened.query(f"SELECT version FROM `{LEDGER_VERSION.id}`")["version"].to_list() == [0]


def test_missing_column_is_added(opened: Warehouse) -> None:
    opened.transact([thing("old")])
    wider = replace(THINGS, columns=(*THINGS.columns, Column("shade", "STRING", "new", False)))
    live = opened.live_table(wider)
    assert live is not None
    assert differences(wider, live) == ["column shade is missing"]
    opened.create_tables([wider])
    live = opened.live_table(wider)
    assert live is not None
    assert differences(wider, live) == []
    rows = opened.query(f"SELECT name, shade FROM `{THINGS.id}`")
    assert rows.rows() == [("old", None)]
    narrower = replace(THINGS, columns=THINGS.columns[:-1])
    assert differences(narrower, live) == [
        "column place is not in the spec",
        "column shade is not in the spec",
    ]


@pytest.mark.both_warehouses(quick=True)
def test_query_together_returns_the_rows_of_each_query(opened: Warehouse) -> None:
    opened.transact([thing("b", 2), thing("a", 1), thing("@size", 1)])
    counted = f"SELECT size, COUNT(*) AS n FROM `{THINGS.id}` GROUP BY size ORDER BY size DESC"
    large, names_of, none, counts = query_together(
        opened,
        [
            Statement(f"SELECT {LISTED} FROM `{THINGS.id}` WHERE size = @size", {"size": 2}),
            Statement(
                f"SELECT name, seen AS size FROM `{THINGS.id}` -- @size\n"
                "WHERE size = @size OR name = '@size' ORDER BY name",
                {"size": 1},
            ),
            Statement(f"SELECT {LISTED} FROM `{THINGS.id}` WHERE weight > @size", {"size": 0}),
            Statement(counted.removesuffix(" DESC")),
        ],
    )
    assert large.select("name", "seen", "size", "place").rows() == [("b", NOW, 2, None)]
    assert names_of.rows() == [("@size", NOW), ("a", NOW)]
    assert (none.height, none.columns) == (0, list(THINGS.column_names))
    assert counts.rows() == [(1, 2), (2, 1)]
    with pytest.raises(ValueError, match="ordered by other than columns"):
        query_together(opened, [Statement(counted), Statement(counted)])


@pytest.mark.both_warehouses(quick=True)
def test_merge_replaces_rows_by_key_inserts_new_ones_and_deletes_those_gone(
    opened: Warehouse,
) -> None:
    opened.transact([thing("a", 1), thing("b", 2), thing("c", 3)])
    fresh = pl.DataFrame(
        [
            {"name": "a", "seen": NOW, "size": 10},
            {"name": "b", "seen": NOW, "size": None},
            {"name": "d", "seen": NOW, "size": 4},
            {"name": "e", "seen": NOW, "size": None},
        ],
        schema=SIZED.polars_schema,
    )
    staged = opened.stage_frame("fresh_things", fresh)
    opened.transact([merge_rows(SIZED, staged, "fresh.size IS NULL")])
    rows = opened.query(f"SELECT name, size FROM `{THINGS.id}` ORDER BY name").rows()
    assert rows == [("a", 10), ("c", 3), ("d", 4)]


@pytest.mark.both_warehouses(quick=True)
def test_values_survive_a_round_trip(opened: Warehouse) -> None:
    late = dt.datetime(2025, 3, 9, 7, 30, 0, 123456, tzinfo=dt.UTC)
    rows = [
        {
            "name": "it's; DROP TABLE x --",
            "seen": late,
            "size": 2**62,
            "weight": 50.15,
            "parts": ["a", "b"],
            "place": {"x": -37.63, "on_hand": False},
        },
        {"name": "none", "seen": NOW, "size": None, "weight": None, "parts": [], "place": None},
    ]
    frame = pl.DataFrame(rows)
    staged = opened.stage_frame("frame", frame)
    listed = ", ".join(THINGS.column_names)
    opened.transact(
        [Statement(f"INSERT INTO `{THINGS.id}` ({listed}) SELECT {listed} FROM `{staged}`")]
    )
    back = opened.query(f"SELECT * FROM `{THINGS.id}` ORDER BY name")
    assert back["seen"].dtype == pl.Datetime("us", "UTC")
    first, second = back.to_dicts()
    assert first == rows[0]
    assert {n: v for n, v in second.items() if n not in ("parts", "place")} == {
        "name": "none",
        "seen": NOW,
        "size": None,
        "weight": None,
    }
    found = opened.query(
        f"SELECT name FROM `{THINGS.id}` WHERE name = @name AND seen = @seen AND size = @size "
        "AND weight = @weight AND DATE(seen) = @day AND 'a' IN UNNEST(@parts) AND @sure",
        rows[0] | {"day": late.date(), "sure": True},
    )
    assert found.height == 1
    nobody = opened.query(
        f"SELECT name FROM `{THINGS.id}` WHERE name IN UNNEST(@none)", {"none": []}
    )
    assert nobody.schema == {"name": pl.String}
    assert nobody.height == 0
    total = opened.query("SELECT SUM(n) AS total FROM UNNEST([1, 2]) AS n")
    assert total.schema == {"total": pl.Int64}
    assert total.item() == 3


def test_files_are_staged_as_one_table(opened: Warehouse, tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.parquet"
        pl.DataFrame({"n": [number, number + 10], "at": [NOW, NOW]}).write_parquet(path)
        paths.append(path)
    staged = opened.stage_parquet("files", paths)
    kept = opened.stage_query("kept", f"SELECT n FROM `{staged}` WHERE n > @least", {"least": 0})
    assert opened.query(f"SELECT n FROM `{kept}` ORDER BY n")["n"].to_list() == [1, 10, 11]
    assert opened.stage_parquet("files", paths) == staged
    assert opened.query(f"SELECT COUNT(*) AS n FROM `{staged}`").item() == 4


@pytest.mark.both_warehouses(quick=True)
def test_small_frames_of_all_scalar_types_are_read_in_every_place(opened: Warehouse) -> None:
    frame = pl.DataFrame(
        {
            "name": ['it\'s \\ "a"\n', None],
            "size": [-(2**62), None],
            "weight": [1e-300, None],
            "sure": [False, None],
            "day": [dt.date(1970, 1, 1), None],
            "seen": [NOW.replace(microsecond=5), None],
        }
    ).cast({"seen": pl.Datetime("us", "UTC")})
    staged = opened.stage_frame("scalars", frame)
    assert opened.query(f"SELECT * FROM `{staged}` ORDER BY size DESC").equals(frame)
    empty = opened.stage_frame("none", frame.clear())
    assert opened.query(f"SELECT name, seen FROM `{empty}`").is_empty()
    opened.transact([thing("a"), thing("b"), thing("c")])
    gone = opened.stage_frame("gone", pl.DataFrame({"name": ["a", "c"]}))
    deletion = (
        f"DELETE FROM `{THINGS.id}` AS things WHERE EXISTS "
        f"(SELECT 1 FROM `{gone}` AS gone WHERE gone.name = things.name)"
    )
    opened.transact([Statement(deletion)])
    assert names(opened) == ["b"]
    kept = opened.stage_query("kept", f"SELECT name, size FROM `{staged}` WHERE size IS NOT NULL")
    assert opened.query(f"SELECT size FROM `{kept}`").item() == -(2**62)


def test_many_rows_survive_a_round_trip(opened: Warehouse) -> None:
    frame = pl.DataFrame({"n": range(20_000)}).with_columns(text=pl.col("n").cast(pl.String))
    staged = opened.stage_frame("many", frame)
    assert opened.query(f"SELECT n, text FROM `{staged}` ORDER BY n").equals(frame)


@pytest.mark.both_warehouses
def test_statement_may_have_a_semicolon_at_the_end_of_a_line_of_its_text(
    opened: Warehouse,
) -> None:
    opened.transact([Statement(INSERT.replace("@name", r"'a;\nb'"), {"seen": NOW, "size": 1})])
    assert names(opened) == ["a;\nb"]


@pytest.mark.both_warehouses(quick=True)
@pytest.mark.invalid_sql
def test_transaction_is_all_or_nothing(opened: Warehouse) -> None:
    opened.transact([thing("a"), thing("b")])
    assert names(opened) == ["a", "b"]
    found = f"SELECT name, size FROM `{THINGS.id}` WHERE size > @limit"
    with pytest.raises(AuditError, match=r"^c is 7 large$"):
        opened.transact(
            [thing("c", 7), Assertion(found, {"limit": 5}, message="{0} is {1} large"), thing("d")]
        )
    with pytest.raises(Exception, match="nowhere"):
        opened.transact([thing("e"), Statement("DELETE FROM `ops.nowhere` WHERE TRUE")])
    assert names(opened) == ["a", "b"]
    # statements may use the same parameter names
    opened.transact([Assertion(found, {"limit": 5}, message="never"), thing("f", 3)])
    assert names(opened) == ["a", "b", "f"]
