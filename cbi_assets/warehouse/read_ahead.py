"""Ask several queries in one statement: BigQuery bills each statement 10 MB per table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import polars as pl
import sqlglot

from cbi_assets.tables import ALL_VIEWS
from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.parameters import rename_parameters

_NUMBER: Final = "query_number"
_NAMED: Final = re.compile("`([^`]+)`")

_Key = tuple[str, str]
"""A query's text, and its parameters as text."""


def query_together(warehouse: Warehouse, queries: Sequence[Statement]) -> list[pl.DataFrame]:
    """Return the rows of each query, asked in one statement.

    The queries must list their columns, by names, and may be ordered by some of these.
    """
    if len(queries) < 2:
        return [warehouse.query(query.sql, query.params) for query in queries]
    parts = []
    params: dict[str, Any] = {}
    for number, query in enumerate(queries):
        prefix = f"q{number}_"
        columns, _ = _columns(query.sql)
        listed = ", ".join(f"found.`{name}` AS {prefix}{name}" for name in columns)
        sql = rename_parameters(query.sql, prefix.__add__)
        parts.append(f"SELECT {number} AS {_NUMBER}, {listed} FROM (\n{sql}\n) AS found")
        params |= {prefix + name: value for name, value in query.params.items()}
    rows = warehouse.query("\nFULL UNION ALL BY NAME\n".join(parts), params)
    found = []
    for number, query in enumerate(queries):
        columns, order = _columns(query.sql)
        own = rows.filter(pl.col(_NUMBER) == number)
        own = own.select(pl.col(f"q{number}_{name}").alias(name) for name in columns)
        found.append(own.sort(order) if order else own)
    return found


def query_alike(warehouse: Warehouse, queries: Sequence[Statement]) -> list[pl.DataFrame]:
    """Return the rows of each query, asked in one statement, in any order.

    The queries have the same columns, of the same types.
    """
    if len(queries) < 2:
        return [warehouse.query(query.sql, query.params) for query in queries]
    parts = []
    params: dict[str, Any] = {}
    for number, query in enumerate(queries):
        sql = rename_parameters(query.sql, f"q{number}_".__add__)
        parts.append(f"SELECT {number} AS {_NUMBER}, found.* FROM (\n{sql}\n) AS found")
        params |= {f"q{number}_{name}": value for name, value in query.params.items()}
    rows = warehouse.query("\nUNION ALL\n".join(parts), params)
    return [
        rows.filter(pl.col(_NUMBER) == number).drop(_NUMBER) for number, _ in enumerate(queries)
    ]


class ReadAhead:
    """A warehouse that knows what it will be asked: once, and together if statements have a price.

    An answer is kept until a transaction names one of its tables, or its context ends.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self.inner = warehouse
        self._expected: dict[_Key, Statement] = {}
        self._answers: dict[_Key, pl.DataFrame] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def expecting(self, queries: Iterable[Statement]) -> Iterator[None]:
        """Ask these queries in one statement when the first of them is asked."""
        new = {_key(query.sql, query.params): query for query in queries}
        new = {key: query for key, query in new.items() if key not in self._expected}
        self._expected |= new
        try:
            yield
        finally:
            for key in new:
                del self._expected[key]
                self._answers.pop(key, None)

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Return the query's rows, from what was read ahead if it is expected."""
        key = _key(sql, params)
        if key not in self._expected:
            return self.inner.query(sql, params)
        if key not in self._answers:
            # One statement for all of it has as many columns as they have together, most of them
            # empty in each row: in DuckDB that takes three times as long as asking one by one.
            every = self._expected if self.inner.bills_statements else (key,)
            asked = {k: self._expected[k] for k in every if k not in self._answers}
            frames = query_together(self.inner, list(asked.values()))
            self._answers |= dict(zip(asked, frames, strict=True))
        return self._answers[key]

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run the statements in one transaction, and forget what was read of their tables.

        After a failure everything is: another process may have changed it.
        """
        listed = list(statements)
        named = {table for statement in listed for table in _tables(statement.sql)}
        for key in [key for key in self._answers if named & _tables(key[0])]:
            del self._answers[key]
        try:
            self.inner.transact(listed)
        except BaseException:
            self._answers.clear()
            raise


def _tables(sql: str) -> set[str]:
    """Return the tables that a statement names, those of views included."""
    named = set(_NAMED.findall(sql))
    for view in ALL_VIEWS:
        if view.id in named and view.query is not None:
            named |= set(_NAMED.findall(view.query))
    return named


def _key(sql: str, params: Params | None) -> _Key:
    return sql, repr(sorted((params or {}).items()))


@cache
def _columns(sql: str) -> tuple[list[str], list[str]]:
    """Return the names of a query's columns, and of those that it is ordered by."""
    query = sqlglot.parse_one(sql, read="bigquery")
    assert isinstance(query, sqlglot.exp.Query)
    columns, order = query.named_selects, query.args.get("order")
    keys = order.expressions if order else []
    names = [key.this.name for key in keys]
    if "*" in columns or any(key.args.get("desc") for key in keys) or set(names) - set(columns):
        raise ValueError(
            f"it does not list its columns, or is ordered by other than columns: {sql}"
        )
    return columns, names
