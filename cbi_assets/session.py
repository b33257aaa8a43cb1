"""A project as the user configured it, and a session: one command's exclusive use of its home."""

from __future__ import annotations

import datetime as dt
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from filelock import FileLock, Timeout

from cbi_assets.config.features import Features, load_features
from cbi_assets.config.home_errors import translated_home_errors
from cbi_assets.config.macro import Macro, load_macro
from cbi_assets.config.regimes import Regimes, load_regimes
from cbi_assets.config.settings import Home, Settings, WarehouseName, load_settings
from cbi_assets.config.sources import Sources, load_sources
from cbi_assets.config.training import Training, load_training
from cbi_assets.config.universe import Universe, load_universe
from cbi_assets.drive.canonical import Rules
from cbi_assets.drive.catalog import Catalog
from cbi_assets.drive.survey import NullProgress, Progress
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.read_ahead import ReadAhead
from cbi_assets.warehouse.read_copy import updated_read_copy

if TYPE_CHECKING:
    from cbi_assets.warehouse.bigquery.connection import Options

WAIT_SECONDS = 600.0

_held: list[Home] = []
"""The homes whose lock this process has."""

FIRST_TIME = dt.datetime(2010, 6, 6, tzinfo=dt.UTC)
"""The first day of Databento's data: a clock before it is wrong."""

NEWEST_LOAD = Statement("SELECT MAX(loaded_at) AS loaded_at FROM `ops.loads`")
"""What `Session.require_clock` asks."""

CLOCK_TOLERANCE = dt.timedelta(minutes=5)
"""How much a clock may be set back between two runs."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """Settings and configuration files, read but not opened.

    `bigquery` overrides the connection that the settings describe.
    """

    settings: Settings = field(default_factory=load_settings)
    universe: Universe = field(default_factory=load_universe)
    sources: Sources = field(default_factory=load_sources)
    regimes: Regimes = field(default_factory=load_regimes)
    macro: Macro = field(default_factory=load_macro)
    features: Features = field(default_factory=load_features)
    training: Training = field(default_factory=lambda: load_training())
    bigquery: Options | None = None

    @property
    def home(self) -> Home:
        """The paths of this project's state."""
        return self.settings.home

    @property
    def datasets(self) -> dict[str, str]:
        """The dataset of each root: the demo's in its home."""
        datasets = {name: root.dataset for name, root in self.universe.roots.items()}
        if self.home.is_demo:
            return dict.fromkeys(datasets, self.sources.databento.demo_dataset)
        return datasets

    @property
    def rules(self) -> Rules:
        """What this home accepts from a drive."""
        return Rules(
            tuple(sorted(set(self.datasets.values()))),
            self.universe.calendars(),
            self.universe.ticks(),
            datasets_of=self.datasets,
            months_after=self.universe.months_after(),
        )

    @contextmanager
    def open_warehouse(
        self,
        name: WarehouseName | None = None,
        create_tables: bool = True,
        *,
        wait: float = 0.0,
        for_readers: bool = True,
    ) -> Iterator[Warehouse]:
        """Open a warehouse (default: the one the settings name) and create its missing tables.

        Acquire the home's lock first, as `open_session` does, which also explains `wait` and
        `for_readers`. Raises UsageError if the settings do not lead to a warehouse.
        """
        if (name or self.settings.cbi_warehouse) == "duckdb":
            with (
                updated_read_copy(self.home) if for_readers else nullcontext(),
                DuckDBWarehouse(self.home.warehouse, self.home.scratch, wait) as embedded,
            ):
                if create_tables:
                    embedded.create_tables((*ALL_TABLES, *ALL_VIEWS))
                yield embedded
            return
        if self.home.is_demo:
            raise UsageError(
                f"{self.home.root} is a demo's home, and synthetic bars enter no real warehouse",
                subject="CBI_WAREHOUSE=bigquery",
                remedy="Choose another CBI_HOME, or unset CBI_WAREHOUSE.",
            )
        # Importing the clients takes a second; the embedded warehouse should not pay for it.
        from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
        from cbi_assets.warehouse.bigquery.connection import Options, connect

        with (
            connect(self.bigquery or Options.of(self.settings)) as connection,
            BigQueryWarehouse(connection, self.home.identify(), self.home.scratch) as remote,
        ):
            if create_tables:
                remote.create_tables((*ALL_TABLES, *ALL_VIEWS))
            yield remote


class Session:
    """One command's exclusive use of a home: its lock, its clock, its warehouse and its catalog.

    Warehouse and catalog are opened at first use, once, and closed with the session. `wait` is what
    is left of the seconds to wait for other processes.
    """

    def __init__(
        self,
        project: Project,
        now: dt.datetime,
        progress: Progress,
        resources: ExitStack,
        opening: AbstractContextManager[Warehouse],
        wait: float,
    ) -> None:
        self.project = project
        self.now = now
        self.progress = progress
        self._resources = resources
        self._opening = opening
        self.wait = wait
        self._has_clock = False

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse that the settings name, with its tables created."""
        return cast(Warehouse, self._reader)

    @cached_property
    def _reader(self) -> ReadAhead:
        return ReadAhead(self._resources.enter_context(self._opening))

    def reading_ahead(self, queries: Iterable[Statement]) -> AbstractContextManager[None]:
        """Ask these queries in one statement when the first of them is asked.

        What was read is kept until a transaction names its tables, at most to the end of the
        context.
        """
        return self._reader.expecting(queries)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of what was read from the drive."""
        catalog = Catalog(self.home.catalog)
        self._resources.callback(catalog.close)
        return catalog

    def require_clock(self) -> None:
        """Raise UsageError if the clock is behind the newest load, which dates what is newest."""
        if self.home.is_demo or self._has_clock:  # a demo's clock is fixed
            return
        newest: dt.datetime | None = self.warehouse.query(NEWEST_LOAD.sql).item()
        if newest is not None and newest > self.now + CLOCK_TOLERANCE:
            raise UsageError(
                f"{_shown(self.now)}, but the newest load is of {_shown(newest)}",
                subject="the clock",
                remedy="Set this machine's clock. If it is right, remove that load with "
                f"`cbi unload`: its id starts with L{newest:%Y%m%dT%H%M%S}.",
            )
        self._has_clock = True

    @property
    def home(self) -> Home:
        """The paths of the project's state."""
        return self.project.home

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.project.settings

    @property
    def universe(self) -> Universe:
        """The project's roots."""
        return self.project.universe


@contextmanager
def open_session(
    project: Project,
    *,
    now: dt.datetime,
    wait: float = WAIT_SECONDS,
    progress: Progress | None = None,
    create_tables: bool = True,
    for_readers: bool = True,
) -> Iterator[Session]:
    """Acquire the home's lock and yield a session on it.

    Parameters
    ----------
    project : Project
        What to open.
    now : datetime
        The clock, UTC: the time that everything in this session is dated with.
    wait : float
        Seconds to wait for another process in this home, or with its DuckDB warehouse open.
    progress : Progress, optional
        Where reading the drive reports to.
    create_tables : bool
        False if this process has created the missing tables before; spares a request per table.
    for_readers : bool
        Whether to update the readers' copy of a DuckDB warehouse at the end. A command of many
        sessions does it in the last one.

    Raises
    ------
    HomeBusyError
        If another process still has the lock, or the warehouse open, after `wait` seconds.
    HomeError
        If the home's disk is full or read-only, or one of its files is damaged.
    UsageError
        If the clock is before the first day of Databento's data.
    """
    if now < FIRST_TIME:
        raise UsageError(
            f"{_shown(now)} is before the first bar of Databento",
            subject="the clock",
            remedy="Set this machine's clock.",
        )
    with (
        translated_home_errors(project.home),
        exclusive_lock(project.home, wait) as left,
        ExitStack() as resources,
    ):
        opening = project.open_warehouse(
            create_tables=create_tables, wait=left, for_readers=for_readers
        )
        yield Session(project, now, progress or NullProgress(), resources, opening, left)


@contextmanager
def exclusive_lock(home: Home, wait: float = WAIT_SECONDS) -> Iterator[float]:
    """Hold the home's lock, so that one process at a time lands files or opens the warehouse.

    Yields the seconds that are left of `wait`.
    """
    home.create()
    deadline = time.monotonic() + wait
    lock = FileLock(home.lock)
    holder = _holder_of(home)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _read_holder(holder)
        if wait > 0:
            logger.info("%s: %s is running; waiting up to %.0f s for it.", home.root, who, wait)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise HomeBusyError(
                f"{who} is still running after {wait:.0f} s",
                subject=str(home.root),
                remedy="Let it finish, then retry.",
            ) from None
    _held.append(home)
    try:
        holder.write_text(f"process {os.getpid()}")
        _delete_temporary_files(home)  # of a process that was killed
        yield max(0.0, deadline - time.monotonic())
    finally:
        holder.unlink(missing_ok=True)
        _held.remove(home)
        lock.release()


def release_homes() -> None:
    """Delete what this process would leave in its homes if it ended now; their locks end with it.

    Only for a process that ends right after this, maybe while other threads still write.
    """
    for home in _held:
        _delete_temporary_files(home)
        for part in home.root.glob(f".*.{os.getpid()}.part"):
            part.unlink(missing_ok=True)
        _holder_of(home).unlink(missing_ok=True)


def _delete_temporary_files(home: Home) -> None:
    for path in home.scratch.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    pending = home.root.glob(f".{home.pending.name}.*.part")
    for part in (*pending, *home.landing.glob("*/.*.part")):
        part.unlink(missing_ok=True)


def _holder_of(home: Home) -> Path:
    """Return the file that says which process has the home's lock."""
    return home.lock.with_suffix(".holder")


def _read_holder(holder: Path) -> str:
    try:
        return holder.read_text(errors="replace").strip() or "another process"
    except OSError:  # it has just ended
        return "another process"


def _shown(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
