"""The books: what became of every record that was read, by file and by table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import polars as pl

from cbi_assets.config.universe import Universe
from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.tables import SOURCE_FILES
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


@dataclass(frozen=True, kw_only=True)
class LoadCounts:
    """What a load made of the records that it read; the others add up to `records`."""

    records: int
    published: int
    duplicates: int
    quarantined: int
    conflicts: int


@dataclass(frozen=True, kw_only=True)
class BookCounts(LoadCounts):
    """The outcome of all records of a file; `difference` is not 0 if they do not add up."""

    reopened: int
    not_loaded: int
    outside_universe: int
    difference: int


LOAD_COUNTS = tuple(field.name for field in fields(LoadCounts))
BOOK_COLUMNS = tuple(field.name for field in fields(BookCounts))


def books_by_file(warehouse: Warehouse) -> pl.DataFrame:
    """One row a file: path, schema, source_file_id, job_id, status and BOOK_COLUMNS."""
    return warehouse.query(load_sql("ledger/books_by_file")).sort("path")


def books_by_table(by_file: pl.DataFrame) -> pl.DataFrame:
    """The same, one row a table: schema, files and BOOK_COLUMNS."""
    return (
        by_file.group_by("schema")
        .agg(pl.len().alias("files"), pl.col(BOOK_COLUMNS).sum())
        .sort("schema")
    )


def enter_files(
    warehouse: Warehouse,
    contents: Mapping[int, Content],
    slices: Sequence[Slice],
    touched: set[int],
    loaded: set[tuple[str, str, str]],
    universe: Universe,
) -> list[Statement]:
    """The statements that enter the touched files into ops.source_files, and hold that all books
    balance.

    `slices` are the touched files' own; `loaded` names (file, timeframe, root) that are in the
    books once the transaction stands, so that the rest counts as not loaded yet.
    """
    outside: dict[int, int] = {}
    waiting: dict[int, int] = {}
    for piece in slices:
        file_id = contents[piece.file_no].source_file_id
        if (file_id, piece.timeframe, piece.root) in loaded:
            continue
        if piece.root and piece.root not in universe.roots:
            outside[piece.file_no] = outside.get(piece.file_no, 0) + piece.records
        else:
            waiting[piece.file_no] = waiting.get(piece.file_no, 0) + piece.records
    rows = [_file_row(contents[n], outside.get(n, 0), waiting.get(n, 0)) for n in sorted(touched)]
    staged = warehouse.stage_frame(
        "files_entered", pl.DataFrame(rows, schema=SOURCE_FILES.polars_schema, orient="row")
    )
    columns = ", ".join(SOURCE_FILES.column_names)
    return [
        Statement(load_sql("ledger/delete_files", staged=staged)),
        Statement(f"INSERT INTO `ops.source_files` ({columns}) SELECT {columns} FROM `{staged}`"),
        books_balance("Nothing was published. Retry the load."),
    ]


def books_balance(remedy: str) -> Assertion:
    """Return the assertion that every record read from every file is accounted for."""
    books = load_sql("ledger/books_by_file")
    return Assertion(
        f"SELECT path, records, difference FROM (\n{books}) AS books WHERE difference <> 0",
        subject="{0}",
        message="{2} of its {1} records are not accounted for",
        remedy=remedy,
    )


def _file_row(content: Content, outside: int, waiting: int) -> tuple[object, ...]:
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    first, last = (
        None if moment is None else epoch + dt.timedelta(microseconds=moment)
        for moment in (content.first_ts, content.last_ts)
    )
    return (
        content.source_file_id,
        content.path,
        content.job_id,
        content.dataset,
        content.schema,
        content.encoding,
        content.compression,
        content.bytes,
        content.records,
        outside,
        waiting,
        first,
        last,
        list(content.symbols),
        "partial" if waiting else "loaded",
    )
