"""The embedded warehouse: one DuckDB file under `CBI_HOME`, open in one process at a time."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import polars as pl
import polars.selectors as cs

from cbi_assets.config.home_errors import (
    MOVE_LOG,
    RESTORE,
    damaged,
    errno_named,
    failed_call,
    way_out,
)
from cbi_assets.config.settings import Home
from cbi_assets.errors import CbiError, HomeBusyError
from cbi_assets.tables import TableSpec, canonical_type
from cbi_assets.warehouse.base import Assertion, Params, Statement
from cbi_assets.warehouse.drift import LiveColumn, LiveTable, additions, can_read
from cbi_assets.warehouse.duckdb_ddl import create_statement, quoted
from cbi_assets.warehouse.sql_files import THEN, to_duckdb, translation_rules
from cbi_assets.warehouse.translations import Translations
from cbi_assets.warehouse.write_ahead_log import end_of_log_dropped, log_of, read_log

# sqlglot warns of partitions, clusters and descriptions, which DuckDB has no use for.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

MEMORY_LIMIT = "384MB"

POLL_SECONDS = 0.25
"""How often to try again to open a file that another process has open."""

logger = logging.getLogger(__name__)

_DAMAGE = (duckdb.IOException, duckdb.SerializationException, duckdb.FatalException)
"""What DuckDB raises if it cannot read its file; a wrong checksum is a bare duckdb.Error."""

_LITTLE_SPACE = 64 << 20
"""Free bytes below which DuckDB, which spills to the same disk, runs out of memory instead."""

# DuckDB raises a lock conflict as IOException, like any other failure to open the file.
_LOCK_CONFLICT = re.compile(
    r'Could not set lock on file ".*"(?:: Conflicting lock is held in (.+? \(PID \d+\)))?'
)


class DuckDBWarehouse:
    """A DuckDB file as a warehouse; the Warehouse protocol documents the methods.

    Raises HomeBusyError if another process has the file open, HomeError if it is damaged or its
    disk is full, and CbiError if a statement fails; at the latest when it is closed. Waits up to
    `wait` seconds for a process that has the file open. With `read_only`, the file must exist, and
    no process may write to it: it is a readers' copy.
    """

    bills_statements = False

    def __init__(
        self, path: Path, scratch: Path, wait: float = 0.0, *, read_only: bool = False
    ) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(scratch / "duckdb"),
            # This version's string compression halves the time to write bars.
            "storage_compatibility_version": "v1.5.0",
        }
        # A new file that is not complete, on a full disk, must not be taken for a damaged one.
        part = path.with_name(f".{path.name}.part")
        try:
            if not path.exists():
                part.unlink(missing_ok=True)
                duckdb.connect(str(part), config=config).close()
                part.replace(path)
            self._connection = (
                duckdb.connect(str(path), read_only=True, config=config)
                if read_only
                else self._connect(config, wait)
            )
        except duckdb.Error as error:
            # Whatever stops it from opening the file is the file's fault: nothing was run yet.
            raise self._translate(error) or damaged(path, error, RESTORE) from error
        finally:
            part.unlink(missing_ok=True)
        self._translations = Translations(
            Home(scratch.parent).translations, _to_duckdb, translation_rules()
        )
        self._is_read_only = read_only
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = false")

    def _connect(self, config: dict[str, Any], wait: float) -> duckdb.DuckDBPyConnection:
        """Open the file; while another process has it open, try again until `wait` is over."""
        deadline = time.monotonic() + wait
        is_waiting = False
        while True:
            log = read_log(self._path)
            try:
                connection = duckdb.connect(str(self._path), config=config)
            except duckdb.IOException as error:
                holder = _LOCK_CONFLICT.search(str(error))
                if holder is None or time.monotonic() >= deadline:
                    raise
                if not is_waiting:
                    who = holder[1] or "another process"
                    logger.info(
                        "%s: %s has it open; waiting up to %.0f s for it.", self._path, who, wait
                    )
                is_waiting = True
                time.sleep(min(POLL_SECONDS, wait))
                continue
            try:
                if end_of_log_dropped(self._path, log):
                    # DuckDB clears what it dropped when it writes the next time.
                    connection.execute(
                        "CREATE SCHEMA dropped_log; DROP SCHEMA dropped_log; CHECKPOINT"
                    )
            except BaseException:
                connection.close()
                raise
            return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except duckdb.Error as failed:
            error = error or failed
        if isinstance(error, duckdb.Error):
            raise self._translate(error) or self._failed(error) from error

    def _translate(self, error: duckdb.Error) -> CbiError | None:
        """Return what an error of the file or of its disk means; None for any other error."""
        cause: BaseException | None = error
        while cause is not None:  # after the first error, a rollback raises another one
            if conflict := _LOCK_CONFLICT.search(str(cause)):
                return HomeBusyError(
                    f"{conflict[1] or 'another process'} has the warehouse open",
                    subject=str(self._path),
                    remedy="Close it there, then retry; to read, open "
                    f"{Home(self._path.parent).read_copy} instead.",
                )
            if isinstance(cause, duckdb.Error) and (number := errno_named(str(cause))):
                return failed_call(number, *self._subject(cause))
            cause = cause.__context__
        free = shutil.disk_usage(self._path.parent).free
        if isinstance(error, duckdb.OutOfMemoryException) and free < _LITTLE_SPACE:
            return failed_call(errno.ENOSPC, self._path.parent, "")
        if isinstance(error, _DAMAGE) or type(error) is duckdb.Error:
            path, remedy = self._subject(error)
            return damaged(path, error, remedy)
        return None

    def _failed(self, error: duckdb.Error) -> CbiError:
        """Return what a statement that failed means, if neither file nor disk is at fault."""
        if isinstance(error, duckdb.OutOfMemoryException):
            return CbiError(
                f"DuckDB ran out of the {MEMORY_LIMIT} that it may use; no changes were made",
                subject=str(self._path),
                remedy="Name fewer roots at once (--symbol). If one is too many, report what "
                "`cbi --debug` shows.",
                code="memory",
            )
        return CbiError(
            f"DuckDB failed ({str(error).strip().splitlines()[0].removesuffix('.')})",
            subject=str(self._path),
            remedy="No changes were made. Report what `cbi --debug` shows.",
            code="query",
        )

    def _subject(self, error: BaseException) -> tuple[Path, str]:
        """Return the file of the home that an error names, else the warehouse, and its remedy."""
        home = Home(self._path.parent)
        for name in re.findall(r'"([^"]+)"', str(error)):
            if name == str(log_of(self._path)):
                return Path(name), MOVE_LOG
            if name.startswith(str(self._path)):
                return Path(name), RESTORE
            if Path(name).is_relative_to(home.root):
                return Path(name), way_out(home, Path(name))
        return self._path, RESTORE

    def cost(self) -> None:
        """Return None: DuckDB bills nothing."""

    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create missing tables, all or none, add missing columns, replace views that differ."""
        existing = self._live_tables
        missing, views = [], []
        for spec in specs:
            if spec.query is not None:
                views.append(spec)
            elif (live := existing.get(spec.id)) is None:
                missing.append(spec)
            else:
                for column in additions(spec, live):
                    self._connection.execute(self._translations.get(spec.add_statement(column)))
        if missing:
            schemas = dict.fromkeys(f'CREATE SCHEMA IF NOT EXISTS "{s.dataset}"' for s in missing)
            seeds = (
                self._translations.get(fill) for spec in missing for fill in spec.fill_statements()
            )
            self._execute_all([*schemas, *map(create_statement, missing), *seeds])
        self.__dict__.pop("_live_tables", None)
        for view in views:
            self._create_view(view)

    def _execute_all(self, statements: Iterable[str]) -> None:
        """Run DuckDB's statements in one transaction."""
        self._connection.execute("BEGIN TRANSACTION")
        try:
            self._connection.execute(";\n".join(statements))
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _create_view(self, spec: TableSpec) -> None:
        """Create a view, unless it exists as the spec says, or its table lacks what it reads."""
        comment = f"{spec.description} (spec {spec.fingerprint})"
        found = self._connection.execute(
            "SELECT comment FROM duckdb_views() WHERE database_name = current_database() "
            "AND schema_name || '.' || view_name = ?",
            [spec.id],
        ).fetchall()
        if found == [(comment,)] or not can_read(spec, self._live_tables):
            return
        name = f'"{spec.dataset}"."{spec.name}"'
        self._execute_all(
            [
                f'CREATE SCHEMA IF NOT EXISTS "{spec.dataset}"',
                self._translations.get(spec.create_statement),
                f"COMMENT ON VIEW {name} IS {quoted(comment)}",
                *(
                    f'COMMENT ON COLUMN {name}."{column}" IS {quoted(text)}'
                    for column, text in spec.comments()
                ),
            ]
        )
        self.__dict__.pop("_live_tables", None)

    def live_table(self, spec: TableSpec) -> LiveTable | None:
        """Return the table as it exists; None if it does not."""
        return self._live_tables.get(spec.id)

    @cached_property
    def _live_tables(self) -> dict[str, LiveTable]:
        # One query for all tables: each query on duckdb_columns() walks the whole catalog, and that
        # of DuckDB's own views where no database is named. No other process changes it while the
        # file is open.
        columns: dict[str, list[LiveColumn]] = {}
        for table, name, kind, required in self._connection.execute(
            "SELECT schema_name || '.' || table_name, column_name, data_type, NOT is_nullable "
            "FROM duckdb_columns() WHERE database_name = current_database() "
            "ORDER BY column_index"
        ).fetchall():
            column = LiveColumn(name, canonical_type(kind, "duckdb"), required)
            columns.setdefault(table, []).append(column)
        return {name: LiveTable(tuple(own), has_layout=False) for name, own in columns.items()}

    def stage_parquet(
        self, name: str, paths: Sequence[Path], partition_by: str | None = None
    ) -> str:
        """Create a view of the files, so that a query reads only the columns and rows it needs."""
        files = ", ".join(_literal(path) for path in paths)
        # A folder named like `a=b` would otherwise add a column.
        read = f"read_parquet([{files}], hive_partitioning = false)"
        self._connection.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * FROM {read}')
        return name

    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Create a temporary table of the frame's rows."""
        self._connection.register("_staged_frame", frame.to_arrow())
        self._connection.execute(
            f'CREATE OR REPLACE TEMP TABLE "{name}" AS SELECT * FROM _staged_frame'
        )
        self._connection.unregister("_staged_frame")
        return name

    def stage_query(
        self, name: str, sql: str, params: Params | None = None, *, to_fill: bool = False
    ) -> str:
        """Create a temporary table of the query's rows."""
        self._run(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {self._translations.get(sql)}', params)
        return name

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Return the query's rows."""
        translated = self._translations.get(sql)
        # In DuckDB 2.0, Arrow from execute() loses ORDER BY if insertion order is not preserved.
        relation = self._connection.sql(translated, params=_used(translated, params))
        table = relation.to_arrow_table()
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        # DuckDB sums INT64 to HUGEINT, a decimal in Arrow; GoogleSQL sums it to INT64.
        return frame.with_columns(cs.decimal().cast(pl.Int64))

    def for_frames(self) -> Self:
        """Return this warehouse."""
        return self

    def verify(self) -> None:
        """Read every table in full. Closing raises HomeError if a part of the file is damaged."""
        tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary"
        for schema, table in self._connection.execute(tables).fetchall():
            self._connection.execute(
                f'SELECT BIT_XOR(HASH(COLUMNS(*))) FROM "{schema}"."{table}"'
            ).fetchall()

    @property
    def row_hash(self) -> str:
        """DuckDB's own hash, which may differ between versions."""
        return f"DuckDB {duckdb.__version__}"

    def to_dialect(self, sql: str) -> str:
        """Return the statement in DuckDB's dialect, one clause per line."""
        return self._translations.get(sql, pretty=True)

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run all of the statements, or none."""
        self._connection.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                *first, last = self._translations.get(statement.sql).split(THEN)
                for sql in first:
                    self._run(sql, statement.params)
                rows = self._run(last, statement.params)
                if isinstance(statement, Assertion) and (row := rows.fetchone()) is not None:
                    raise statement.failure(row)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        # Until then, only the log has it.
        self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        if not self._is_read_only:
            self._translations.save()

    def _run(self, sql: str, params: Params | None) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql, _used(sql, params))


def _to_duckdb(sql: str, pretty: bool) -> str:
    return to_duckdb(sql, pretty)


def _literal(path: Path) -> str:
    """Return a path as an SQL string that DuckDB does not read as a pattern."""
    escaped = re.sub(r"[*?\[]", r"[\g<0>]", str(path))
    return quoted(escaped)


def _used(sql: str, params: Params | None) -> dict[str, Any] | None:
    # DuckDB rejects parameters that the statement does not use.
    names = set(re.findall(r"\$(\w+)", sql))
    return {name: value for name, value in (params or {}).items() if name in names} or None
