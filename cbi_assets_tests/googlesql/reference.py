"""Run a query on Google's reference engine, which defines what GoogleSQL means."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from zetasql.core.exceptions import ServerError
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2

from cbi_assets_tests.googlesql.analyzer import (
    RefusedError,
    Schema,
    catalog_of,
    options_of,
    to_type,
)
from cbi_assets_tests.googlesql.engine import start_engine

EPOCH = dt.date(1970, 1, 1)
MIDNIGHT = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Rows = Sequence[Sequence[Any]]


def run_reference(
    sql: str,
    kinds: Schema,
    values: Mapping[str, Any],
    tables: Mapping[str, tuple[Schema, Rows]],
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the names of the columns and the rows. Raises RefusedError, also for an overflow."""
    request = service.EvaluateQueryRequest(sql=sql, options=options_of(kinds))
    schemas = {name: schema for name, (schema, _) in tables.items()}
    request.simple_catalog.CopyFrom(catalog_of(schemas))
    for name, (schema, rows) in tables.items():
        types = [to_type(kind) for kind in schema.values()]
        content = request.table_content[name].table_data
        content.SetInParent()  # it may have no rows
        for row in rows:
            content.row.add(cell=[_encode(v, t) for v, t in zip(row, types, strict=True)])
    for name, kind in kinds.items():
        request.params.add(name=name, value=_encode(values[name], to_type(kind)))
    try:
        answer = start_engine().call("EvaluateQuery", request, service.EvaluateQueryResponse)
    except ServerError as error:
        raise RefusedError(error.message, sql) from None
    columns = answer.prepared.columns
    rows = answer.content.table_data.row
    return [column.name for column in columns], [
        tuple(_decode(c, k.type) for c, k in zip(row.cell, columns, strict=True)) for row in rows
    ]


def _encode(value: Any, kind: type_pb2.TypeProto) -> value_pb2.ValueProto:
    found = value_pb2.ValueProto()
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        element = kind.array_type.element_type
        found.array_value.SetInParent()  # BigQuery has no NULL arrays
        found.array_value.element.extend(_encode(item, element) for item in value or ())
    elif value is None:
        pass
    elif kind.type_kind == type_pb2.TYPE_STRUCT:
        fields = kind.struct_type.field
        found.struct_value.field.extend(_encode(value[f.field_name], f.field_type) for f in fields)
    elif kind.type_kind == type_pb2.TYPE_DATE:
        found.date_value = (value - EPOCH).days
    elif kind.type_kind == type_pb2.TYPE_TIMESTAMP:
        micros = (value - MIDNIGHT) // dt.timedelta(microseconds=1)
        found.timestamp_value.seconds = micros // 1_000_000
        found.timestamp_value.nanos = micros % 1_000_000 * 1000
    else:
        setattr(found, _FIELDS[kind.type_kind], value)
    return found


_FIELDS = {
    type_pb2.TYPE_STRING: "string_value",
    type_pb2.TYPE_INT64: "int64_value",
    type_pb2.TYPE_DOUBLE: "double_value",
    type_pb2.TYPE_BOOL: "bool_value",
}


def _decode(value: value_pb2.ValueProto, kind: type_pb2.TypeProto) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            element = kind.array_type.element_type
            return [_decode(item, element) for item in value.array_value.element]
        case "struct_value":
            fields = zip(kind.struct_type.field, value.struct_value.field, strict=True)
            return {f.field_name: _decode(item, f.field_type) for f, item in fields}
        case "date_value":
            return EPOCH + dt.timedelta(days=value.date_value)
        case "timestamp_value":
            stamp = value.timestamp_value
            return MIDNIGHT + dt.timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
        case field:
            return getattr(value, field)
