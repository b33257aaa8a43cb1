"""Plans, approvals and downloads of the tests: what a customer of the tests' vendor does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cbi_assets.databento_api.client import Clients, connect
from cbi_assets.downloads.approvals import Approval, approve, list_approvals
from cbi_assets.downloads.download_outcome import DownloadOutcome
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.job_ledger import JobRow, read_jobs
from cbi_assets.downloads.plan_model import Plan, Request
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.bars import BAR_BYTES
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import open_warehouse

NOW = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
"""The clock of these tests, and the vendor's."""

SIX = ("ZL", "ZS", "ZM", "ES", "CL", "GC")

USD = 114 * BAR_BYTES / 2**30 * 100_000
"""ZL's 114 hourly bars at the vendor's price: six trade dates of 19 hours."""


def request(root: str = "ZL", timeframe: str = "1h", **change: Any) -> Request:
    """One root's bars from 2025-01-27 to before 2025-02-04: two files, one a month."""
    asked: dict[str, Any] = {
        "root": root,
        "dataset": "GLBX.MDP3",
        "schema": f"ohlcv-{timeframe}",
        "symbols": (f"{root}.v.0",),
        "stype_in": "continuous",
        "start": dt.date(2025, 1, 27),
        "end": dt.date(2025, 2, 4),
        "why": "nothing of it is there",
        "records": 100,
        "bytes": 5_600,
        "cost_usd": 0.5,
        "basis": "quoted",
    }
    return Request(**(asked | change))


def make_plan(*requests: Request) -> Plan:
    """A plan of these requests."""
    return Plan(made_at=NOW, through=dt.date(2025, 2, 3), requests=requests or (request(),))


def allow(project: Project, plan: Plan, max_usd: float = 100.0, **options: Any) -> Approval:
    """A person's approval."""
    with open_warehouse(project) as warehouse:
        return approve(
            warehouse, plan, by="Ada", max_usd=max_usd, now=options.pop("now", NOW), **options
        )


def rows(project: Project) -> list[JobRow]:
    """ops.download_jobs."""
    with open_warehouse(project) as warehouse:
        return read_jobs(warehouse)


class Pauses(list[float]):
    """The pauses that were asked for; none is taken."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def clients_of(vendor: Vendor, timeout: float = 5.0, pauses: Pauses | None = None) -> Clients:
    """Clients for the tests' vendor, that wait for an answer no longer than `timeout`."""
    clients = connect(SecretStr(vendor.key), vendor.url, Pauses() if pauses is None else pauses)
    for api in (clients.batch, clients.metadata):
        vars(api)["TIMEOUT"] = timeout
    return clients


def buy(
    project: Project, plan: Plan, vendor: Vendor, clients: Clients | None = None, **options: Any
) -> DownloadOutcome:
    """`cbi download` without its terminal."""
    clock: Callable[[], dt.datetime] = options.pop("clock", lambda: NOW)
    return execute(project, plan, clients or clients_of(vendor), clock=clock, **options)


def folders(drive: Path) -> list[str]:
    """Every folder with files on the drive, the hidden ones too."""
    files = (path for path in drive.rglob("*") if path.is_file())
    found = {path.parent.relative_to(drive).as_posix() for path in files}
    return sorted(found)


def submitted(vendor: Vendor) -> int:
    return len(vendor.asked("batch.submit_job"))


def states(project: Project) -> list[tuple[str, str]]:
    """Of ops.download_jobs, by root from the last letter of the alphabet."""
    return sorted(((row.root, row.state) for row in rows(project)), reverse=True)


def uses(project: Project) -> list[str]:
    with open_warehouse(project) as warehouse:
        return [listed.state for listed in list_approvals(warehouse, NOW)]
