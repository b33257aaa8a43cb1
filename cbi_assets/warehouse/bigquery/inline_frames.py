"""Small staged frames, each sent as a parameter of the statements that read it.

A staging table is a load job, and every statement that reads one is billed for at least 10 MB. A
parameter costs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from google.cloud import bigquery

from cbi_assets.warehouse.base import Params

MOST_ROWS: Final = 1_000
MOST_BYTES: Final = 64 << 10
"""Of one frame as JSON. A request, which sends a frame once, may have 10 MB."""

_DATASET: Final = "frame"
_PREFIX: Final = "frame_"
_NAME: Final = re.compile(rf"`{_DATASET}\.(\w+)`")
_SCALARS: Final[Mapping[pl.DataType, str]] = {
    pl.String(): "STRING",
    pl.Int32(): "INT64",
    pl.Int64(): "INT64",
    pl.Float64(): "FLOAT64",
    pl.Boolean(): "BOOL",
    pl.Date(): "DATE",
    pl.Datetime("us", "UTC"): "TIMESTAMP",
}


def parameter_kinds(frame: pl.DataFrame) -> dict[str, str]:
    """Return the GoogleSQL types of a frame's columns; none if a parameter cannot have one."""
    kinds = {column: _SCALARS.get(kind, "") for column, kind in frame.schema.items()}
    return kinds if all(kinds.values()) else {}


@dataclass(frozen=True)
class FrameParameter:
    """The rows of a frame as the value of a parameter; `kinds` are GoogleSQL types by column."""

    kinds: Mapping[str, str]
    rows: Sequence[tuple[Any, ...]]

    def to_query_parameter(self, name: str) -> bigquery.ArrayQueryParameter:
        """Return an array of one STRUCT per row."""
        kinds = (bigquery.ScalarQueryParameterType(k, name=n) for n, k in self.kinds.items())
        element = bigquery.StructQueryParameterType(*kinds)
        structs = [
            bigquery.StructQueryParameter(
                None,
                *(
                    bigquery.ScalarQueryParameter(column, kind, value)
                    for (column, kind), value in zip(self.kinds.items(), row, strict=True)
                ),
            )
            for row in self.rows
        ]
        return bigquery.ArrayQueryParameter(name, element, structs)

    def request_bytes(self, name: str) -> int:
        """Return its size in a request."""
        return len(json.dumps(self.to_query_parameter(name).to_api_repr()))

    def subquery(self, name: str) -> str:
        """Return the query of the rows.

        Without rows it needs no parameter: the client refuses an empty array of STRUCTs.
        """
        if self.rows:
            columns = ", ".join(f"item.`{column}`" for column in self.kinds)
            return f"(SELECT {columns} FROM UNNEST(@{name}) AS item)"
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS `{c}`" for c, kind in self.kinds.items())
        return f"(SELECT {nulls} FROM (SELECT 1) WHERE FALSE)"


class InlineFrames:
    """The frames staged as parameters, by name; one staged again replaces the earlier one."""

    def __init__(self) -> None:
        self._frames: dict[str, FrameParameter] = {}

    def add(self, name: str, frame: pl.DataFrame) -> str | None:
        """Stage a frame and return its id; None if it is too large, or has other types."""
        if frame.height > MOST_ROWS or frame.estimated_size() > MOST_BYTES:
            return None
        if not (kinds := parameter_kinds(frame)):
            return None
        floats = frame.select(pl.col(pl.Float64).drop_nulls().is_finite().all())
        if not all(floats.row(0) if floats.width else ()):  # JSON has no NaN
            return None
        plain = re.sub(r"\W", "_", name)
        found = FrameParameter(kinds, frame.rows())
        if found.rows and found.request_bytes(_PREFIX + plain) > MOST_BYTES:
            return None
        self._frames[plain] = found
        return f"{_DATASET}.{plain}"

    def expand(self, sql: str, params: Params | None) -> tuple[str, Params]:
        """Return a statement with subqueries in place of staged frames, and its parameters."""
        used = {name: self._frames[name] for name in sorted(set(_NAME.findall(sql)))}
        given = {_PREFIX + name: frame for name, frame in used.items() if frame.rows}
        expanded = _NAME.sub(lambda found: used[found[1]].subquery(_PREFIX + found[1]), sql)
        return expanded, {**(params or {}), **given}
