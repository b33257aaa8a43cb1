"""A check's SQL as a person pastes it: in the warehouse's own dialect, values in the place of
parameters, and the rows of a small frame in the place of a staged one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from cbi_assets.warehouse.base import Params, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

# Stands for a root until there is one, so that a text is translated once for all roots.
_ROOT: Final = "<root>"

_LIST: Final = re.compile(r"IN UNNEST\(@(\w+)\)")
_PARAMETER: Final = re.compile(r"@(\w+)")
_HEAD: Final = re.compile(r"((?:\s*(?:--[^\n]*\n|/\*.*?\*/))*\s*)(WITH\s)?", re.DOTALL)
_TYPES: Final = {
    pl.String: "STRING",
    pl.Boolean: "BOOL",
    pl.Date: "DATE",
    pl.Float64: "FLOAT64",
}


def staged_name(frame: str) -> str:
    """The name under which a check's frame is staged, and under which its rows are pasted."""
    return f"check_{frame}"


def write_out(sql: str, params: Params) -> str:
    """GoogleSQL with values in the place of its `@name` parameters."""
    listed = _LIST.sub(lambda found: f"IN ({_literals(params[found.group(1)])})", sql)
    return _PARAMETER.sub(lambda found: _literal(params[found.group(1)]), listed)


def spell_check(
    warehouse: Warehouse,
    text: str,
    names: Mapping[str, str],
    params: Params,
    frames: Mapping[str, pl.DataFrame],
    root: str,
) -> str:
    """The SQL of `sql/checks/<text>.sql`, on one root alone, as one statement that runs as it
    stands. Of a frame with a `root` column, that root's rows are put in; all of them where `root`
    is empty."""
    staged = {name: staged_name(name) for name in frames}
    sql = load_sql(f"checks/{text}", **names, **staged)
    used = [name for name in frames if f"`{staged[name]}`" in sql]
    one = {**params, "roots": [_ROOT]} if "roots" in params else params
    body = warehouse.to_dialect(write_out(sql, one)).replace(_ROOT, root)
    if not used:
        return body
    parts = []
    for name in used:
        frame = frames[name]
        own = frame.filter(root=root) if root and "root" in frame.columns else frame
        parts.append(f"{staged[name]} AS (\n{warehouse.to_dialect(_select(own))}\n)")
    head = _HEAD.match(body)
    assert head is not None
    comma = "," if head.group(2) else ""
    return f"{head.group(1)}WITH {',\n'.join(parts)}{comma}\n{body[head.end() :]}"


def _select(frame: pl.DataFrame) -> str:
    """GoogleSQL that gives the frame's rows."""
    names = frame.columns
    if frame.is_empty():
        nulls = (
            f"CAST(NULL AS {_TYPES[type(kind)]}) AS {name}" for name, kind in frame.schema.items()
        )
        return f"SELECT {', '.join(nulls)} FROM (SELECT 1) WHERE FALSE"
    if names == ["root", "trade_date"] and frame["root"].n_unique() == 1:
        dates = " ".join(str(date) for date in frame["trade_date"])
        return (
            f"SELECT {_literal(frame['root'][0])} AS root, CAST(day AS DATE) AS trade_date "
            f"FROM UNNEST(SPLIT('{dates}', ' ')) AS day"
        )
    rows = (
        ", ".join(f"{_literal(value)} AS {name}" for name, value in zip(names, row, strict=True))
        for row in frame.iter_rows()
    )
    return "\nUNION ALL ".join(f"SELECT {row}" for row in rows)


def _literals(values: Iterable[Any]) -> str:
    return ", ".join(map(_literal, values))


def _literal(value: Any) -> str:
    """A value in GoogleSQL."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return f"DATE '{value}'"
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError(f"{value!r} has no literal here")
