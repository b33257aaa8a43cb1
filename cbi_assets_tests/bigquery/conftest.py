"""A warehouse on the emulator by way of a proxy, for what whole projects are too slow to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.settings import Settings
from cbi_assets.warehouse.bigquery.connection import Options, connect
from cbi_assets.warehouse.bigquery.warehouse import BigQueryWarehouse
from cbi_assets.warehouse.tables import Column, TableSpec
from cbi_assets_tests.bigquery.proxy import Proxy, run_proxy

SPOTS = TableSpec(
    dataset="ops",
    name="spots",
    description="a small table",
    columns=(Column("name", "STRING", "name"), Column("count", "INT64", "count")),
    key=("name",),
)

OpenRemote = Callable[..., AbstractContextManager[BigQueryWarehouse]]


@pytest.fixture
def proxy(warehouse: dict[str, Any]) -> Iterator[Proxy]:
    """A proxy in front of the test's warehouse, which is empty."""
    with run_proxy(warehouse["cbi_bq_endpoint"]) as running:
        yield running


@pytest.fixture
def open_remote(proxy: Proxy, warehouse: dict[str, Any], tmp_path: Path) -> OpenRemote:
    """Open the warehouse by way of the proxy: `open_remote(cbi_bq_patience=2)`."""

    @contextmanager
    def open_one(**more: Any) -> Iterator[BigQueryWarehouse]:
        settings = Settings(_env_file=None, **proxy.settings(warehouse) | more)  # type: ignore[call-arg]
        with (
            connect(Options.of(settings)) as connection,
            BigQueryWarehouse(connection, "home", tmp_path / "scratch") as remote,
        ):
            yield remote

    return open_one
