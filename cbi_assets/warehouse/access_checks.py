"""What `cbi config --check` finds: a line each for what is there and what is missing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cbi_assets.config.settings import Settings

Verdict = Literal["ok", "note", "missing"]

_ROOMY = 5 << 30
"""Free bytes below which a home is said to be short of room."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. What is `missing` has to be mended, and `text` says how;
    `unanswered` is missing because the service gave no answer, and may be well."""

    name: str
    verdict: Verdict
    text: str
    unanswered: bool = False


def check_access(settings: Settings) -> Iterator[Finding]:
    """Look at all that the settings lead to: home, drive, disk, and BigQuery where it is set."""
    yield from _check_machine(settings)
    if settings.cbi_warehouse == "bigquery":
        # the clients take a second to import
        from cbi_assets.warehouse.bigquery.bigquery_access import check_bigquery

        yield from check_bigquery(settings)


def _check_machine(settings: Settings) -> Iterator[Finding]:
    home = settings.home.root
    folder = _nearest(home)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Finding("home", "ok", f"{home} can be written")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("home", "missing", f"CBI_HOME: {home} cannot be written ({error.strerror}).")
    else:
        text = f"{free / 2**30:,.1f} GiB free under {folder}"
        short = f"{text}; landing a drive may take more"
        yield Finding("disk", "note", short) if free < _ROOMY else Finding("disk", "ok", text)
    drive = settings.cbi_drive
    if drive is None:
        yield Finding("drive", "note", "CBI_DRIVE is not set; `cbi load` and `inventory` need it.")
        return
    try:
        os.listdir(drive.expanduser())
        yield Finding("drive", "ok", f"{drive} can be read")
    except OSError as error:
        yield Finding(
            "drive",
            "missing",
            f"CBI_DRIVE: {drive} cannot be read ({error.strerror}). Mount it, or correct the path.",
        )


def _nearest(path: Path) -> Path:
    """The path itself, or the first of its parents that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
