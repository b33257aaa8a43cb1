"""A warehouse on the emulator by way of a proxy, for what whole projects are too slow to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.tables import Column, TableSpec
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
from cbi_assets.warehouse.bigquery.connection import Options, connect
from cbi_assets.warehouse.bigquery.inline_frames import MOST_ROWS
from cbi_assets_tests.bigquery.proxy import Proxy, Request, run_proxy

SPOTS = TableSpec(
    dataset="ops",
    name="spots",
    description="a small table",
    columns=(Column("name", "STRING", "name"), Column("count", "INT64", "count")),
    key=("name",),
)

FRAME = pl.DataFrame({"name": ["a", "b"], "count": [1, 2]})

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


@pytest.fixture
def settings(
    proxy: Proxy, warehouse: dict[str, Any], tmp_path: Path, drive: Path
) -> dict[str, Any]:
    """The settings that lead through the proxy to an empty project."""
    own = {"cbi_home": tmp_path / "home", "cbi_drive": drive, "cbi_bq_patience": 2.0}
    return proxy.settings(warehouse) | own


def for_upload(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with rows of count 0: one of few rows is a parameter, and not uploaded."""
    more = {"name": [""] * MOST_ROWS, "count": [0] * MOST_ROWS}
    return pl.concat([frame, pl.DataFrame(more)])


def work(warehouse: Warehouse) -> None:
    """Every kind of job once."""
    warehouse.create_tables([SPOTS])
    staged = warehouse.stage_frame("spots", for_upload(FRAME))
    chosen = warehouse.stage_query("chosen", f"SELECT * FROM `{staged}` WHERE count > 0")
    warehouse.transact(
        [
            Statement(f"INSERT INTO `{SPOTS.id}` (name, count) SELECT name, count FROM `{chosen}`"),
            Assertion(
                f"SELECT name FROM `{SPOTS.id}` WHERE count > @most", {"most": 5}, message="{0}"
            ),
        ]
    )
    assert warehouse.query(f"SELECT name FROM `{SPOTS.id}`").height == FRAME.height


def is_dry(request: Request) -> bool:
    return isinstance(request.body, dict) and bool(
        request.body.get("configuration", {}).get("dryRun") or request.body.get("dryRun")
    )


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)
