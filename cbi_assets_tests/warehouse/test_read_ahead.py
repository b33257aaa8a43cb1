"""Expected queries are asked once, together, until a transaction names their tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cbi_assets.errors import AuditError
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS
from cbi_assets.warehouse.base import Assertion, Params, Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.read_ahead import ReadAhead

ONE = Statement("SELECT n FROM UNNEST([@n, 7]) AS n ORDER BY n", {"n": 9})
OTHER = Statement("SELECT 'x' AS name")
LOADS = Statement("SELECT COUNT(*) AS n FROM `ops.loads`")
FLAT = Statement("SELECT COUNT(*) AS n FROM `features.daily_ml_matrix_flat`")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every query that reaches the warehouse."""
    asked: list[str] = []
    query = DuckDBWarehouse.query

    def recorded(self: DuckDBWarehouse, sql: str, params: Params | None = None) -> object:
        asked.append(sql)
        return query(self, sql, params)

    monkeypatch.setattr(DuckDBWarehouse, "query", recorded)
    return asked


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[ReadAhead]:
    """A warehouse with its tables, as if its statements had a price."""
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "scratch") as inner:
        inner.create_tables((*ALL_TABLES, *ALL_VIEWS))
        inner.bills_statements = True
        yield ReadAhead(inner)


def test_expected_queries_are_asked_once_and_together(
    warehouse: ReadAhead, asked: list[str]
) -> None:
    with warehouse.expecting([ONE, OTHER]):
        assert asked == []  # nothing is asked until one of them is
        for _ in range(2):
            assert warehouse.query(OTHER.sql)["name"].to_list() == ["x"]
            assert warehouse.query(ONE.sql, ONE.params)["n"].to_list() == [7, 9]
        assert len(asked) == 1
        assert warehouse.query(ONE.sql, {"n": 1})["n"].to_list() == [1, 7]  # another parameter
        assert len(asked) == 2
    with warehouse.expecting([OTHER]):
        warehouse.query(OTHER.sql)
    assert len(asked) == 3  # forgotten with its context


def test_expected_queries_are_asked_once_and_one_by_one_if_they_have_no_price(
    warehouse: ReadAhead, asked: list[str]
) -> None:
    warehouse.inner.bills_statements = False
    with warehouse.expecting([ONE, OTHER]):
        for _ in range(2):
            assert warehouse.query(OTHER.sql)["name"].to_list() == ["x"]
        assert asked == [OTHER.sql]
        warehouse.query(ONE.sql, ONE.params)
        assert asked == [OTHER.sql, ONE.sql]


def test_inner_context_is_asked_with_the_outer_one_and_forgotten_first(
    warehouse: ReadAhead, asked: list[str]
) -> None:
    with warehouse.expecting([ONE]):
        with warehouse.expecting([ONE, OTHER]):
            warehouse.query(OTHER.sql)
        warehouse.query(ONE.sql, ONE.params)
        assert len(asked) == 1
        warehouse.query(OTHER.sql)
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("written", "again"), [("ops.loads", LOADS), ("features.daily_ml_matrix", FLAT)]
)
def test_transaction_makes_answers_from_its_tables_forgotten(
    warehouse: ReadAhead, asked: list[str], written: str, again: Statement
) -> None:
    with warehouse.expecting([OTHER, LOADS, FLAT]):
        warehouse.query(OTHER.sql)
        warehouse.transact([Statement(f"DELETE FROM `{written}` WHERE FALSE")])
        for query in (OTHER, LOADS, FLAT):
            warehouse.query(query.sql)
    assert asked[1:] == [again.sql]


def test_failed_transaction_makes_every_answer_forgotten(
    warehouse: ReadAhead, asked: list[str]
) -> None:
    with warehouse.expecting([OTHER]):
        warehouse.query(OTHER.sql)
        with pytest.raises(AuditError, match="no"):
            warehouse.transact([Assertion("SELECT 1 AS one", message="no")])
        warehouse.query(OTHER.sql)
    assert len(asked) == 2
