"""A table's content in a few numbers a month, the same from either warehouse, whatever the order.

Each row is written out as text, hashed, and the hashes are XORed and summed. Floats are written by
their bits, in three whole numbers that exact arithmetic takes them apart into: the warehouses print
decimals differently.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp

from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Warehouse


@dataclass(frozen=True)
class Fingerprint:
    """Of one month of a table, or of a whole table that has no months."""

    rows: int
    xor_of_hashes: int
    sum_of_hashes: int


def fingerprint(
    warehouse: Warehouse,
    spec: TableSpec,
    table_id: str | None = None,
    leave_out: Collection[str] = (),
) -> dict[dt.date | None, Fingerprint]:
    """The fingerprints of a table by month; None for a table without a partition column.

    Read a year at a time, so that no query reads a whole history. `table_id` is another table of
    the same columns; `leave_out` names columns that do not count.
    """
    sql = fingerprint_sql(spec, table_id or spec.id, leave_out)
    found: dict[dt.date | None, Fingerprint] = {}
    for span in spans(warehouse, spec, table_id or spec.id, months=12):
        for month, rows, xor, total in warehouse.query(sql, span).rows():
            found[month] = Fingerprint(rows, xor, total)
    return found


def fingerprint_sql(spec: TableSpec, table_id: str, leave_out: Collection[str] = ()) -> str:
    """GoogleSQL that gives month, rows, xor and sum of what lies in [@first, @end)."""
    parts = [
        _written(column.name, exp.DataType.build(column.type, dialect="bigquery"))
        for column in spec.columns
        if column.name not in leave_out
    ]
    month = f"DATE_TRUNC(CAST({spec.partition_by} AS DATE), MONTH)" if spec.partition_by else "NULL"
    return f"""SELECT
  month, COUNT(*) AS row_count,
  BIT_XOR(CAST(CONCAT('0x', SUBSTR(digest, 1, 15)) AS INT64)) AS xor_of_hashes,
  SUM(CAST(CONCAT('0x', SUBSTR(digest, 16, 7)) AS INT64)) AS sum_of_hashes
FROM (
  SELECT CAST({month} AS DATE) AS month, TO_HEX(MD5(CONCAT(
    {",\n    ".join(parts)}
  ))) AS digest
  FROM `{table_id}`
  {within(spec)}
)
GROUP BY month
ORDER BY month"""


def spans(
    warehouse: Warehouse, spec: TableSpec, table_id: str, months: int
) -> list[dict[str, dt.date | dt.datetime]]:
    """Half-open spans `first`, `end` of so many months that cover the rows of a table; one without
    bounds for a table without a partition column."""
    column = spec.partition_by
    if column is None:
        return [{}]
    row = warehouse.query(f"SELECT MIN({column}) AS a, MAX({column}) AS b FROM `{table_id}`").row(0)
    if row[0] is None:
        return []
    numbers = [moment.year * 12 + moment.month - 1 for moment in row]
    start = numbers[0] - numbers[0] % months
    edges = [
        dt.date(number // 12, number % 12 + 1, 1)
        for number in range(start, numbers[1] + months + 1, months)
    ]
    if isinstance(row[0], dt.datetime):
        edges = [dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC) for day in edges]
    return [{"first": first, "end": end} for first, end in pairwise(edges)]


def within(spec: TableSpec) -> str:
    """The WHERE clause of a span."""
    if spec.partition_by is None:
        return ""
    return f"WHERE {spec.partition_by} >= @first AND {spec.partition_by} < @end"


def _written(name: str, kind: exp.DataType) -> str:
    """A value as text that no other value has; NULL is `n`."""
    if kind.is_type("struct"):
        fields = [
            _written(f"{name}.{field.name}", field.args["kind"]) for field in kind.expressions
        ]
        return ", ".join(fields)
    if kind.is_type("array"):
        # an empty array and NULL are one in BigQuery
        joined = f"ARRAY_TO_STRING({name}, ',')"
        return f"CONCAT('a', COALESCE({joined}, ''), ';')"
    text = {
        "FLOAT64": _float(name),
        "TIMESTAMP": f"CAST(UNIX_MICROS({name}) AS STRING)",
        "DATE": f"CAST(UNIX_DATE({name}) AS STRING)",
        "BOOL": f"CASE WHEN {name} THEN 't' WHEN NOT {name} THEN 'f' END",
        "INT64": f"CAST({name} AS STRING)",
        "STRING": f"CONCAT(CAST(LENGTH({name}) AS STRING), ':', {name})",
    }[kind.sql("bigquery")]
    return f"COALESCE(CONCAT({text}, ';'), 'n;')"


def _float(name: str) -> str:
    """Below 2^43, multiplying by a power of two and taking the whole part off are exact."""
    scaled = f"{name} * 1048576.0"
    rest = f"({scaled} - TRUNC({scaled})) * 1099511627776.0"
    rest_of_rest = f"({rest} - TRUNC({rest})) * 1099511627776.0"
    parts = [
        f"CAST(CAST(TRUNC({part}) AS INT64) AS STRING)" for part in (scaled, rest, rest_of_rest)
    ]
    return f"CONCAT({", '.', ".join(parts)})"
