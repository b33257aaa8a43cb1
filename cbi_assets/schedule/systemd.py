"""systemd: a service of the user, and for nightly runs the timer that starts it."""

from __future__ import annotations

import os
from pathlib import Path

from cbi_assets.files import write_atomically
from cbi_assets.schedule.job import Job, run_tool

_SERVICE = """\
# Made by `cbi schedule install`, which overwrites it.
[Unit]
Description={title} ({home})

[Service]
Type={type}
ExecStart=/bin/sh "{script}"
"""
_KEPT_RUNNING = """\
Restart=on-failure
RestartSec=30
TimeoutStopSec=90

[Install]
WantedBy=default.target
"""
_TIMER = """\
# Made by `cbi schedule install`, which overwrites it.
[Unit]
Description={title} ({home})

[Timer]
OnCalendar=Mon..Fri {at:%H:%M}
Persistent=true

[Install]
WantedBy=timers.target
"""


class Systemd:
    """The user's instance of systemd."""

    name = "systemd"
    tool = "systemctl"

    def entries(self, job: Job) -> dict[str, str]:
        """Return the unit files by their paths."""
        names = {"title": job.title, "home": str(job.home.root).replace("%", "%%"), "at": job.at}
        is_ui = job.kind == "ui"
        service = _SERVICE.format(
            **names, type="exec" if is_ui else "oneshot", script=_escaped(str(job.script))
        )
        if is_ui:
            return {str(_folder() / f"{job.name}.service"): service + _KEPT_RUNNING}
        return {
            str(_folder() / f"{job.name}.service"): service,
            str(_folder() / f"{job.name}.timer"): _TIMER.format(**names),
        }

    def install(self, job: Job) -> None:
        """Write the unit files, and enable and start the job."""
        has_changed = not self._is_current(job)
        for path, text in self.entries(job).items():
            write_atomically(Path(path), text)
        run_tool("systemctl", "--user", "daemon-reload")
        run_tool("systemctl", "--user", "enable", "--now", _started(job))
        if has_changed:  # a unit that runs keeps its old settings
            run_tool("systemctl", "--user", "restart", _started(job))

    def remove(self, job: Job) -> bool:
        """Stop and disable the job, and delete its unit files."""
        files = [Path(path) for path in self.entries(job) if Path(path).exists()]
        if not files:
            return False
        run_tool("systemctl", "--user", "disable", "--now", _started(job))
        for file in files:
            file.unlink()
        run_tool("systemctl", "--user", "daemon-reload")
        return True

    def hint(self, job: Job) -> str:
        """Return how it runs without a login."""
        return "Run `loginctl enable-linger` once, so that it also runs while you are logged out."

    def _is_current(self, job: Job) -> bool:
        return all(_read(Path(path)) == text for path, text in self.entries(job).items())


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _started(job: Job) -> str:
    return f"{job.name}.{'service' if job.kind == 'ui' else 'timer'}"


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _escaped(text: str) -> str:
    """Return text for a double-quoted word of a unit file: no specifier, no variable."""
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(special, written)
    return text
