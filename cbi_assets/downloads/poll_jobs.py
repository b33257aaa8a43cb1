"""Poll submitted jobs until they are done or expired. Buys and downloads nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from cbi_assets.databento_api.batch_jobs import get_job, list_job_states
from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.job_ledger import JobRow, read_jobs
from cbi_assets.warehouse.base import Warehouse


def read_active_jobs(warehouse: Warehouse) -> list[JobRow]:
    """Return the jobs that Databento accepted and whose files are not on the drive yet."""
    return [row for row in read_jobs(warehouse) if row.is_active and row.job_id]


def poll_jobs(rows: list[JobRow], clients: Clients, now: dt.datetime) -> list[JobRow]:
    """Return the rows with their jobs' current states; a changed one has `updated_at` = `now`.

    Raises ServiceError if Databento does not respond.
    """
    if not rows:
        return []
    states = list_job_states(clients, min(row.intended_at for row in rows) - dt.timedelta(days=1))
    polled = []
    for row in rows:
        assert row.job_id is not None
        state = states.get(row.job_id) or get_job(clients, row.job_id).state
        if state != row.state:
            reason = row.expired_message if state == "expired" else row.told
            row = replace(row, state=state, told=reason, updated_at=now)
        polled.append(row)
    return polled
