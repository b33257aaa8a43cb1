"""Check what the settings point at: home, disk, drive, and BigQuery where it is configured."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cbi_assets.config.home_errors import failed_call
from cbi_assets.config.settings import Settings
from cbi_assets.warehouse.findings import Finding

_ENOUGH_SPACE = 5 << 30
"""Free bytes below which the disk check adds a note."""

_FULL = 32 << 20
"""Free bytes below which the disk counts as full: an empty home needs some."""


def check_access(settings: Settings) -> Iterator[Finding]:
    """Yield one finding per requirement of the settings, in the order checked."""
    yield from _check_home(settings.home.root)
    yield _check_drive(settings.cbi_drive)
    if settings.cbi_warehouse == "bigquery":
        # Importing the clients takes a second.
        from cbi_assets.warehouse.bigquery.bigquery_access import check_bigquery

        yield from check_bigquery(settings)


def _check_home(home: Path) -> Iterator[Finding]:
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(4096))
        yield Finding("home", "ok", f"{home} is writable")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding.of_error(
            "home", failed_call(error.errno or errno.EIO, home, "Choose another CBI_HOME.")
        )
        return
    text = f"{free / 2**30:,.1f} GiB free under {folder}"
    if free >= _ENOUGH_SPACE:
        yield Finding("disk", "ok", text)
    else:
        yield Finding(
            "disk",
            "note" if free >= _FULL else "missing",
            f"{text}; loading a drive may need more",
            "Free some space, or move CBI_HOME to a larger disk.",
        )


def _check_drive(drive: Path | None) -> Finding:
    if drive is None:
        return Finding(
            "drive",
            "note",
            "CBI_DRIVE is not set; `cbi load` and `cbi inventory` need it",
            "Set CBI_DRIVE to the drive's root, in the environment or in .env.",
        )
    try:
        os.listdir(drive.expanduser())
    except OSError as error:
        return Finding(
            "drive",
            "missing",
            f"CBI_DRIVE: {drive} is not readable ({error.strerror})",
            "Mount it, or correct the path.",
        )
    return Finding("drive", "ok", f"{drive} is readable")
