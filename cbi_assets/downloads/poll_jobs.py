"""Watch the jobs that were submitted, to done or expired. Buys nothing and fetches nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from cbi_assets.databento_api.batch_jobs import get_job, list_job_states
from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.job_ledger import LIVE, JobRow, read_jobs
from cbi_assets.warehouse.base import Warehouse


def list_under_way(warehouse: Warehouse) -> list[JobRow]:
    """Jobs that the vendor has and whose files are not on the drive yet."""
    return [row for row in read_jobs(warehouse) if row.state in LIVE and row.job_id]


def look_at_jobs(rows: list[JobRow], clients: Clients, now: dt.datetime) -> list[JobRow]:
    """The rows as the vendor tells them now; those with news have a new `updated_at`.

    Raises ServiceError where the vendor does not answer.
    """
    if not rows:
        return []
    states = list_job_states(clients, min(row.intended_at for row in rows) - dt.timedelta(days=1))
    found = []
    for row in rows:
        assert row.job_id is not None
        state = states.get(row.job_id) or get_job(clients, row.job_id).state
        told = row.told
        if state == "expired":
            told = (
                f"job {row.job_id} of {row.root} {row.schema} expired at Databento before its "
                "files were fetched. It was paid for; to buy it again, plan and approve it anew."
            )
        changed = state != row.state
        found.append(replace(row, state=state, told=told, updated_at=now) if changed else row)
    return found
