"""What runs unattended: a script in the home that enters the project's folder and runs `cbi`."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource

from cbi_assets.config.settings import Home, Settings
from cbi_assets.errors import ServiceError, UsageError

Kind = Literal["nightly", "ui"]
KINDS: Final[tuple[Kind, ...]] = ("nightly", "ui")

TIMEOUT_SECONDS = 60.0

_TITLES: Final[dict[Kind, str]] = {
    "nightly": "Load, build, check and send alerts",
    "ui": "Dagster's page and daemon on loopback",
}
_HEAD = """\
#!/bin/sh
# Made by `cbi schedule install`, which overwrites it.
exec >>{log} 2>&1
cd {folder} || exit 2
{settings}
"""
_BODIES: Final[dict[Kind, str]] = {
    # Each verb runs even if the one before it failed; the worst status is the run's.
    "nightly": """\
date
worst=0
for verb in load build check alert; do
  {cbi} "$verb"
  status=$?
  if [ "$status" -gt "$worst" ]; then worst=$status; fi
done
exit "$worst"
""",
    "ui": "exec {cbi} ui\n",
}


@dataclass(frozen=True)
class Job:
    """One kind of unattended run of one home.

    `folder` is where `.env` is; `settings` are those that are not in it; `at` is in the machine's
    time zone.
    """

    home: Home
    kind: Kind
    at: dt.time
    folder: Path
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of its entry in a scheduler, another one in each home."""
        return f"cbi-{self.kind}-{hashlib.sha256(os.fsencode(self.home.root)).hexdigest()[:8]}"

    @property
    def title(self) -> str:
        """What it does."""
        return _TITLES[self.kind]

    @property
    def script(self) -> Path:
        """The script that the scheduler starts."""
        return self.home.root / "schedule" / f"{self.kind}.sh"

    @property
    def log(self) -> Path:
        """Where the output of every run is appended."""
        return self.script.with_suffix(".log")

    @property
    def text(self) -> str:
        """The script's text."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.settings.items()]
        head = _HEAD.format(
            log=shlex.quote(str(self.log)),
            folder=shlex.quote(str(self.folder)),
            settings="\n".join(exports),
        )
        cbi = f"{shlex.quote(sys.executable)} -m cbi_assets.cli"
        return head + _BODIES[self.kind].format(cbi=cbi)


class Scheduler(Protocol):
    """What starts jobs on a machine."""

    name: str
    tool: str

    def entries(self, job: Job) -> dict[str, str]:
        """Return each text that `install` writes, by the file or the place it is written to."""

    def install(self, job: Job) -> None:
        """Enter the job, or replace its entry."""

    def remove(self, job: Job) -> bool:
        """Remove the job's entry, and return whether there was one."""

    def hint(self, job: Job) -> str:
        """Return what a person has to do once, else ""."""


def settings_to_write(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Return the settings that the script needs, paths absolute, and the secrets that it lacks.

    These are the home, and what is set in the environment and not in `.env`. Secrets are never
    written; those that are set in the environment alone are returned by name.
    """
    in_file = {name.upper() for name in DotEnvSettingsSource(Settings)()}
    given = {name.upper() for name in os.environ} - in_file
    needed, secrets = {}, []
    for name, value in settings.environment().items():
        if name != "CBI_HOME" and name not in given:
            continue
        if isinstance(getattr(settings, name.lower()), SecretStr):
            secrets.append(name)
        else:
            needed[name] = value
    return needed, secrets


def run_tool(*command: str, given: str | None = None, may_fail: bool = False) -> str | None:
    """Run a scheduler's command and return what it prints; None if it may fail and did.

    Raises UsageError if it is not installed, and ServiceError if it fails.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(
            "not found on PATH",
            subject=command[0],
            remedy="Choose another scheduler: `cbi schedule --with launchd|systemd|cron`.",
        )
    shown = shlex.join(command)
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"did not respond within {TIMEOUT_SECONDS:.0f} s", subject=shown, remedy="Retry."
        ) from None
    if done.returncode == 0:
        return done.stdout
    if may_fail:
        return None
    said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
    raise ServiceError(
        f"failed with status {done.returncode} ({said})",
        subject=shown,
        remedy="Correct that, then retry.",
    )
