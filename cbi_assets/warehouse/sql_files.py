"""Load the GoogleSQL files, with `$table` placeholders, and translate GoogleSQL to DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

import sqlglot
from sqlglot import exp

THEN: Final = ";\n/* then */\n"
"""Between the statements that DuckDB runs for one: a text may have a semicolon at a line's end."""


@cache
def _text(name: str) -> str:
    return resources.files("cbi_assets.warehouse").joinpath(f"sql/{name}.sql").read_text()


def load_sql(name: str, **tables: str) -> str:
    """Return the GoogleSQL of `sql/<name>.sql` with its placeholders substituted."""
    return Template(_text(name)).substitute(tables)


@cache
def to_duckdb(sql: str, pretty: bool = False) -> str:
    """Return the statement in DuckDB's dialect; `pretty` puts one clause on a line.

    A MERGE that matches no row, ON FALSE, becomes a DELETE and an INSERT, separated by `THEN`:
    DuckDB joins the whole table with the new rows.
    """
    statement = sqlglot.parse_one(sql, read="bigquery")
    for node in reversed(list(statement.find_all(*_BRIDGES))):  # the inner ones first
        _BRIDGES[type(node)](node)
    found: Sequence[exp.Expr] = [statement]
    if isinstance(statement, exp.Merge) and statement.args["on"] == exp.false():
        found = _unmerge(statement)
    return THEN.join(
        each.sql("duckdb", pretty=pretty, unsupported_level=sqlglot.ErrorLevel.IGNORE)
        for each in found
    )


def _unmerge(merge: exp.Merge) -> list[exp.Expr]:
    """Return the DELETE and the INSERT of a MERGE that has these and matches no row."""
    deletion, insertion = merge.args["whens"].expressions
    assert deletion.args["source"]
    assert isinstance(deletion.args["then"], exp.Var)
    values = insertion.args["then"]
    target, name = merge.this.copy(), merge.this.copy()
    name.set("alias", None)
    return [
        exp.delete(target).where(deletion.args["condition"]),
        exp.insert(
            exp.select(*values.expression.expressions).from_(merge.args["using"]),
            name,
            columns=[column.this for column in values.this.expressions],
        ),
    ]


def _count_none_as_zero(node: exp.Expression) -> None:
    # Over NULLs only, DuckDB's COUNT_IF is NULL, GoogleSQL's COUNTIF is 0.
    node.replace(exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))])))


def _widen_numeric(node: exp.Expression) -> None:
    # GoogleSQL's NUMERIC is DECIMAL(38, 9), DuckDB's is DECIMAL(18, 3).
    if node.is_type("decimal") and not node.expressions:
        node.replace(exp.DataType.build("DECIMAL(38, 9)"))


def _keep_date(node: exp.Expression) -> None:
    # In DuckDB, these functions of a DATE return a TIMESTAMP.
    if not isinstance(node.parent, exp.PartitionedByProperty):
        node.replace(exp.cast(node.copy(), "DATE"))


def _count_whole_units(node: exp.Expression) -> None:
    # DuckDB's DATE_DIFF counts the borders of units, its DATE_SUB whole units, as GoogleSQL does.
    unit = exp.Literal.string(node.text("unit"))
    node.replace(exp.func("DATESUB", unit, node.expression, node.this, dialect="duckdb"))


def _read_as_float(node: exp.Expression) -> None:
    # In DuckDB, 0.5 is a decimal, and 5e-1 a float.
    if not node.is_string and "." in node.name and "e" not in node.name.lower():
        node.replace(exp.Literal.number(f"{node.name}e0"))


def _union_by_name(node: exp.Expression) -> None:
    # DuckDB's UNION BY NAME keeps all columns, as GoogleSQL's FULL UNION BY NAME does.
    if node.args.get("by_name"):
        node.set("side", None)


def _hash_natively(node: exp.Expression) -> None:
    # DuckDB has no FARM_FINGERPRINT, and its own hash reads a row's values without writing them as
    # text. The number is another one, so it is compared within one warehouse only.
    (text,) = node.expressions
    assert isinstance(text, exp.JSONFormat)
    hashed = exp.func("HASH", text.this)
    node.replace(
        exp.cast(exp.BitwiseRightShift(this=hashed, expression=exp.Literal.number(1)), "BIGINT")
    )


@cache
def translation_rules() -> str:
    """Return what a translation depends on besides its text: sqlglot and this module."""
    return f"{version('sqlglot')} {Path(__file__).read_text()}"


_BRIDGES: Final[dict[type[exp.Expression], Callable[[exp.Expression], None]]] = {
    exp.CountIf: _count_none_as_zero,
    exp.DataType: _widen_numeric,
    exp.DateAdd: _keep_date,
    exp.DateSub: _keep_date,
    exp.DateTrunc: _keep_date,
    exp.FarmFingerprint: _hash_natively,
    exp.TimestampDiff: _count_whole_units,
    exp.Literal: _read_as_float,
    exp.Union: _union_by_name,
}
"""What makes an expression mean the same on DuckDB where sqlglot alone does not."""
