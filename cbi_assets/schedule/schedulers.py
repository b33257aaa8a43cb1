"""Install, show and remove a home's unattended runs."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.files import write_atomically
from cbi_assets.schedule.cron import Cron
from cbi_assets.schedule.job import KINDS, Job, Kind, Scheduler, settings_to_write
from cbi_assets.schedule.launchd import Launchd
from cbi_assets.schedule.systemd import Systemd

SCHEDULERS: Final[dict[str, Callable[[], Scheduler]]] = {
    "launchd": Launchd,
    "systemd": Systemd,
    "cron": Cron,
}

_SYSTEMD_RUNS = Path("/run/systemd/system")
"""Exists if systemd started the machine."""


def choose_scheduler(name: str | None) -> Scheduler:
    """Return the named scheduler, or the machine's. Raises UsageError if it has none."""
    if name is not None:
        return SCHEDULERS[name]()
    if sys.platform == "darwin":
        return Launchd()
    if _SYSTEMD_RUNS.exists() and shutil.which(Systemd.tool):
        return Systemd()
    if shutil.which(Cron.tool):
        return Cron()
    raise UsageError(
        "this machine has neither systemd nor cron",
        remedy="Install cron, or see one of their recipes: `cbi schedule show --with cron`.",
    )


def job_of(settings: Settings, kind: Kind, at: dt.time) -> Job:
    """Return the job of a home, run in the current folder."""
    needed, _ = settings_to_write(settings)
    return Job(settings.home, kind, at, Path.cwd(), needed)


def install(scheduler: Scheduler, job: Job) -> None:
    """Write the job's script and enter it in the scheduler; it replaces another kind of run."""
    write_atomically(job.script, job.text)
    job.script.chmod(0o700)
    scheduler.install(job)
    for kind in KINDS:
        if kind != job.kind:
            _remove(scheduler, replace(job, kind=kind))


def remove(scheduler: Scheduler, job: Job) -> list[str]:
    """Remove the home's jobs of any kind and their scripts, and return their names."""
    jobs = [replace(job, kind=kind) for kind in KINDS]
    return [job.name for job in jobs if _remove(scheduler, job)]


def _remove(scheduler: Scheduler, job: Job) -> bool:
    was_installed = scheduler.remove(job)
    job.script.unlink(missing_ok=True)
    return was_installed
