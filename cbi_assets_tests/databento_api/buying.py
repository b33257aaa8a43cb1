"""Plans, approvals and downloads, as a customer of the tests' vendor makes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cbi_assets.databento_api.client import Clients, connect
from cbi_assets.demo.encoder import mappings
from cbi_assets.downloads.approvals import Approval, approve, list_approvals
from cbi_assets.downloads.download_outcome import DownloadOutcome
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.job_ledger import JobRow, read_jobs
from cbi_assets.downloads.plan_model import Plan, Request
from cbi_assets.session import Project, open_session
from cbi_assets_tests.databento_api.bars import BAR_BYTES
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import IDS, bars, dbn_file, load_once, open_warehouse, put_job

NOW = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
"""The clock of these tests, and the vendor's."""

SIX = ("ZL", "ZS", "ZM", "ES", "CL", "GC")

USD = 114 * BAR_BYTES / 2**30 * 100_000
"""ZL's 114 hourly bars at the vendor's price: six trade dates of 19 hours."""


def request(root: str = "ZL", timeframe: str = "1h", **change: Any) -> Request:
    """Request one root's bars from 2025-01-27 to before 2025-02-04: two files, one per month."""
    fields: dict[str, Any] = {
        "root": root,
        "dataset": "GLBX.MDP3",
        "schema": f"ohlcv-{timeframe}",
        "symbols": (f"{root}.v.0",),
        "stype_in": "continuous",
        "start": dt.date(2025, 1, 27),
        "end": dt.date(2025, 2, 4),
        "why": "nothing of it is published",
        "records": 100,
        "bytes": 5_600,
        "cost_usd": 0.5,
        "basis": "quoted",
    }
    return Request(**(fields | change))


def make_plan(*requests: Request) -> Plan:
    """Make a plan of these requests."""
    return Plan(made_at=NOW, through=dt.date(2025, 2, 3), requests=requests or (request(),))


def approve_as_ada(
    project: Project,
    plan: Plan,
    max_usd: float = 100.0,
    now: dt.datetime = NOW,
    expires: dt.date | None = None,
) -> Approval:
    """Record an approval."""
    with open_session(project, now=now) as session:
        return approve(session, plan, by="Ada", max_usd=max_usd, expires=expires)


def publish_tuesday(project: Project, drive: Path) -> None:
    """Publish ZL's hours of Tuesday 2025-03-25: on 1 April, four trade dates are missing."""
    mapped = mappings({"ZL.v.0": [(IDS["ZL.v.0"], dt.date(2025, 3, 1), dt.date(2025, 4, 1))]})
    records = bars(19, start=dt.datetime(2025, 3, 25, tzinfo=dt.UTC))
    files = {"a.dbn.zst": dbn_file(records, mapped=mapped)}
    put_job(drive, files, job="GLBX-20250327-AAAAAAAAAA", mapped=mapped)
    load_once(project, now=NOW)


def rows(project: Project) -> list[JobRow]:
    """Return ops.download_jobs."""
    with open_warehouse(project) as warehouse:
        return read_jobs(warehouse)


class Pauses(list[float]):
    """Records the requested pauses, and returns at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def clients_of(vendor: Vendor, timeout: float = 5.0, pauses: Pauses | None = None) -> Clients:
    """Return clients for the tests' vendor, with a timeout in seconds."""
    clients = connect(SecretStr(vendor.key), vendor.url, Pauses() if pauses is None else pauses)
    for api in (clients.batch, clients.metadata, clients.symbology):
        vars(api)["TIMEOUT"] = timeout
    return clients


def buy(
    project: Project, plan: Plan, vendor: Vendor, clients: Clients | None = None, **options: Any
) -> DownloadOutcome:
    """Run `cbi download` without its terminal."""
    clock: Callable[[], dt.datetime] = options.pop("clock", lambda: NOW)
    return execute(project, plan, clients or clients_of(vendor), clock=clock, **options)


def folders(drive: Path) -> list[str]:
    """Return every folder with files on the drive, hidden ones included."""
    files = (path for path in drive.rglob("*") if path.is_file())
    found = {path.parent.relative_to(drive).as_posix() for path in files}
    return sorted(found)


def submitted(vendor: Vendor) -> int:
    """Return how many submissions the vendor received."""
    return len(vendor.requests_to("batch.submit_job"))


def states(project: Project) -> list[tuple[str, str]]:
    """Return root and state of every row of ops.download_jobs, roots in descending order."""
    return sorted(((row.root, row.state) for row in rows(project)), reverse=True)


def approval_states(project: Project) -> list[str]:
    """Return the state of every approval."""
    with open_session(project, now=NOW) as session:
        return [status.state for status in list_approvals(session)]
