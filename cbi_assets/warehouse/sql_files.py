"""The SQL files: GoogleSQL texts with `$table` placeholders, and their form for DuckDB."""

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
    """The GoogleSQL of `sql/<name>.sql` with its placeholders filled in."""
    return Template(_text(name)).substitute(tables)


@cache
def to_duckdb(sql: str, pretty: bool = False) -> str:
    """The same statement in DuckDB's dialect; `pretty` is for people."""
    statement = sqlglot.parse_one(sql, read="bigquery")
    for node in list(statement.find_all(exp.CountIf, exp.PrimaryKey, exp.DataType)):
        _bridge(node)
    return statement.sql("duckdb", pretty=pretty, unsupported_level=sqlglot.ErrorLevel.IGNORE)


def _bridge(node: exp.Expression) -> None:
    if isinstance(node, exp.PrimaryKey):
        # not enforced by GoogleSQL; here it would be, by an index that costs more than the load
        node.pop()
        return
    if isinstance(node, exp.DataType):
        if node.is_type("decimal") and not node.expressions:
            # GoogleSQL's NUMERIC has 38 digits, 9 of them behind the point; DuckDB's has 18 and 3
            node.replace(exp.DataType.build("DECIMAL(38, 9)"))
        return
    # DuckDB's COUNT_IF over NULLs alone is NULL where GoogleSQL's COUNTIF is 0
    node.replace(exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))])))
