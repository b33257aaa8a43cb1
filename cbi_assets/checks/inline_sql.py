"""Render a check's SQL for pasting into the warehouse's own tool.

It is in the warehouse's dialect, with values in place of parameters, and the rows of a small frame
in place of a staged table.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from cbi_assets.warehouse.base import Params, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

# A text is translated once, with this in place of a root; translating takes milliseconds.
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
    """Return the name under which a check's frame is staged and its rows are pasted."""
    return f"check_{frame}"


def inline_params(sql: str, params: Params) -> str:
    """Return GoogleSQL with values in place of its `@name` parameters."""
    listed = _LIST.sub(lambda found: f"IN ({_literals(params[found.group(1)])})", sql)
    return _PARAMETER.sub(lambda found: _literal(params[found.group(1)]), listed)


def render_check_sql(
    warehouse: Warehouse,
    file: str,
    names: Mapping[str, str],
    params: Params,
    frames: Mapping[str, pl.DataFrame],
    root: str,
) -> str:
    """Return the SQL of `sql/checks/<file>.sql` for one root, as one statement that runs unchanged.

    Of a frame with a `root` column only that root's rows are included, or all if `root` is empty.
    """
    staged = {name: staged_name(name) for name in frames}
    sql = load_sql(f"checks/{file}", **names, **staged)
    used = [name for name in frames if f"`{staged[name]}`" in sql]
    one = {**params, "roots": [_ROOT]} if "roots" in params else params
    body = warehouse.to_dialect(inline_params(sql, one)).replace(_ROOT, root)
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
    """Return GoogleSQL that selects the frame's rows."""
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
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime):
        return f"TIMESTAMP '{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}+00'"
    if isinstance(value, dt.date):
        return f"DATE '{value}'"
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError(f"no GoogleSQL literal for {value!r}")
