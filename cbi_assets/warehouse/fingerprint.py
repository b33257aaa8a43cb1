"""Fingerprint a table by month, independent of row order and equal on both warehouses.

Each row is written as text and hashed; the hashes are XORed and summed. Because the warehouses
print decimals differently, a float is written as three integers that contain all of its bits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlglot import exp

from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Warehouse


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one month of a table, or of a table without a partition column."""

    rows: int
    xor_of_hashes: int
    sum_of_hashes: int


def fingerprint(
    warehouse: Warehouse,
    spec: TableSpec,
    table_id: str | None = None,
    leave_out: Collection[str] = (),
) -> dict[dt.date | None, Fingerprint]:
    """Return a table's fingerprints by month; by None if it has no partition column.

    Reads one year per query, to stay below the limit of bytes billed.

    Parameters
    ----------
    table_id : str, optional
        Another table with the spec's columns to read instead.
    leave_out : Collection[str]
        Columns to ignore.
    """
    sql = fingerprint_sql(spec, table_id or spec.id, leave_out)
    found: dict[dt.date | None, Fingerprint] = {}
    for span in spans(warehouse, spec, table_id or spec.id, months=12):
        for month, rows, xor, total in warehouse.query(sql, span).rows():
            found[month] = Fingerprint(rows, xor, total)
    return found


def fingerprint_sql(spec: TableSpec, table_id: str, leave_out: Collection[str] = ()) -> str:
    """Return the query of month, rows, xor and sum of the rows in [@first, @end)."""
    parts = [
        _as_text(column.name, exp.DataType.build(column.type, dialect="bigquery"))
        for column in spec.columns
        if column.name not in leave_out
    ]
    month = _month(spec) if spec.partition_by else "NULL"
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
    """Return half-open spans `first`, `end` of `months` each, those in which a table has rows.

    A table without a partition column has one span without bounds.
    """
    if spec.partition_by is None:
        return [{}]
    rows = warehouse.query(f"SELECT DISTINCT {_month(spec)} AS month FROM `{table_id}`")
    places = {(month.year * 12 + month.month - 1) // months for month in rows["month"]}
    edges = [(_edge(spec, n * months), _edge(spec, (n + 1) * months)) for n in sorted(places)]
    return [{"first": first, "end": end} for first, end in edges]


def _month(spec: TableSpec) -> str:
    return f"DATE_TRUNC(CAST({spec.partition_by} AS DATE), MONTH)"


def _edge(spec: TableSpec, number: int) -> dt.date | dt.datetime:
    """Return the start of a month, counted from the year 0, as a value of the partition column."""
    kind = next(column.type for column in spec.columns if column.name == spec.partition_by)
    year, month = number // 12, number % 12 + 1
    return dt.date(year, month, 1) if kind == "DATE" else dt.datetime(year, month, 1, tzinfo=dt.UTC)


def within(spec: TableSpec) -> str:
    """Return the WHERE clause that selects a span of `spans`."""
    if spec.partition_by is None:
        return ""
    return f"WHERE {spec.partition_by} >= @first AND {spec.partition_by} < @end"


def _as_text(name: str, kind: exp.DataType) -> str:
    """Return SQL that writes a value as text, different for each value; NULL is `n`."""
    if kind.is_type("struct"):
        fields = [
            _as_text(f"{name}.{field.name}", field.args["kind"]) for field in kind.expressions
        ]
        return ", ".join(fields)
    if kind.is_type("array"):
        # BigQuery stores NULL arrays as empty ones.
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
    """Return SQL that writes a float below 2^43; scaling by 2^n and truncating are exact."""
    scaled = f"{name} * 1048576.0"
    rest = f"({scaled} - TRUNC({scaled})) * 1099511627776.0"
    rest_of_rest = f"({rest} - TRUNC({rest})) * 1099511627776.0"
    parts = [
        f"CAST(CAST(TRUNC({part}) AS INT64) AS STRING)" for part in (scaled, rest, rest_of_rest)
    ]
    return f"CONCAT({", '.', ".join(parts)})"
