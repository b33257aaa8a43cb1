"""A small publication: every kind of request once, and what came of it."""

from __future__ import annotations

from typing import Any

import polars as pl

from cbi_assets.errors import CbiError
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets_tests.bigquery.conftest import SPOTS, for_upload
from cbi_assets_tests.bigquery.proxy import (
    Proxy,
)

ROWS = [("a", 1), ("b", 2), ("c", 3)]


SCHEMA = {"name": pl.String, "count": pl.Int64}
FRAME = for_upload(pl.DataFrame(ROWS, schema=SCHEMA, orient="row"))


def publish(warehouse: Warehouse) -> None:
    """Make every kind of request once: tables, an upload, a query, a transaction."""
    warehouse.create_tables([SPOTS])
    staged = warehouse.stage_frame("spots", FRAME)
    chosen = warehouse.stage_query("chosen", f"SELECT * FROM `{staged}` WHERE count > @least",
                                   {"least": 0})  # fmt: skip
    columns = ", ".join(SPOTS.column_names)
    warehouse.transact(
        [Statement(f"INSERT INTO `{SPOTS.id}` ({columns}) SELECT {columns} FROM `{chosen}`")]
    )


def spots(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.query(f"SELECT name, count FROM `{SPOTS.id}` ORDER BY name, count").rows()


def job_ids(proxy: Proxy, pattern: str = "") -> list[str]:
    """Return the IDs of the jobs requested, in order, with repeats."""
    sent = [r.job_id for r in proxy.sent("POST", r"/jobs$")]
    return [job_id for job_id in sent if pattern in job_id]


def one_line(error: CbiError) -> str:
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    return text
