"""Write a transaction as one BigQuery script, and values as query parameters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from google.cloud import bigquery

from cbi_assets.warehouse.base import Assertion, Params, Statement
from cbi_assets.warehouse.bigquery.inline_frames import FrameParameter
from cbi_assets.warehouse.parameters import parameter_names, rename_parameters


def query_parameters(sql: str, params: Params | None, prefix: str = "") -> list[Any]:
    """Return the parameters that a statement uses; an empty list is an array of strings."""
    named = set(parameter_names(sql))
    found: list[Any] = []
    for name, value in (params or {}).items():
        if name not in named:
            continue
        if isinstance(value, FrameParameter):
            found.append(value.to_query_parameter(name))
        elif isinstance(value, list | tuple):
            kind = _kind(value[0]) if value else "STRING"
            found.append(bigquery.ArrayQueryParameter(prefix + name, kind, list(value)))
        else:
            found.append(bigquery.ScalarQueryParameter(prefix + name, _kind(value), value))
    return found


def transaction_script(statements: Sequence[Statement]) -> tuple[str, list[Any]]:
    """Return one script of the statements, and its parameters, renamed per statement.

    Those of staged frames keep their names: each is sent once. An `Assertion` raises the first row
    it returns as JSON, which rolls the transaction back.
    """
    lines = ["DECLARE offender STRING DEFAULT NULL;", "BEGIN TRANSACTION;"]
    params: list[Any] = []
    shared: dict[str, Any] = {}
    for number, statement in enumerate(statements):
        prefix = f"s{number}_"
        given = statement.params or {}
        frames = {name: v for name, v in given.items() if isinstance(v, FrameParameter)}
        own = {name: v for name, v in given.items() if name not in frames}
        shared |= frames
        params += query_parameters(statement.sql, own, prefix)
        sql = rename_parameters(statement.sql, partial(_prefixed, prefix, frames)).strip()
        if not isinstance(statement, Assertion):
            lines.append(f"{sql};")
            continue
        lines.append(
            f"SET offender = (SELECT TO_JSON_STRING(found) FROM (\n{sql}\n) AS found LIMIT 1);"
        )
        lines.append(
            "IF offender IS NOT NULL THEN "
            f"RAISE USING MESSAGE = CONCAT('cbi-assertion {number} ', offender); END IF;"
        )
    script = "\n".join([*lines, "COMMIT TRANSACTION;"])
    return script, params + query_parameters(script, shared)


def _prefixed(prefix: str, frames: Collection[str], name: str) -> str:
    return name if name in frames else prefix + name


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    if isinstance(value, float):
        return "FLOAT64"
    if isinstance(value, dt.datetime):
        return "TIMESTAMP"
    if isinstance(value, dt.date):
        return "DATE"
    if isinstance(value, str):
        return "STRING"
    raise TypeError(f"a query parameter cannot be a {type(value).__name__}")
