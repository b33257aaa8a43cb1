"""A project as the user set it up: settings, universe, sources, regimes and series, and what opens
from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cbi_assets.config.macro import Macro, load_macro
from cbi_assets.config.regimes import Regimes, load_regimes
from cbi_assets.config.settings import Home, Settings, WarehouseName, load_settings
from cbi_assets.config.sources import Sources, load_sources
from cbi_assets.config.universe import Universe, load_universe
from cbi_assets.drive.catalog import Catalog
from cbi_assets.drive.reader import Rules
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

if TYPE_CHECKING:
    from cbi_assets.warehouse.bigquery.connection import Options

WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Project:
    """Settings with the universe, the sources, the regimes and the series they are used with.

    `bigquery` says how to connect where something else than the settings does.
    """

    settings: Settings = field(default_factory=load_settings)
    universe: Universe = field(default_factory=load_universe)
    sources: Sources = field(default_factory=load_sources)
    regimes: Regimes = field(default_factory=load_regimes)
    macro: Macro = field(default_factory=load_macro)
    bigquery: Options | None = None

    @property
    def home(self) -> Home:
        """Where this project's state lies."""
        return self.settings.home

    @property
    def rules(self) -> Rules:
        """What this home takes from a drive."""
        return Rules(self.sources.datasets(self.home.is_demo), self.universe.calendars())

    @contextmanager
    def hold(
        self,
        wait: float = WAIT_SECONDS,
        told: Callable[[str], None] = lambda message: None,
    ) -> Iterator[None]:
        """Hold the home's lock, so that one process at a time lands or opens the warehouse.

        Waits up to `wait` seconds for the one that holds it, after saying so through `told`.
        Raises HomeBusyError when it does not let go.
        """
        self.home.create()
        lock = FileLock(self.home.lock)
        holder = self.home.lock.with_suffix(".holder")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text().strip() if holder.exists() else "another process"
            if wait > 0:
                told(f"{self.home.root}: {who} is at work here; waiting up to {wait:.0f} s for it.")
            try:
                lock.acquire(timeout=wait)
            except Timeout:
                raise HomeBusyError(
                    f"{self.home.root}: {who} is still at work here after {wait:.0f} s. "
                    "Let it finish, then run this again."
                ) from None
        try:
            holder.write_text(f"process {os.getpid()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def open_catalog(self) -> Iterator[Catalog]:
        """The catalog of what was read from the drive. Hold the home first."""
        catalog = Catalog(self.home.catalog)
        try:
            yield catalog
        finally:
            catalog.close()

    @contextmanager
    def open_warehouse(self) -> Iterator[Warehouse]:
        """The warehouse that the settings name, with its tables there. Hold the home first.

        Raises UsageError for settings that do not lead to one.
        """
        with self.open_named(self.settings.cbi_warehouse) as warehouse:
            yield warehouse

    @contextmanager
    def open_named(self, name: WarehouseName) -> Iterator[Warehouse]:
        """One of the two warehouses of this project, with its tables there."""
        if name == "duckdb":
            with DuckDBWarehouse(self.home.warehouse, self.home.scratch) as embedded:
                embedded.create_tables(ALL_TABLES)
                yield embedded
            return
        if self.home.is_demo:
            raise UsageError(
                f"CBI_WAREHOUSE=bigquery: {self.home.root} is a demo's home, and synthetic bars "
                "enter no real warehouse. Choose another CBI_HOME, or unset CBI_WAREHOUSE."
            )
        # the clients take a second to import, which the embedded warehouse does not owe them
        from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
        from cbi_assets.warehouse.bigquery.connection import Options, connect

        with (
            connect(self.bigquery or Options.of(self.settings)) as connection,
            BigQueryWarehouse(connection, self.home.identify(), self.home.scratch) as remote,
        ):
            remote.create_tables(ALL_TABLES)
            yield remote
