"""Queries that are asked ahead are asked once, together, until a transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbi_assets.warehouse.base import Params, Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.read_ahead import reading_ahead

ONE = Statement("SELECT n FROM UNNEST([@n, 7]) AS n ORDER BY n", {"n": 9})
OTHER = Statement("SELECT 'x' AS name")


def test_query_read_ahead_is_asked_once_until_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    query = DuckDBWarehouse.query

    def recorded(self: DuckDBWarehouse, sql: str, params: Params | None = None) -> object:
        asked.append(sql)
        return query(self, sql, params)

    monkeypatch.setattr(DuckDBWarehouse, "query", recorded)
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "scratch") as inner:
        warehouse = reading_ahead(inner, [ONE, OTHER])
        assert asked == []  # nothing is asked until one of them is
        for _ in range(2):
            assert warehouse.query(OTHER.sql)["name"].to_list() == ["x"]
            assert warehouse.query(ONE.sql, ONE.params)["n"].to_list() == [7, 9]
        assert len(asked) == 1
        assert warehouse.query(ONE.sql, {"n": 1})["n"].to_list() == [1, 7]  # another parameter
        assert len(asked) == 2
        warehouse.transact([])
        assert warehouse.query(ONE.sql, ONE.params)["n"].to_list() == [7, 9]
        assert len(asked) == 3
