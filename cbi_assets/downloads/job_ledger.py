"""ops.download_jobs: one row per request of an approved plan, with Databento's job for it.

A row is written before its request is submitted. If the process dies in between, the next run finds
the row and looks for the job at Databento before it buys anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Final, Literal

import polars as pl

from cbi_assets.errors import AuditError
from cbi_assets.tables import DOWNLOAD_JOBS
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse

RowState = Literal[
    "submitting", "submitted", "queued", "processing", "done", "expired", "downloaded", "failed"
]
ACTIVE_STATES: Final = ("submitted", "queued", "processing", "done")
"""States of a job that Databento accepted and whose files are not on the drive yet."""


class AlreadyBoughtError(AuditError):
    """Another process submitted the same request first."""


@dataclass(frozen=True)
class JobRow:
    """One row of ops.download_jobs. `told` is why it failed or expired."""

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
    def is_active(self) -> bool:
        """Whether Databento accepted the job and its files are not on the drive yet."""
        return self.state in ACTIVE_STATES

    @property
    def spent_usd(self) -> float:
        """What counts against the ceiling: the larger of Databento's bill and the quote."""
        if self.state == "failed":
            return 0.0
        return max(self.billed_usd or 0.0, self.quoted_usd or 0.0)

    @property
    def expired_message(self) -> str:
        """What to report if the job expired."""
        return (
            f"job {self.job_id} of {self.root} {self.schema} expired at Databento before its files "
            "were downloaded. It was paid for; to buy it again, plan and approve it again."
        )


def read_jobs(warehouse: Warehouse) -> list[JobRow]:
    """Return every row, the earliest intent first."""
    rows = warehouse.query(
        f"SELECT {_COLUMNS} FROM `{DOWNLOAD_JOBS.id}` ORDER BY intended_at, request_id"
    )
    return [JobRow(**row) for row in rows.iter_rows(named=True)]


def record_intent(warehouse: Warehouse, row: JobRow) -> None:
    """Record that a request is about to be submitted.

    Raises AlreadyBoughtError, and records nothing, if it has an active job on any approval.
    """
    active = Assertion(
        f"SELECT approval_id, state FROM `{DOWNLOAD_JOBS.id}` "
        "WHERE request_id = @request_id AND state IN UNNEST(@states)",
        {"request_id": row.request_id, "states": ["submitting", *ACTIVE_STATES]},
        message=f"request {row.request_id}: another process submitted it under approval {{0}} "
        "({1}). Nothing was bought; retry to follow it.",
        error=AlreadyBoughtError,
    )
    _replace(warehouse, [row], [active])


def write_jobs(warehouse: Warehouse, rows: Collection[JobRow]) -> None:
    """Replace the rows of the same approvals and requests."""
    if rows:
        _replace(warehouse, rows, [])


def _replace(warehouse: Warehouse, rows: Collection[JobRow], first: list[Statement]) -> None:
    frame = pl.DataFrame([asdict(row) for row in rows], schema=DOWNLOAD_JOBS.polars_schema)
    staged = warehouse.stage_frame("job_rows", frame)
    warehouse.transact(
        [
            *first,
            Statement(
                f"DELETE FROM `{DOWNLOAD_JOBS.id}` AS jobs WHERE EXISTS (SELECT 1 FROM `{staged}` "
                "AS staged WHERE staged.approval_id = jobs.approval_id "
                "AND staged.request_id = jobs.request_id)"
            ),
            Statement(
                f"INSERT INTO `{DOWNLOAD_JOBS.id}` ({_COLUMNS}) SELECT {_COLUMNS} FROM `{staged}`"
            ),
        ]
    )


_COLUMNS: Final = ", ".join(DOWNLOAD_JOBS.column_names)
