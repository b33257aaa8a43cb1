from __future__ import annotations

import re

import duckdb
import polars as pl
import pytest
import sqlglot
from sqlglot import exp

from cbi_assets.tables import (
    ALL_TABLES,
    DAILY_ML_MATRIX,
    RAW,
    Column,
    TableSpec,
    struct,
)
from cbi_assets.warehouse.sql_files import to_duckdb


def parsed(spec: TableSpec) -> exp.Create:
    create = sqlglot.parse_one(spec.create_statement, read="bigquery")
    assert isinstance(create, exp.Create)
    return create


def unquoted(node: exp.Expression) -> str:
    """Return the texts in a definition's options."""
    return " ".join(literal.this for literal in node.find_all(exp.Literal))


CONTRACT = {
    # by hand from the contract
    "ts_event": "TIMESTAMP",
    "trade_date": "DATE",
    "root": "STRING",
    "symbol": "STRING",
    "kind": "STRING",
    "contract": "STRING",
    "instrument_id": "INT64",
    "publisher_id": "INT64",
    "open": "FLOAT64",
    "high": "FLOAT64",
    "low": "FLOAT64",
    "close": "FLOAT64",
    "volume": "INT64",
    "dataset": "STRING",
    "source_file_id": "STRING",
    "load_id": "STRING",
    "loaded_at": "TIMESTAMP",
}


def test_schema_of_keeps_the_order_named() -> None:
    schema = RAW["1h"].schema_of("volume", "ts_event")
    assert list(schema.items()) == [
        ("volume", pl.Int64()),
        ("ts_event", pl.Datetime("us", "UTC")),
    ]


@pytest.mark.parametrize("timeframe", ["1d", "1h", "1m"])
def test_raw_tables_have_the_columns_of_the_contract(timeframe: str) -> None:
    spec = RAW[timeframe]  # type: ignore[index]
    assert spec.id == f"market_data.databento_futures_ohlcv_{timeframe}"
    assert {column.name: column.type for column in spec.columns} == CONTRACT
    assert spec.key == ("symbol", "ts_event")
    optional = {column.name for column in spec.columns if not column.required}
    assert optional == {"contract", "open", "high", "low", "close"}
    assert "PARTITION BY TIMESTAMP_TRUNC(ts_event, MONTH)" in spec.create_statement
    assert "CLUSTER BY root, symbol" in spec.create_statement


def test_all_tables_include_those_of_the_contract() -> None:
    assert {spec.id for spec in ALL_TABLES} >= {
        *(f"market_data.databento_futures_ohlcv_{timeframe}" for timeframe in ("1d", "1h", "1m")),
        "ops.source_files",
        "ops.loads",
        "ops.quarantined_bars",
        "ops.bar_conflicts",
        "ops.check_results",
        "features.daily_ml_matrix",
    }


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda spec: spec.id)
def test_create_statement_has_columns_descriptions_and_partitions(spec: TableSpec) -> None:
    create = parsed(spec)
    columns = list(create.this.find_all(exp.ColumnDef))
    top = [column for column in columns if column.parent is create.this]
    assert [column.name for column in top] == list(spec.column_names)
    for column, written in zip(spec.columns, top, strict=True):
        required = any(isinstance(c.kind, exp.NotNullColumnConstraint) for c in written.constraints)
        assert required == column.required
        assert column.description
        # BigQuery shows a field's description if it is in the field's own definition
        inner = list(written.args["kind"].expressions) if column.fields else []
        assert [field.name for field in inner] == [field.name for field in column.fields]
        for field, defined in zip(column.fields, inner, strict=True):
            assert defined.args["kind"].sql("bigquery") == field.type
            assert field.description in unquoted(defined)
            assert (field.unit or "") in unquoted(defined)
    assert "expiration" not in spec.create_statement.lower()
    assert spec.description
    assert set(spec.key) <= set(spec.column_names)
    assert all(column.required for column in spec.columns if column.name in spec.key)
    partition = create.find(exp.PartitionedByProperty)
    assert (partition is None) == (spec.partition_by is None)
    if partition is not None:
        assert "MONTH" in partition.sql("bigquery")
        assert spec.partition_by in spec.column_names
    assert set(spec.cluster_by) <= set(spec.column_names)


def test_tables_outside_ops_are_partitioned_by_month() -> None:
    by_month = {spec.id for spec in ALL_TABLES if spec.partition_by}
    not_ops = {spec.id for spec in ALL_TABLES if spec.dataset != "ops"}
    assert by_month == not_ops


def test_create_statement_escapes_quotes_in_descriptions() -> None:
    spec = TableSpec("ops", "odd", "it's a \\ table", (RAW["1d"].columns[0],), ("ts_event",))
    text = parsed(spec).sql("bigquery")
    assert "it\\'s a \\\\ table" in text


def test_each_number_of_the_matrix_has_a_unit() -> None:
    without = {
        f"{column.name}.{field.name}"
        for column in DAILY_ML_MATRIX.columns
        for field in column.fields
        if field.type in ("FLOAT64", "INT64") and not field.unit
    }
    # a code, and a number set by the user
    assert without == {"golden_zone.state", "regime.weight"}


def test_struct_derives_its_type_from_its_fields() -> None:
    pair = struct("pair", "two", (Column("a", "INT64", "it's one"), Column("b", "DATE", "day")))
    assert pair.type == "STRUCT<a INT64, b DATE>"
    spec = TableSpec("ops", "pairs", "pairs", (Column("id", "STRING", "id"), pair), ("id",))
    assert (
        "  pair STRUCT<a INT64 OPTIONS (description='it\\'s one'), "
        "b DATE OPTIONS (description='day')> NOT NULL OPTIONS (description='two')"
    ) in spec.create_statement
    assert spec.add_statement(pair).endswith(
        "ADD COLUMN IF NOT EXISTS pair STRUCT<a INT64 OPTIONS (description='it\\'s one'), "
        "b DATE OPTIONS (description='day')> OPTIONS (description='two')"
    )
    # DuckDB has no descriptions of fields
    assert "pair STRUCT(a BIGINT, b DATE) NOT NULL" in to_duckdb(spec.create_statement)


def test_add_statement_adds_several_columns_at_once() -> None:
    a, b = Column("a", "INT64", "one"), Column("b", "DATE", "day")
    spec = TableSpec("ops", "pairs", "pairs", (a, b), ("a",))
    assert spec.add_statement(a, b) == (
        "ALTER TABLE `ops.pairs` ADD COLUMN IF NOT EXISTS a INT64 OPTIONS (description='one'), "
        "ADD COLUMN IF NOT EXISTS b DATE OPTIONS (description='day')"
    )


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda spec: spec.id)
def test_key_is_no_constraint(spec: TableSpec) -> None:
    # BigQuery would optimize on it, and a check for duplicates might not see them
    assert not re.search(r"\b(PRIMARY|FOREIGN)\s+KEY\b", spec.create_statement, re.IGNORECASE)


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda spec: spec.id)
def test_polars_schema_matches_the_rows_a_table_returns(spec: TableSpec) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE SCHEMA {spec.dataset}")
        connection.execute(to_duckdb(spec.create_statement))
        rows = connection.sql(f"SELECT * FROM {spec.id}").pl()
    assert rows.schema == spec.polars_schema
