"""launchd (macOS): an agent of the user."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path
from typing import Any

from cbi_assets.files import write_atomically
from cbi_assets.schedule.job import Job, run_tool


class Launchd:
    """The user's launchd."""

    name = "launchd"
    tool = "launchctl"

    def entries(self, job: Job) -> dict[str, str]:
        """Return the agent's property list by its path."""
        agent: dict[str, Any] = {
            "Label": _label(job),
            "ProgramArguments": ["/bin/sh", str(job.script)],
            # what the shell says if it cannot read the script; the script opens its log itself
            "StandardErrorPath": str(job.log),
            "StandardOutPath": str(job.log),
        }
        if job.kind == "ui":
            agent |= {"RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}, "ExitTimeOut": 90}
        else:
            at = {"Hour": job.at.hour, "Minute": job.at.minute}
            agent["StartCalendarInterval"] = [{"Weekday": day, **at} for day in range(1, 6)]
        return {str(_path(job)): plistlib.dumps(agent, sort_keys=False).decode()}

    def install(self, job: Job) -> None:
        """Write the property list and load it, unless it is loaded as it is."""
        if self._is_current(job) and _is_loaded(job):
            return
        (text,) = self.entries(job).values()
        write_atomically(_path(job), text)
        _unload(job)
        run_tool("launchctl", "bootstrap", _domain(), str(_path(job)))

    def remove(self, job: Job) -> bool:
        """Unload the agent and delete its property list."""
        if not _path(job).exists():
            return False
        _unload(job)
        _path(job).unlink()
        return True

    def hint(self, job: Job) -> str:
        """Return what macOS asks of a program that reads another volume."""
        return "If the drive is an external volume, give /bin/sh Full Disk Access in the settings."

    def _is_current(self, job: Job) -> bool:
        (text,) = self.entries(job).values()
        return _path(job).exists() and _path(job).read_text() == text


def _label(job: Job) -> str:
    return f"local.{job.name}"


def _path(job: Job) -> Path:
    return Path.home() / "Library" / "LaunchAgents" / f"{_label(job)}.plist"


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _is_loaded(job: Job) -> bool:
    service = f"{_domain()}/{_label(job)}"
    return run_tool("launchctl", "print", service, may_fail=True) is not None


def _unload(job: Job) -> None:
    if _is_loaded(job):
        run_tool("launchctl", "bootout", f"{_domain()}/{_label(job)}")
