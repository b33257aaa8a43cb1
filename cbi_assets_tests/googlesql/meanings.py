"""Compare what a text means on DuckDB with what it means by Google's reference engine."""

from __future__ import annotations

import datetime as dt
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import sqlglot
from sqlglot import exp

from cbi_assets.tables import EVERY_TABLE
from cbi_assets.tables.spec import Column, _polars_type
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.googlesql.analyzer import RefusedError, Schema
from cbi_assets_tests.googlesql.reference import Rows, run_reference
from cbi_assets_tests.googlesql.verdicts import Part

Tables = Mapping[str, tuple[Schema, Rows]]

_ROW_HASH = re.compile(r"FARM_FINGERPRINT\(TO_JSON_STRING\(\w+\)\)")
"""What each warehouse computes in its own way, `Warehouse.row_hash`, and never compares."""

_of_thread = threading.local()

_REQUIRED = {(s.id, c.name) for s in EVERY_TABLE for c in s.columns if c.required}
_STRINGS = ("", "it's", 'a "b"', "a\\b", "é", "ZL", "ZLN4")
_INTS = (0, 1, 1, 2, -3, 7, 2**40)
_FLOATS = (0.0, -37.63, 45.01, 45.01, 0.1, 1e-9, 4e12)
_DATES = (dt.date(2024, 3, 10), dt.date(2024, 3, 11), dt.date(1969, 12, 31), dt.date(2012, 2, 29))
_TIMES = tuple(
    dt.datetime.fromisoformat(f"{text}+00:00")
    for text in (
        "2024-03-10T07:59:59.999999",  # Chicago's clock springs forward at 08:00
        "2024-03-10T08:00:00",
        "2024-11-03T06:30:00",  # and falls back at 07:00
        "2024-11-03T07:30:00",
        "1969-12-31T23:59:59.5",
        "2012-02-29T23:00:00",
    )
)


def as_query(sql: str) -> str | None:
    """Return the query that decides what a statement does; None if it is no query or DML."""
    tree = sqlglot.parse_one(sql, read="bigquery")
    if isinstance(tree, exp.Query):
        return sql
    if isinstance(tree, exp.Create | exp.Insert):
        query = tree.expression
        return query.sql("bigquery") if isinstance(query, exp.Query) else None
    if isinstance(tree, exp.Delete):
        return exp.select("*").from_(tree.this).where(tree.args["where"].this).sql("bigquery")
    if isinstance(tree, exp.Update):
        values = [e.expression.as_(f"value_{n}") for n, e in enumerate(tree.expressions)]
        query = exp.select(*values).from_(tree.this)
        if other := tree.args.get("from_"):
            query = query.join(other.this, join_type="cross")
        return query.where(tree.args["where"].this).sql("bigquery")
    if isinstance(tree, exp.Merge):
        source = tree.args["using"]
        matches = exp.select("COUNT(*)").from_(tree.this).where(tree.args["on"]).subquery()
        found = exp.select(f"{source.alias}.*", matches.as_("matches"))
        return found.from_(source).sql("bigquery")
    return None


def generate(tables: Mapping[str, Schema], required: set[tuple[str, str]], sql: str,
             values: Mapping[str, Any], rows: int, seed: int) -> Tables:  # fmt: skip
    """Return tables of random rows, of values that often meet the statement's conditions."""
    chance = random.Random(seed)
    flat = [v for value in values.values() for v in (value if isinstance(value, list) else [value])]
    literals = re.findall(r"'([^'\\\n]{1,30})'", sql)

    def pool(kind: type, own: tuple[Any, ...]) -> list[Any]:
        return [*(v for v in flat if type(v) is kind), *own]

    near = [v + dt.timedelta(hours=n) for v in flat if type(v) is dt.datetime for n in (-1, 1)]
    pools: dict[str, list[Any]] = {
        "STRING": [*pool(str, _STRINGS), *literals],
        "INT64": pool(int, _INTS),
        "FLOAT64": pool(float, _FLOATS),
        "BOOL": [True, False],
        "DATE": pool(dt.date, _DATES),
        "TIMESTAMP": [*pool(dt.datetime, _TIMES), *near],
    }

    def value_of(kind: str, may_be_null: bool) -> Any:
        if kind.startswith("ARRAY"):  # BigQuery stores no NULL arrays
            return [chance.choice(pools["STRING"]) for _ in range(chance.randrange(3))]
        if may_be_null and chance.random() < 0.2:
            return None
        if kind.startswith("STRUCT"):
            return {name: value_of(each, True) for name, each in _fields(kind).items()}
        # few values, so that rows tie and join
        return chance.choice(pools[kind][: 4 + seed % 8])

    return {
        name: (
            schema,
            [
                [value_of(kind, (name, column) not in required) for column, kind in schema.items()]
                for _ in range(rows)
            ],
        )
        for name, schema in tables.items()
    }


def compare(part: Part, tables: Mapping[str, Schema]) -> str | None:
    """Compare a statement on tables without rows, with few, and with more."""
    if (sql := as_query(part.sql)) is None:
        return None
    sql = _ROW_HASH.sub("7", sql)
    for seed, rows in enumerate((0, 3, 12)):
        content = generate(tables, _REQUIRED, part.sql, part.values, rows, seed)
        if found := difference(sql, part.params, part.values, content):
            return f"{rows} rows: {found}"
    return None


def difference(sql: str, kinds: Schema, values: Mapping[str, Any], tables: Tables) -> str | None:
    """Return how the two engines' answers differ; None if they are equal."""
    try:
        names, expected = run_reference(sql, kinds, values, tables)
    except RefusedError as error:
        return f"reference: {error.problem}"
    warehouse = _warehouse()
    fill(warehouse, tables)
    try:
        frame = warehouse.query(sql, values)
    except Exception as error:
        return f"DuckDB: {error}"
    finally:
        for name in tables:
            warehouse._connection.execute(f"DROP TABLE {name}")
    if [
        ours if theirs else "" for ours, theirs in zip(frame.columns, names, strict=False)
    ] != names:
        return f"columns {frame.columns}, expected {names}"
    ours, theirs = Counter(_texts(frame.rows())), Counter(_texts(expected))
    if ours != theirs:
        return f"DuckDB only: {list(ours - theirs)[:2]}\nreference only: {list(theirs - ours)[:2]}"
    keys = _ordered_by(sql, names)
    if keys and [[r[k] for k in keys] for r in frame.rows()] != [
        [r[k] for k in keys] for r in expected
    ]:
        return "another order"
    return None


def _warehouse() -> DuckDBWarehouse:
    """Return this thread's warehouse without tables: opening one takes longer than a query."""
    if not hasattr(_of_thread, "warehouse"):
        _of_thread.folder = TemporaryDirectory(prefix="cbi-meanings-")
        scratch = Path(_of_thread.folder.name) / "scratch"
        _of_thread.warehouse = DuckDBWarehouse(scratch / "meanings.duckdb", scratch)
    warehouse: DuckDBWarehouse = _of_thread.warehouse
    return warehouse


@cache
def _fields(kind: str) -> dict[str, str]:
    """Return the types of a STRUCT's fields."""
    parsed = exp.DataType.build(kind, dialect="bigquery")
    return {f.name: f.args["kind"].sql("bigquery") for f in parsed.expressions}


def fill(warehouse: DuckDBWarehouse, tables: Tables) -> None:
    """Create tables with these rows."""
    connection = warehouse._connection
    for name, (schema, rows) in tables.items():
        types = {c: _polars_type(_column(c, kind)) for c, kind in schema.items()}
        frame = pl.DataFrame(list(rows), schema=types, orient="row")
        connection.register("_rows", frame.to_arrow())
        dataset, _, _ = name.rpartition(".")
        if dataset:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{dataset}"')
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _rows")
        connection.unregister("_rows")


def _column(name: str, kind: str) -> Column:
    if not kind.startswith("STRUCT"):
        return Column(name, kind, "")
    fields = (_column(field, each) for field, each in _fields(kind).items())
    return Column(name, kind, "", fields=tuple(fields))


def _ordered_by(sql: str, names: list[str]) -> list[int]:
    order = sqlglot.parse_one(sql, read="bigquery").args.get("order")
    keys = []
    for ordered in order.expressions if order else ():
        if not isinstance(ordered.this, exp.Column) or ordered.this.name not in names:
            break
        keys.append(names.index(ordered.this.name))
    return keys


def _texts(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    return (repr([_plain(value) for value in row]) for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        # sums depend on the order of the rows
        return "NaN" if math.isnan(value) else f"{value + 0.0:.12g}"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
