from __future__ import annotations

import re
from pathlib import Path
from string import Template

import pytest
import sqlglot

import cbi_assets.warehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.sql_files import load_sql, to_duckdb

FOLDER = Path(cbi_assets.warehouse.__file__).parent / "sql"
FILES = sorted(FOLDER.rglob("*.sql"))


def test_there_are_files() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_file_is_googlesql_with_a_comment(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("-- ")
    names = {match[1] for match in re.finditer(r"\$(\w+)", text)}
    filled = Template(text).substitute({name: f"dataset.{name}" for name in names})
    assert len(sqlglot.parse(filled, read="bigquery")) == 1
    assert to_duckdb(filled)


def test_placeholders_must_be_filled() -> None:
    with pytest.raises(KeyError, match="table"):
        load_sql("load/partition_profile")


@pytest.mark.parametrize(
    ("values", "count"), [("NULL", 0), ("TRUE", 1), ("FALSE", 0)], ids=["null", "true", "false"]
)
def test_countif_counts_as_googlesql_does(tmp_path: Path, values: str, count: int) -> None:
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "tmp") as warehouse:
        rows = warehouse.query(
            f"SELECT COUNTIF(flag) AS n FROM (SELECT CAST({values} AS BOOL) AS flag)"
        )
        assert rows.row(0) == (count,)
        nothing = warehouse.query(
            "SELECT COUNTIF(flag) AS n FROM (SELECT TRUE AS flag) WHERE FALSE"
        )
        assert nothing.row(0) == (0,)


def test_numeric_has_googlesqls_digits(tmp_path: Path) -> None:
    """Nine of them stand behind the point: half a tick of the yen is not rounded away."""
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "tmp") as warehouse:
        rows = warehouse.query(
            "SELECT CAST(SUM(CAST(price AS NUMERIC) * 1000000) AS FLOAT64) AS total "
            "FROM (SELECT 0.0000005 AS price UNION ALL SELECT 98765.4321) AS prices"
        )
    assert rows.row(0) == (98765432100.5,)
