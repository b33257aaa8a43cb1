"""Rules of BigQuery for SQL that neither DuckDB nor the emulator enforces."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

FOLDER = Path(str(resources.files("cbi_assets.warehouse").joinpath("sql")))
NAMES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.sql"))


@pytest.fixture(params=NAMES)
def statement(request: pytest.FixtureRequest) -> exp.Expression:
    text = (FOLDER / request.param).read_text()
    text = re.sub(r"`\$(\w+)`", r"`staged.\1`", text)
    return parse(re.sub(r"\$(\w+)", r"\1", text))


def parse(sql: str) -> exp.Expression:
    return sqlglot.parse_one(sql, read="bigquery")


def violations(statement: exp.Expression) -> list[str]:
    """Return what BigQuery would reject, one line each."""
    found = []
    for join in statement.find_all(exp.Join):
        equalities = join.args["on"].find_all(exp.EQ) if join.args.get("on") else ()
        sides = [{c.table for c in e.find_all(exp.Column)} for e in equalities]
        if join.side and not any(len(tables) == 2 for tables in sides):
            found.append(f"an outer join without an equality of both sides: {join.sql()}")
    for select in statement.find_all(exp.Select):
        clauses = {name for name, value in select.args.items() if value}
        if "qualify" in clauses and not clauses & {"where", "group", "having"}:
            found.append("QUALIFY without WHERE, GROUP BY or HAVING")
        group = select.args.get("group")
        grouped = {column.table for column in group.find_all(exp.Column)} if group else set()
        if hidden := grouped & {e.alias for e in select.selects if e.alias}:
            found.append(f"GROUP BY takes a column for the table of its name: {hidden}")
    if isinstance(statement, exp.Update | exp.Delete) and not statement.args.get("where"):
        found.append("DML without WHERE")
    if isinstance(statement, exp.Update):
        targets = {e.this.name for e in statement.expressions}
        if hidden := targets & {t.alias_or_name for t in statement.find_all(exp.Table)}:
            found.append(f"a table has the name of a column that is set: {hidden}")
    return found


def test_sql_file_obeys_the_rules(statement: exp.Expression) -> None:
    assert violations(statement) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM a LEFT JOIN b ON a.x < b.x",
        "SELECT 1 FROM a FULL OUTER JOIN b ON a.x = 1",
        "SELECT bars.root, COUNT(*) AS bars FROM t AS bars GROUP BY bars.root",
        "SELECT x FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY x) = 1",
        "UPDATE t SET x = 1",
        "UPDATE t AS entry SET lost = lost.n FROM s AS lost WHERE entry.x = lost.x",
    ],
)
def test_each_rule_finds_a_violation(sql: str) -> None:
    assert len(violations(parse(sql))) == 1
