"""Ask several queries in one statement: BigQuery bills each statement 10 MB per table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, cast

import polars as pl
import sqlglot

from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.parameters import rename_parameters

_NUMBER: Final = "query_number"


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


def reading_ahead(warehouse: Warehouse, queries: Iterable[Statement]) -> Warehouse:
    """Return the warehouse, which asks these queries together as soon as one of them is asked.

    What was read is forgotten with the next transaction.
    """
    return cast(Warehouse, _ReadAhead(warehouse, list(queries)))


class _ReadAhead:
    """A warehouse that knows what it will be asked."""

    def __init__(self, warehouse: Warehouse, queries: Sequence[Statement]) -> None:
        self._warehouse = warehouse
        self._queries = queries
        self._answers: dict[tuple[str, str], pl.DataFrame] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Return the query's rows, from what was read ahead if it is one of those."""
        key = _key(sql, params)
        if any(_key(query.sql, query.params) == key for query in self._queries):
            frames = query_together(self._warehouse, self._queries)
            for query, frame in zip(self._queries, frames, strict=True):
                self._answers[_key(query.sql, query.params)] = frame
            self._queries = ()
        found = self._answers.get(key)
        return self._warehouse.query(sql, params) if found is None else found

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run the statements in one transaction, and forget what was read."""
        self._answers.clear()
        self._warehouse.transact(statements)


def _key(sql: str, params: Params | None) -> tuple[str, str]:
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
