"""The books: the outcome of every record that was read, by file and by table."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from cbi_assets.config.universe import Universe
from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.market.bars import Timeframe
from cbi_assets.tables import SOURCE_FILES
from cbi_assets.timestamps import utc_from_micros
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.merge import merge_rows
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

BooksEntry = tuple[str, Timeframe, str]
"""A line of the books: source_file_id, timeframe and root."""


@dataclass(frozen=True)
class QuarantinedFile:
    """A file with quarantined records, the first of which is `record_no`."""

    path: str
    records: int
    quarantined: int
    record_no: int
    reason: str


def quarantined_files(warehouse: Warehouse, load_id: str) -> list[QuarantinedFile]:
    """Return the files of which a load quarantined records, by path."""
    found = warehouse.query(load_sql("ledger/quarantined_files"), {"load_id": load_id})
    return [QuarantinedFile(**row) for row in found.to_dicts()]


KNOWN_TRUSTS: Final = Statement(f"SELECT id, path, trust FROM `{SOURCE_FILES.id}`")
"""What asks for the trust in each file."""

PUBLISHED_FILES: Final = Statement(
    "SELECT timeframe, root, source_file_id, published FROM `ops.loads`"
)
"""What asks for the published bars of each file."""

PUBLISHED_ROWS: Final = Statement(
    "SELECT root, timeframe, SUM(published) AS row_count FROM `ops.loads` GROUP BY root, timeframe"
)
"""What `published_rows` asks."""


def published_rows(warehouse: Warehouse) -> dict[tuple[str, str], int]:
    """Return the published bars by root and timeframe; the tables contain as many."""
    rows = warehouse.query(PUBLISHED_ROWS.sql)
    return {(root, timeframe): count for root, timeframe, count in rows.iter_rows()}


def newest_bars(warehouse: Warehouse, now: dt.datetime) -> pl.DataFrame:
    """Return the newest published bar's start and load time by timeframe and root, UTC.

    Columns: timeframe, root, last_ts_event (of bars that start at or before `now`), loaded_at.
    """
    query = newest_bars_query(now)
    return warehouse.query(query.sql, query.params)


def newest_bars_query(now: dt.datetime) -> Statement:
    """Return what `newest_bars` asks."""
    return Statement(load_sql("ledger/newest_bars"), {"now": now})


def books_by_file(warehouse: Warehouse) -> pl.DataFrame:
    """Return path, schema, source_file_id, job_id, status, trust and BOOK_COLUMNS, by file."""
    return warehouse.query(books_query().sql).sort("path")


def books_query() -> Statement:
    """Return what `books_by_file` asks."""
    return Statement(load_sql("ledger/books_by_file"))


def books_by_table(by_file: pl.DataFrame) -> pl.DataFrame:
    """Return schema, files and BOOK_COLUMNS, one row per raw table, from those by file."""
    return (
        by_file.group_by("schema")
        .agg(pl.len().alias("files"), pl.col(BOOK_COLUMNS).sum())
        .sort("schema")
    )


def unverified(by_file: pl.DataFrame) -> tuple[int, int]:
    """Return how many loaded files no manifest verifies, and their published bars."""
    found = by_file.filter(pl.col("trust").fill_null("unverified") == "unverified")
    return found.height, int(found["published"].sum())


def source_file_statements(
    warehouse: Warehouse,
    contents: Mapping[int, Content],
    slices: Sequence[Slice],
    touched: set[int],
    loaded: Collection[BooksEntry],
    universe: Universe,
    trusts: Mapping[str, str],
) -> list[Statement]:
    """Return the statements that record files in ops.source_files and assert that books balance.

    Parameters
    ----------
    warehouse : Warehouse
        Where the rows are staged.
    contents : mapping of int to Content
        The landed contents, by file_no.
    slices : sequence of Slice
        The slices of the touched files.
    touched : set of int
        The file_no of each file to record.
    loaded : set of (source_file_id, timeframe, root)
        What ops.loads contains once the transaction commits; other slices count as not loaded.
    universe : Universe
        Slices of other roots count as outside it.
    trusts : mapping of str to str
        Each file's state of trust, by source_file_id.
    """
    outside: Counter[int] = Counter()
    not_loaded: Counter[int] = Counter()
    for piece in slices:
        file_id = contents[piece.file_no].source_file_id
        if (file_id, piece.timeframe, piece.root) in loaded:
            continue
        if piece.root and piece.root not in universe.roots:
            outside[piece.file_no] += piece.records
        else:
            not_loaded[piece.file_no] += piece.records
    rows = [
        _file_row(contents[n], outside[n], not_loaded[n])
        | {"trust": trusts.get(contents[n].source_file_id)}
        for n in sorted(touched)
    ]
    staged = warehouse.stage_frame(
        "source_files", pl.DataFrame(rows, schema=SOURCE_FILES.polars_schema)
    )
    return [
        merge_rows(SOURCE_FILES, staged),
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


def _file_row(content: Content, outside: int, not_loaded: int) -> dict[str, object]:
    return vars(content) | {
        "id": content.source_file_id,
        "outside_universe": outside,
        "not_loaded": not_loaded,
        "first_ts_event": utc_from_micros(content.first_ts),
        "last_ts_event": utc_from_micros(content.last_ts),
        "symbols": list(content.symbols),
        "covers_from": utc_from_micros(content.covers_from),
        "covers_to": utc_from_micros(content.covers_to),
        "status": "partial" if not_loaded else "loaded",
    }
