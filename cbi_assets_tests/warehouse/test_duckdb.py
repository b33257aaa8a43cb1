from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from cbi_assets.errors import AuditError, CbiError, HomeError
from cbi_assets.tables import ALL_TABLES, Column, TableSpec
from cbi_assets.warehouse.base import Assertion, Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

PAIRS = TableSpec(
    "ops",
    "pairs",
    "numbers by name",
    (Column("name", "STRING", "a name"), Column("number", "INT64", "a number")),
    ("name",),
)
INSERT = "INSERT INTO `ops.pairs` (name, number) VALUES (@name, @number)"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "tmp") as opened:
        opened.create_tables([PAIRS])
        opened.transact([insert("old", 1)])
        yield opened


def insert(name: str, number: int) -> Statement:
    return Statement(INSERT, {"name": name, "number": number})


def rows(warehouse: DuckDBWarehouse) -> list[tuple[object, ...]]:
    return warehouse.query("SELECT name, number FROM `ops.pairs` ORDER BY name").rows()


def test_transact_commits_if_assertions_pass(warehouse: DuckDBWarehouse) -> None:
    unique = "SELECT name, COUNT(*) FROM `ops.pairs` GROUP BY name HAVING COUNT(*) > 1"
    warehouse.transact([insert("a", 2), Assertion(unique, message="{0} is there {1} times")])
    assert rows(warehouse) == [("a", 2), ("old", 1)]


def test_transact_changes_nothing_if_an_assertion_fails(warehouse: DuckDBWarehouse) -> None:
    unique = "SELECT name, COUNT(*) FROM `ops.pairs` GROUP BY name HAVING COUNT(*) > 1"
    with pytest.raises(AuditError, match=r"^old is there 2 times$"):
        warehouse.transact(
            [insert("a", 2), insert("old", 3), Assertion(unique, message="{0} is there {1} times")]
        )
    assert rows(warehouse) == [("old", 1)]


def test_transact_changes_nothing_if_a_statement_fails(warehouse: DuckDBWarehouse) -> None:
    with pytest.raises(duckdb.Error):
        warehouse.transact([insert("a", 2), Statement("SELECT * FROM `ops.nowhere`")])
    assert rows(warehouse) == [("old", 1)]
    with pytest.raises(duckdb.ConstraintException):
        warehouse.transact([insert("a", 2), Statement(INSERT, {"name": None, "number": 1})])
    assert rows(warehouse) == [("old", 1)]


def test_transact_changes_nothing_if_interrupted(warehouse: DuckDBWarehouse) -> None:
    def statements() -> Iterator[Statement]:
        yield insert("a", 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warehouse.transact(statements())
    assert rows(warehouse) == [("old", 1)]
    warehouse.transact([insert("b", 3)])  # the next transaction starts clean
    assert rows(warehouse) == [("b", 3), ("old", 1)]


def test_parameters_are_never_read_as_sql(warehouse: DuckDBWarehouse) -> None:
    odd = 'it\'s "x"; DROP TABLE ops.pairs;-- @number $1 {0}'
    warehouse.transact([insert(odd, 2)])
    found = warehouse.query("SELECT number FROM `ops.pairs` WHERE name = @name", {"name": odd})
    assert found.rows() == [(2,)]


def test_create_tables_is_idempotent(warehouse: DuckDBWarehouse) -> None:
    warehouse.create_tables([PAIRS, *ALL_TABLES])
    warehouse.create_tables([PAIRS, *ALL_TABLES])
    assert rows(warehouse) == [("old", 1)]
    for spec in ALL_TABLES:
        assert warehouse.query(f"SELECT * FROM `{spec.id}`").columns == list(spec.column_names)


def test_staged_data_can_be_queried_and_replaced(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    frame = pl.DataFrame({"n": [3, 1, 2]})
    quoted = tmp_path / "it's.parquet"
    frame.write_parquet(quoted)
    for staged in (
        warehouse.stage_frame("frame", frame),
        warehouse.stage_parquet("parquet", [quoted]),
        warehouse.stage_query("query", "SELECT n FROM UNNEST([3, 1, 2]) AS n"),
    ):
        assert warehouse.query(f"SELECT n FROM `{staged}` ORDER BY n")["n"].to_list() == [1, 2, 3]
    warehouse.stage_frame("frame", frame.head(1))
    assert warehouse.query("SELECT n FROM `frame`")["n"].to_list() == [3]


def test_query_returns_utc_timestamps_and_integer_sums(warehouse: DuckDBWarehouse) -> None:
    moment = dt.datetime(2025, 7, 1, 12, 30, tzinfo=dt.UTC)
    found = warehouse.query(
        "SELECT @moment AS moment, SUM(number) AS total FROM `ops.pairs`", {"moment": moment}
    )
    assert found.row(0) == (moment, 1)
    assert found.schema == {"moment": pl.Datetime("us", "UTC"), "total": pl.Int64}


@pytest.mark.parametrize("params", [None, {"least": 0}])
def test_query_keeps_the_order_of_many_rows(
    warehouse: DuckDBWarehouse, params: dict[str, int] | None
) -> None:
    numbers = pl.DataFrame({"n": pl.int_range(300_000, eager=True).shuffle(seed=1)})
    staged = warehouse.stage_frame("numbers", numbers)
    least = "0" if params is None else "@least"
    found = warehouse.query(f"SELECT n FROM `{staged}` WHERE n >= {least} ORDER BY n", params)
    assert found["n"].to_list() == list(range(300_000))


@pytest.mark.full
@pytest.mark.usefixtures("warehouse")
def test_open_names_the_process_that_has_the_file_open(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from cbi_assets.errors import HomeBusyError\n"
        "from cbi_assets.warehouse.duckdb import DuckDBWarehouse\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    DuckDBWarehouse(path, path.parent / 'tmp2')\n"
        "except HomeBusyError as error:\n"
        "    print(error)\n"
    )
    path = str(tmp_path / "w.duckdb")
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(
        rf"{re.escape(path)}: .*python.* \(PID {os.getpid()}\) has the warehouse open\. "
        r"Close it there, then retry; to read, open .*/read/warehouse\.duckdb instead\.\n",
        done.stdout,
    )


def test_open_calls_a_damaged_file_damaged_whatever_its_name(tmp_path: Path) -> None:
    damaged = tmp_path / "block lock.duckdb"
    damaged.write_bytes(b"no database" * 1000)
    with pytest.raises(HomeError, match=rf"^{damaged}: damaged .*Put its backup in its place"):
        DuckDBWarehouse(damaged, tmp_path / "tmp")


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        (
            "SELECT ARRAY_AGG(n ORDER BY n) AS ns FROM UNNEST(GENERATE_ARRAY(1, 3000000)) AS n",
            "memory",
            "DuckDB ran out of the 384MB that it may use; no changes were made. Name fewer roots",
        ),
        ("SELECT * FROM `ops.nowhere`", "query", "DuckDB failed (Catalog Error: "),
    ],
)
def test_statement_that_fails_ends_in_one_line(
    tmp_path: Path, sql: str, code: str, says: str
) -> None:
    def query_with_little_memory() -> None:
        with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "scratch") as opened:
            opened._connection.execute("SET memory_limit = '16MB'")
            opened.query(sql)

    with pytest.raises(CbiError) as error:
        query_with_little_memory()
    assert error.value.code == code
    assert str(error.value).startswith(f"{tmp_path / 'w.duckdb'}: {says}")
    assert "\n" not in str(error.value)
