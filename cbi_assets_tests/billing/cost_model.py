"""Compute what BigQuery bills for a statement, by its public rules and Google's analyzer.

A statement is billed for the columns that it reads, in all rows of the partitions that its filters
leave, and for at least 10 MB per table. DELETE, UPDATE and MERGE are also billed for all columns of
the partitions that they may change. https://cloud.google.com/bigquery/pricing#on-demand

The model reads a table that a statement names twice once, and expects nothing of clusters: they
prune blocks, and a partition below about 64 MB is a single one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from cbi_assets.tables import TableSpec
from cbi_assets_tests.googlesql.analyzer import Analysis, innermost

MB: Final = 1 << 20
DOLLARS_PER_TIB: Final = 6.25
"""On demand, as published in 2025."""

LEAST_BYTES: Final = 10 * MB
"""Billed for a table of which a statement reads at least one column."""

_FIXED: Final = {
    "INT64": 8,
    "FLOAT64": 8,
    "TIMESTAMP": 8,
    "DATE": 8,
    "DATETIME": 8,
    "BOOL": 1,
    "NUMERIC": 16,
}
_LENGTHS: Final = {
    "root": 2,
    "symbol": 6,
    "kind": 10,
    "contract": 0,
    "dataset": 9,
    "source_file_id": 64,
    "file_id": 64,
    "load_id": 25,
    "load_ids": 25,
}
"""Bytes of a string by column, as of the continuous symbol `ZL.v.0`."""

_OTHER_LENGTH: Final = 16
_COMPARISONS: Final = {
    "$equal": (True, True),
    "$greater": (True, False),
    "$greater_or_equal": (True, False),
    "$less": (False, True),
    "$less_or_equal": (False, True),
}
"""Whether a comparison of a column with a constant bounds it from below and from above."""

_MIRRORED: Final = {
    "$greater": "$less",
    "$greater_or_equal": "$less_or_equal",
    "$less": "$greater",
    "$less_or_equal": "$greater_or_equal",
}

_WRITE: Final = 2
"""ResolvedStatement.ObjectAccess of a column that a statement writes and does not read."""

Bound = tuple[dt.date | None, dt.date | None]
"""The first and the last date that a filter leaves; None if it leaves all before, or after."""


@dataclass(frozen=True)
class TableSize:
    """A table's columns (GoogleSQL types), its rows by month, and the column that these are of.

    A table without partitions has one entry, of month None.
    """

    columns: Mapping[str, str]
    rows: Mapping[dt.date | None, int]
    partition_by: str | None = None

    @classmethod
    def of(cls, spec: TableSpec, rows: Mapping[dt.date | None, int] | int = 0) -> TableSize:
        """Return the size of a table of this spec."""
        by_month = {None: rows} if isinstance(rows, int) else rows
        return cls({c.name: c.type for c in spec.columns}, by_month, spec.partition_by)

    def rows_within(self, bounds: Bound) -> int:
        """Return the rows of the partitions that may contain values within these bounds."""
        first, last = bounds
        return sum(
            count
            for month, count in self.rows.items()
            if month is None
            or (
                (first is None or month >= first.replace(day=1)) and (last is None or month <= last)
            )
        )


@dataclass(frozen=True)
class Bill:
    """What a statement is billed: bytes by table."""

    sql: str
    by_table: Mapping[str, int] = field(default_factory=dict)

    @property
    def billed(self) -> int:
        """Bytes billed."""
        return sum(self.by_table.values())


def width(name: str, kind: str) -> int:
    """Return the logical bytes of a value of a column: 2 and its length for a string."""
    return _width(name, exp.DataType.build(kind, dialect="bigquery"))


def _width(name: str, kind: exp.DataType) -> int:
    if kind.is_type("struct"):
        return sum(_width(item.name, item.args["kind"]) for item in kind.expressions)
    if kind.is_type("array"):
        return _width(name, kind.expressions[0])
    text = kind.sql("bigquery")
    if text == "STRING":
        length = _LENGTHS.get(name, _OTHER_LENGTH)
        return 2 + length if length else 0
    return _FIXED[text]


def bill(
    sql: str, analysis: Analysis, sizes: Mapping[str, TableSize], values: Mapping[str, Any]
) -> Bill:
    """Return what a statement is billed over tables of these sizes with these parameters."""
    tree = _Tree(analysis.tree, values)
    widths: dict[str, dict[str, int]] = {}
    bounds: dict[str, list[Bound]] = {}
    changed: dict[str, Bound] = {}
    for scan in tree.scans:
        name = scan.table.name
        size = sizes[name]
        columns = {
            column.column_id: column.name
            for column in scan.parent.column_list
            if column.column_id not in tree.not_read
        }
        found = widths.setdefault(name, {})
        for number, column in columns.items():
            fields = tree.fields_of(number)
            kind = size.columns[column]
            found[column] = max(found.get(column, 0), _read_width(column, kind, fields))
        if not columns and tree.target is not scan:
            continue
        partitioned = [n for n, column in columns.items() if column == size.partition_by]
        bound = tree.bounds_of(partitioned[0]) if partitioned else (None, None)
        bounds.setdefault(name, []).append(bound)
        if scan is tree.target:
            changed[name] = bound
    by_table = {}
    for name, spans in bounds.items():
        size = sizes[name]
        read = sum(widths[name].values()) * size.rows_within(_hull(spans))
        if name in changed:
            whole = sum(width(column, kind) for column, kind in size.columns.items())
            read += whole * size.rows_within(changed[name])
        by_table[name] = max(LEAST_BYTES, -(-read // MB) * MB)
    return Bill(sql, by_table)


def _read_width(column: str, kind: str, fields: set[str] | None) -> int:
    parsed = exp.DataType.build(kind, dialect="bigquery")
    if fields is None or not parsed.is_type("struct"):
        return width(column, kind)
    return sum(
        _width(item.name, item.args["kind"]) for item in parsed.expressions if item.name in fields
    )


def _hull(spans: Iterable[Bound]) -> Bound:
    firsts, lasts = zip(*spans, strict=True)
    return (
        None if None in firsts else min(firsts),
        None if None in lasts else max(lasts),
    )


class _Tree:
    """The scans, filters and references of a resolved statement."""

    def __init__(self, statement: Any, values: Mapping[str, Any]) -> None:
        self.scans: list[Any] = []
        self.target = None
        self.not_read: set[int] = set()
        self._values = values
        self._bounds: dict[int, list[Bound]] = {}
        self._whole: set[int] = set()
        self._fields: dict[int, set[str]] = {}
        kind = statement.DESCRIPTOR.name
        self._visit(statement)
        if kind in ("ResolvedDeleteStmtProto", "ResolvedUpdateStmtProto"):
            self.target = statement.table_scan
            self._filter(statement.where_expr)
        elif kind == "ResolvedMergeStmtProto":
            self.target = statement.table_scan
            accesses = zip(
                statement.table_scan.parent.column_list, statement.column_access_list, strict=True
            )
            self.not_read = {column.column_id for column, access in accesses if access == _WRITE}
            self._filter_merge(statement)
        elif kind == "ResolvedInsertStmtProto":
            # What is inserted is not billed.
            self.scans = [scan for scan in self.scans if scan is not statement.table_scan]

    def _filter_merge(self, statement: Any) -> None:
        """Take over what limits the rows that a MERGE changes.

        One that matches no row, ON FALSE, changes those of the clauses that do not insert.
        """
        if innermost(statement.merge_expr).DESCRIPTOR.name != "ResolvedLiteralProto":
            self._filter(statement.merge_expr)
            return
        (changing,) = (
            clause for clause in statement.when_clause_list if not clause.HasField("insert_row")
        )
        self._filter(changing.match_expr)

    def fields_of(self, column: int) -> set[str] | None:
        """Return the fields read of a STRUCT column; None if all of it is."""
        return None if column in self._whole else self._fields.get(column)

    def bounds_of(self, column: int) -> Bound:
        """Return the first and last date that the filters leave of a column."""
        firsts = [first for first, _ in self._bounds.get(column, ()) if first is not None]
        lasts = [last for _, last in self._bounds.get(column, ()) if last is not None]
        return max(firsts, default=None), min(lasts, default=None)

    def _visit(self, message: Any) -> None:
        name = message.DESCRIPTOR.name
        if name == "ResolvedTableScanProto":
            self.scans.append(message)
        elif name == "ResolvedFilterScanProto":
            self._filter(message.filter_expr)
        elif name == "ResolvedColumnRefProto":
            self._whole.add(message.column.column_id)
        elif name == "ResolvedGetStructFieldProto":
            inner = innermost(message.expr)
            if inner.DESCRIPTOR.name == "ResolvedColumnRefProto":
                field_name = inner.parent.type.struct_type.field[message.field_idx].field_name
                self._fields.setdefault(inner.column.column_id, set()).add(field_name)
                return
        for field_, value in message.ListFields():
            if field_.type != field_.TYPE_MESSAGE:
                continue
            if field_.name == "output_column_list":
                columns = (getattr(item, "column", item) for item in value)
                self._whole |= {column.column_id for column in columns}
            for item in value if isinstance(value, Iterable) else (value,):
                self._visit(item)

    def _filter(self, condition: Any) -> None:
        call = innermost(condition)
        if call.DESCRIPTOR.name != "ResolvedFunctionCallProto":
            return
        call = call.parent
        function = call.function.name.removeprefix("ZetaSQL:")
        arguments = [innermost(item) for item in call.argument_list]
        if function == "$and":
            for item in call.argument_list:
                self._filter(item)
        elif function == "$between":
            column, low, high = arguments
            self._bound(column, self._constant(low), self._constant(high))
        elif function in _COMPARISONS:
            left, right = arguments
            if left.DESCRIPTOR.name != "ResolvedColumnRefProto":
                left, right, function = right, left, _MIRRORED.get(function, function)
            constant = self._constant(right)
            below, above = _COMPARISONS[function]
            self._bound(left, constant if below else None, constant if above else None)

    def _bound(self, column: Any, first: dt.date | None, last: dt.date | None) -> None:
        if column.DESCRIPTOR.name == "ResolvedColumnRefProto":
            self._bounds.setdefault(column.column.column_id, []).append((first, last))

    def _constant(self, node: Any) -> dt.date | None:
        value = None
        if node.DESCRIPTOR.name == "ResolvedParameterProto":
            value = self._values.get(node.name)
        elif node.DESCRIPTOR.name == "ResolvedLiteralProto":
            literal = node.value.value
            if literal.WhichOneof("value") == "date_value":
                value = dt.date(1970, 1, 1) + dt.timedelta(days=literal.date_value)
        if isinstance(value, dt.datetime):
            return value.astimezone(dt.UTC).date()
        return value if isinstance(value, dt.date) else None
