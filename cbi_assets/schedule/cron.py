"""cron: two lines of the user's crontab, a comment that marks the one after it as ours."""

from __future__ import annotations

import shlex

from cbi_assets.errors import ServiceError
from cbi_assets.schedule.job import Job, run_tool

_PLACE = "crontab"


class Cron:
    """The user's crontab."""

    name = "cron"
    tool = "crontab"

    def entries(self, job: Job) -> dict[str, str]:
        """Return the lines."""
        # cron takes a percent sign for the end of the command, in quotes too.
        command = f"/bin/sh {shlex.quote(str(job.script))}".replace("%", "\\%")
        when = "@reboot" if job.kind == "ui" else f"{job.at.minute} {job.at.hour} * * 1-5"
        return {_PLACE: f"{_mark(job)}\n{when} {command}\n"}

    def install(self, job: Job) -> None:
        """Append the lines, or replace those of an earlier install."""
        if not self._is_current(job):
            others = _without(job, _read_crontab())
            end = "\n" if others and not others.endswith("\n") else ""
            _write_crontab(others + end + self.entries(job)[_PLACE])

    def remove(self, job: Job) -> bool:
        """Remove the lines."""
        before = _read_crontab()
        after = _without(job, before)
        if after != before:
            _write_crontab(after)
        return after != before

    def hint(self, job: Job) -> str:
        """Return that cron starts nothing before the next boot, if that is when it starts."""
        return f"It starts with the machine; start it now: {job.script}" if job.kind == "ui" else ""

    def _is_current(self, job: Job) -> bool:
        return self.entries(job)[_PLACE] in _read_crontab()


def _mark(job: Job) -> str:
    return f"# {job.name}: made by `cbi schedule install`, with the next line"


def _without(job: Job, crontab: str) -> str:
    lines = crontab.split("\n")
    if _mark(job) in lines:
        at = lines.index(_mark(job))
        del lines[at : at + 2]
    return "\n".join(lines)


def _read_crontab() -> str:
    """Return the user's crontab. Raises ServiceError if it cannot be read: it must not be lost."""
    try:
        return run_tool("crontab", "-l") or ""
    except ServiceError as error:
        if "no crontab for" in error.problem:  # cron has no other sign for it
            return ""
        raise


def _write_crontab(text: str) -> None:
    run_tool("crontab", "-", given=text)
