from __future__ import annotations

import re
from pathlib import Path
from string import Template

import pytest
import sqlglot

import cbi_assets.warehouse
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.sql_files import THEN, load_sql, to_duckdb

FOLDER = Path(cbi_assets.warehouse.__file__).parent / "sql"
FILES = sorted(FOLDER.rglob("*.sql"))


def test_sql_files_are_found() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_file_is_one_googlesql_statement_with_a_header(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("-- ")
    names = {match[1] for match in re.finditer(r"\$(\w+)", text)}
    # In backticks a table's id stands for it, elsewhere a name or an expression.
    filled = re.sub(r"`\$(\w+)`", r"`dataset.\1`", text)
    filled = Template(filled).substitute({name: name for name in names})
    assert len(sqlglot.parse(filled, read="bigquery")) == 1
    assert to_duckdb(filled)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_header_names_every_table_and_parameter(file: Path) -> None:
    lines = file.read_text().splitlines()
    header = " ".join(line for line in lines if line.startswith("--"))
    body = " ".join(line for line in lines if not line.lstrip().startswith("--"))
    used = {match[1] for match in re.finditer(r"[$@](\w+)", body)}
    assert used <= set(re.findall(r"\w+", header))


def test_load_sql_requires_every_placeholder() -> None:
    with pytest.raises(KeyError, match="table"):
        load_sql("load/partition_sample")


@pytest.mark.parametrize(
    ("values", "count"), [("NULL", 0), ("TRUE", 1), ("FALSE", 0)], ids=["null", "true", "false"]
)
def test_countif_counts_as_in_googlesql(tmp_path: Path, values: str, count: int) -> None:
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "tmp") as warehouse:
        rows = warehouse.query(
            f"SELECT COUNTIF(flag) AS n FROM (SELECT CAST({values} AS BOOL) AS flag)"
        )
        assert rows.row(0) == (count,)
        nothing = warehouse.query(
            "SELECT COUNTIF(flag) AS n FROM (SELECT TRUE AS flag) WHERE FALSE"
        )
        assert nothing.row(0) == (0,)


def test_numeric_has_nine_decimals_as_in_googlesql(tmp_path: Path) -> None:
    # half a tick of the yen must not be rounded away
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "tmp") as warehouse:
        rows = warehouse.query(
            "SELECT CAST(SUM(CAST(price AS NUMERIC) * 1000000) AS FLOAT64) AS total "
            "FROM (SELECT 0.0000005 AS price UNION ALL SELECT 98765.4321) AS prices"
        )
    assert rows.row(0) == (98765432100.5,)


def test_merge_that_matches_nothing_is_a_delete_and_an_insert_on_duckdb(tmp_path: Path) -> None:
    merge = (
        "MERGE INTO `main.t` AS t USING (SELECT 3 AS n, 'c' AS name) AS fresh ON FALSE\n"
        "WHEN NOT MATCHED BY SOURCE AND t.n IN UNNEST(@gone) THEN DELETE\n"
        "WHEN NOT MATCHED BY TARGET THEN INSERT (name, n) VALUES (fresh.name, fresh.n)"
    )
    deletion, insertion = to_duckdb(merge).split(THEN)
    assert deletion.startswith('DELETE FROM "main"."t" AS t WHERE ')
    assert insertion.startswith('INSERT INTO "main"."t" (name, n) SELECT fresh.name, fresh.n FROM ')
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "scratch") as warehouse:
        warehouse.transact(
            [
                Statement("CREATE TABLE `main.t` AS SELECT 1 AS n, 'a' AS name"),
                Statement("INSERT INTO `main.t` (n, name) VALUES (2, 'b')"),
                Statement(merge, {"gone": [1, 3]}),
            ]
        )
        rows = warehouse.query("SELECT n, name FROM `main.t` ORDER BY n").rows()
    assert rows == [(2, "b"), (3, "c")]
