from __future__ import annotations

import pytest

from cbi_assets.tables import ALL_TABLES, LEDGER_VERSION
from cbi_assets.warehouse.base import Assertion, Statement
from cbi_assets.warehouse.bigquery.bigquery_warehouse import staging_statement
from cbi_assets.warehouse.bigquery.script import transaction_script
from cbi_assets.warehouse.sql_files import load_sql
from cbi_assets_tests.googlesql.analyzer import Analyzer, RefusedError


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    tables = {spec.id: {c.name: c.type for c in spec.columns} for spec in ALL_TABLES}
    return Analyzer({**tables, "staged": {"root": "STRING", "n": "INT64"}})


def test_assert_version_is_accepted(analyzer: Analyzer) -> None:
    found = analyzer.analyze(load_sql("ledger/assert_version"), {"seen_version": "INT64"})
    assert found.columns == {"version": "INT64"}


def test_having_is_refused_where_an_alias_hides_the_column(analyzer: Analyzer) -> None:
    # the guard of every publication until BigQuery's own analyzer was asked
    before = f"""SELECT COALESCE(MAX(version), 0) AS version FROM `{LEDGER_VERSION.id}`
        HAVING COALESCE(MAX(version), 0) <> @seen_version"""
    with pytest.raises(RefusedError, match="Aggregations of aggregations"):
        analyzer.analyze(before, {"seen_version": "INT64"})


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT nothing FROM `staged`", "Unrecognized name: nothing"),
        ("SELECT * FROM `elsewhere`", "Table not found: elsewhere"),
        ("SELECT 1 FROM `staged` WHERE root = @n", "No matching signature for operator ="),
        ("SELECT 1 FROM `staged` WHERE n = @missing", "Query parameter 'missing' not found"),
        ("DELETE FROM `staged`", "must have a WHERE"),
        ("SELECT CAST(n AS DOUBLE) FROM `staged`", "Type not found: DOUBLE"),
        ("SELECT MAX_BY(root, n) FROM `staged`", "Function not found: MAX_BY"),
        ("SELECT 1; SELECT", "Unexpected end"),
        ("BEGIN TRANSACTION; DELETE FROM `staged` WHERE n = ''; COMMIT TRANSACTION;", "INT64"),
        ("DECLARE n STRING DEFAULT 1; SELECT 1;", "No matching signature"),
        ("DECLARE n STRING DEFAULT ''; SET n = (SELECT 1);", "INT64 instead of STRING"),
        ("IF 1 THEN SELECT 1; END IF;", "INT64 instead of BOOL"),
        ("CREATE TABLE `a.b` (n INT64); INSERT INTO `a.b` (m) SELECT 1", "Column m"),
    ],
)
def test_statement_is_refused(analyzer: Analyzer, sql: str, problem: str) -> None:
    with pytest.raises(RefusedError) as raised:
        analyzer.created_by(sql, {"n": "INT64"})
    assert problem in raised.value.problem


def test_statements_of_a_transaction_are_analyzed_in_their_place(analyzer: Analyzer) -> None:
    script, _ = transaction_script(
        [
            Statement("DELETE FROM `ops.loads` WHERE root IN UNNEST(@roots)", {"roots": ["ö"]}),
            Assertion("SELECT root FROM `ops.loads` WHERE root = 'ö'", message=""),
        ]
    )
    found = analyzer.analyze_script(script, {"s0_roots": "ARRAY<STRING>"})
    # the assertion's rows, the condition and the message are queries of an expression each
    assert [each.kind for each in found] == ["DeleteStmt", "QueryStmt", "QueryStmt", "QueryStmt"]


def test_several_columns_are_added_by_one_statement(analyzer: Analyzer) -> None:
    statement = LEDGER_VERSION.add_statement(*LEDGER_VERSION.columns)
    assert analyzer.analyze(statement, {}).kind == "AlterTableStmt"


def test_staging_statement_creates_a_table_of_the_query(analyzer: Analyzer) -> None:
    sql = staging_statement(
        "a", "SELECT root, COUNT(*) AS n, AVG(n) AS mean FROM `staged` GROUP BY root"
    )
    assert analyzer.created_by(sql, {}) == {
        "ops_staging.a": {"root": "STRING", "n": "INT64", "mean": "FLOAT64"}
    }
