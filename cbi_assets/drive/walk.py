"""Walk the drive and staging: names, sizes and times only; no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cbi_assets.errors import UsageError

Area = Literal["drive", "staging"]


@dataclass(frozen=True)
class Entry:
    """One file as the directory shows it. `path` is relative to its area's root."""

    area: Area
    path: str
    file: Path
    size: int
    mtime_ns: int

    @property
    def folder(self) -> str:
        """The folder of `path`, empty at the root."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Unlisted:
    """A folder that holds no file, or that the system will not list."""

    area: Area
    path: str
    reason: str


def walk(drive: Path | None, staging: Path | None) -> Iterator[Entry | Unlisted]:
    """Every file of the drive, then of staging, in path order; dot files are passed over.

    Raises UsageError when no drive is set or the drive is not there (not mounted).
    """
    if drive is None:
        raise UsageError("CBI_DRIVE is not set: name the external drive's root, e.g. in .env.")
    if not drive.is_dir():
        raise UsageError(f"CBI_DRIVE={drive}: no such folder. Is the drive mounted?")
    yield from _walk("drive", drive, drive, skip=staging)
    if staging is not None and staging.is_dir():
        yield from _walk("staging", staging, staging, skip=None)


def _walk(area: Area, root: Path, folder: Path, skip: Path | None) -> Iterator[Entry | Unlisted]:
    shown = _shown(folder, root)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Unlisted(area, shown, f"cannot be listed: {error.strerror}. Mend its permissions.")
        return
    seen = False
    for entry in entries:
        if entry.name.startswith("."):
            continue
        seen = True
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if skip is None or path != skip:
                yield from _walk(area, root, path, skip)
            continue
        try:
            stat = entry.stat()
        except OSError as error:
            yield Unlisted(area, _shown(path, root), f"cannot be read: {error.strerror}.")
            continue
        if os.path.isdir(entry.path):
            continue  # a link to a folder could lead in circles
        yield Entry(area, _shown(path, root), path, stat.st_size, stat.st_mtime_ns)
    if not seen:
        yield Unlisted(area, shown, "empty folder")


def _shown(path: Path, root: Path) -> str:
    """The path under `root`; bytes that are no text, as a foreign file system may have, escaped."""
    relative = path.relative_to(root).as_posix()
    return os.fsencode(relative).decode("utf-8", errors="backslashreplace")
