"""The vendor's jobs as ops.download_jobs has them: a row a request of an approved plan.

A row is entered before its request is submitted, so that a process killed in between leaves a
note: whoever comes next looks for the job at the vendor before anything is bought.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

import polars as pl

from cbi_assets.errors import AuditError
from cbi_assets.tables import DOWNLOAD_JOBS
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse

RowState = Literal[
    "submitting", "submitted", "queued", "processing", "done", "expired", "downloaded", "failed"
]
LIVE: Final = ("submitted", "queued", "processing", "done")
"""States of a job that the vendor has and whose files are not on the drive yet."""


class AlreadyBoughtError(AuditError):
    """Another process submitted the same request meanwhile."""


@dataclass(frozen=True)
class JobRow:
    """One row of ops.download_jobs."""

    approval_id: str
    request_id: str
    plan_hash: str
    root: str
    schema: str
    job_id: str | None
    state: RowState
    quoted_usd: float | None
    billed_usd: float | None
    folder: str | None
    files: int | None
    bytes: int | None
    told: str | None
    intended_at: dt.datetime
    submitted_at: dt.datetime | None
    updated_at: dt.datetime

    @property
    def spent_usd(self) -> float:
        """What it counts against the ceiling: the vendor's bill or our quote, the larger one."""
        if self.state == "failed":
            return 0.0
        return max(self.billed_usd or 0.0, self.quoted_usd or 0.0)


def read_jobs(warehouse: Warehouse) -> list[JobRow]:
    """Every row, the earliest intent first."""
    names = ", ".join(field.name for field in fields(JobRow))
    rows = warehouse.query(
        f"SELECT {names} FROM `{DOWNLOAD_JOBS.id}` ORDER BY intended_at, request_id"
    )
    return [JobRow(**row) for row in rows.iter_rows(named=True)]


def intend(warehouse: Warehouse, row: JobRow) -> None:
    """Enter that a request is about to be submitted. Raises AlreadyBoughtError, and enters
    nothing, where a job for it is under way on any approval."""
    under_way = Assertion(
        f"SELECT approval_id, state FROM `{DOWNLOAD_JOBS.id}` "
        "WHERE request_id = @request_id AND state IN UNNEST(@states)",
        {"request_id": row.request_id, "states": ["submitting", *LIVE]},
        message=f"request {row.request_id}: another process has it under way on approval {{0}} "
        "({1}). Nothing was bought; run this again to follow it.",
        error=AlreadyBoughtError,
    )
    _replace(warehouse, [row], [under_way])


def write(warehouse: Warehouse, rows: Collection[JobRow]) -> None:
    """Enter rows in place of what was known of their requests."""
    if rows:
        _replace(warehouse, rows, [])


def _replace(warehouse: Warehouse, rows: Iterable[JobRow], first: list[Statement]) -> None:
    frame = pl.DataFrame([asdict(row) for row in rows], schema=DOWNLOAD_JOBS.polars_schema)
    staged = warehouse.stage_frame("job_rows", frame)
    names = ", ".join(DOWNLOAD_JOBS.column_names)
    warehouse.transact(
        [
            *first,
            Statement(
                f"DELETE FROM `{DOWNLOAD_JOBS.id}` AS jobs WHERE EXISTS (SELECT 1 FROM `{staged}` "
                "AS staged WHERE staged.approval_id = jobs.approval_id "
                "AND staged.request_id = jobs.request_id)"
            ),
            Statement(f"INSERT INTO `{DOWNLOAD_JOBS.id}` ({names}) SELECT {names} FROM `{staged}`"),
        ]
    )
