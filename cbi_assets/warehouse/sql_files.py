"""Load the GoogleSQL files, with `$table` placeholders, and translate GoogleSQL to DuckDB."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template

import sqlglot
from sqlglot import exp


@cache
def _text(name: str) -> str:
    return resources.files("cbi_assets.warehouse").joinpath(f"sql/{name}.sql").read_text()


def load_sql(name: str, **tables: str) -> str:
    """Return the GoogleSQL of `sql/<name>.sql` with its placeholders substituted."""
    return Template(_text(name)).substitute(tables)


@cache
def to_duckdb(sql: str, pretty: bool = False) -> str:
    """Return the statement in DuckDB's dialect; `pretty` puts one clause on a line."""
    statement = sqlglot.parse_one(sql, read="bigquery")
    for node in list(statement.find_all(exp.CountIf, exp.PrimaryKey, exp.DataType)):
        _adapt(node)
    return statement.sql("duckdb", pretty=pretty, unsupported_level=sqlglot.ErrorLevel.IGNORE)


def _adapt(node: exp.Expression) -> None:
    if isinstance(node, exp.PrimaryKey):
        # BigQuery does not enforce keys; DuckDB would, with an index that costs more than the load.
        node.pop()
        return
    if isinstance(node, exp.DataType):
        if node.is_type("decimal") and not node.expressions:
            # GoogleSQL's NUMERIC is DECIMAL(38, 9), DuckDB's is DECIMAL(18, 3).
            node.replace(exp.DataType.build("DECIMAL(38, 9)"))
        return
    # Over NULLs only, DuckDB's COUNT_IF is NULL, GoogleSQL's COUNTIF is 0.
    node.replace(exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))])))
