"""Record the statements of a verb on DuckDB, and bill them as BigQuery would on larger tables."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from cbi_assets.config.settings import WarehouseName
from cbi_assets.session import Project
from cbi_assets.tables import EVERY_TABLE
from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.bigquery import live_schema
from cbi_assets.warehouse.bigquery.bigquery_warehouse import staging_statement
from cbi_assets.warehouse.bigquery.inline_frames import InlineFrames
from cbi_assets.warehouse.bigquery.script import query_parameters
from cbi_assets_tests.billing.cost_model import Bill, TableSize, bill
from cbi_assets_tests.googlesql.analyzer import Analyzer
from cbi_assets_tests.googlesql.issued_sql import kind_of

_GROWING = frozenset({"check_files"})
"""Frames that are small in a small home alone: the files of all bars."""

_FIXED = frozenset({"ticks"})
"""Frames of all years that are as small in a large home."""

_YEAR = dt.timedelta(days=366)

OWN = {spec.id: spec for spec in EVERY_TABLE}


@dataclass(frozen=True)
class Asked:
    """A statement, its parameters, the job that contains it, and the staged tables that exist."""

    sql: str
    params: list[Any]
    job: tuple[int, int]
    staged: Mapping[str, TableSize]


class RecordingWarehouse:
    """A warehouse that passes everything on, and remembers each statement that BigQuery would run.

    Loads of staged files and frames are not among them: they bill nothing.
    """

    bills_statements = True

    def __init__(self, inner: Warehouse) -> None:
        self.asked: list[Asked] = []
        self.load_jobs = 0
        self.inner = inner
        self._jobs = 0
        self._staged: dict[str, TableSize] = {}
        self._frames = InlineFrames()
        self._inlined: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def stage_parquet(
        self, name: str, paths: Sequence[Path], partition_by: str | None = None
    ) -> str:
        """Stage files; each is a load job, and counting them reads no column."""
        table = self.inner.stage_parquet(name, paths, partition_by)
        self.load_jobs += len(paths)
        columns = live_schema.staging_fields(pq.read_schema(path) for path in paths)
        self._keep(table, columns, sum(pq.read_metadata(path).num_rows for path in paths))
        return table

    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Stage a frame: a small one as a parameter, else by one load job."""
        table = self.inner.stage_frame(name, frame)
        self.load_jobs += not self._keep_frame(table, frame)
        return table

    def stage_query(
        self, name: str, sql: str, params: Params | None = None, *, to_fill: bool = False
    ) -> str:
        """Store a query's rows."""
        self._ask([Statement(staging_statement(name, sql), params or {})])
        table = self.inner.stage_query(name, sql, params)
        rows = self.inner.query(f"SELECT * FROM `{table}`")
        if to_fill:
            self._keep_table(table, rows)
        else:
            self._keep_frame(table, rows)
        return table

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Run a query."""
        self._ask([Statement(sql, params or {})])
        return self.inner.query(sql, params)

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run a transaction, which is one job of several statements."""
        listed = list(statements)
        self._ask(listed)
        self.inner.transact(listed)

    def _ask(self, statements: Iterable[Statement]) -> None:
        self._jobs += 1
        for statement in statements:
            sql = statement.sql
            for table, inlined in self._inlined.items():
                sql = sql.replace(f"`{table}`", f"`{inlined}`")
            sql, given = self._frames.expand(sql, statement.params)
            params = query_parameters(sql, given)
            self.asked.append(Asked(sql, params, (0, self._jobs), dict(self._staged)))

    def _keep_frame(self, table: str, frame: pl.DataFrame) -> bool:
        """Remember a staged frame; return whether BigQuery would get it as a parameter."""
        self._inlined.pop(table, None)
        grows = table in _GROWING or (table not in _FIXED and _spans_years(frame))
        inlined = None if grows else self._frames.add(table, frame)
        if inlined is not None:
            self._inlined[table] = inlined
            return True
        self._keep_table(table, frame)
        return False

    def _keep_table(self, table: str, frame: pl.DataFrame) -> None:
        self._keep(table, live_schema.staging_fields([frame.to_arrow().schema]), frame.height)

    def _keep(self, table: str, columns: Iterable[Any], rows: int) -> None:
        schema = {column.name: live_schema._type_of(column) for column in columns}
        self._staged[table] = TableSize(schema, {None: rows})


def _spans_years(frame: pl.DataFrame) -> bool:
    """Return whether a frame is of all years, so that it has many rows in a large home."""
    dates = frame.select(pl.col(pl.Date))
    return any((c.max() or dt.date.min) - (c.min() or dt.date.min) > _YEAR for c in dates)  # type: ignore[operator]


@dataclass(frozen=True)
class RecordedProject(Project):
    """A project whose warehouse records, `recorded`, what is asked of it."""

    recorded: list[RecordingWarehouse] = field(default_factory=list)

    @classmethod
    def of(cls, project: Project) -> RecordedProject:
        """Return the same project, recorded."""
        return cls(**{item.name: getattr(project, item.name) for item in fields(project)})

    @contextmanager
    def open_warehouse(
        self, name: WarehouseName | None = None, create_tables: bool = True, **options: Any
    ) -> Iterator[Warehouse]:
        """Open a warehouse and record what is asked of it."""
        with super().open_warehouse(name, create_tables, **options) as inner:
            self.recorded.append(RecordingWarehouse(inner))
            yield self.recorded[-1]

    def take(self) -> list[Asked]:
        """Return what was asked so far, and forget it."""
        asked = [
            replace(item, job=(n, item.job[1]))
            for n, each in enumerate(self.recorded)
            for item in each.asked
        ]
        self.recorded.clear()
        return asked


@dataclass(frozen=True)
class Total:
    """What a verb's statements are billed."""

    bills: list[Bill]
    jobs: int

    @property
    def statements(self) -> int:
        """Statements that are billed, those inside of scripts included."""
        return sum(item.billed > 0 for item in self.bills)

    @property
    def billed(self) -> int:
        """Bytes billed."""
        return sum(item.billed for item in self.bills)

    @property
    def by_table(self) -> Counter[str]:
        """Bytes billed by table; those of all staged tables together."""
        found: Counter[str] = Counter()
        for item in self.bills:
            for table, size in item.by_table.items():
                found[table if table in OWN else "staged"] += size
        return found


def bill_all(asked: Sequence[Asked], sizes: Mapping[str, TableSize]) -> Total:
    """Return what statements are billed where the project's tables have these sizes."""
    known = {name: TableSize.of(spec) for name, spec in OWN.items()} | dict(sizes)
    analyzers: dict[str, Analyzer] = {}
    bills = []
    for item in asked:
        every = known | item.staged
        used = {name: size for name, size in every.items() if f"`{name}`" in item.sql}
        schemas = {name: size.columns for name, size in used.items()}
        if (key := repr(sorted(schemas.items()))) not in analyzers:
            analyzers[key] = Analyzer(schemas)
        kinds = {param.name: kind_of(param) for param in item.params}
        values = {param.name: getattr(param, "value", None) for param in item.params}
        analysis = analyzers[key].analyze(item.sql, kinds)
        bills.append(bill(item.sql, analysis, used, values))
    return Total(bills, len({item.job for item in asked}))


def evenly(rows: int, first: dt.date, last: dt.date) -> dict[dt.date | None, int]:
    """Return rows spread evenly over the months from `first` to `last`."""
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    months = [dt.date(number // 12, number % 12 + 1, 1) for number in numbers]
    each, rest = divmod(rows, len(months))
    return {month: each + (index < rest) for index, month in enumerate(months)}
