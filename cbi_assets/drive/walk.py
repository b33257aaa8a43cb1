"""List the files of the drive and of staging by name, size and time; open none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cbi_assets.errors import FileChangingError, UsageError

Area = Literal["drive", "staging"]

AreaPath = tuple[Area, str]
"""A path relative to its area's root, and the area."""


@dataclass(frozen=True)
class Entry:
    """One file as its directory listed it. `path` is relative to the root of its area."""

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

    def check_unchanged(self) -> None:
        """Raise FileChangingError if the size or time is no longer as listed."""
        try:
            stat = os.stat(self.file)
            unchanged = (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)
        except OSError:
            unchanged = False
        if not unchanged:
            raise FileChangingError(
                "changed while it was read, perhaps still being copied",
                remedy="The next run reads it again.",
            )


@dataclass(frozen=True)
class Unlisted:
    """A path without an Entry: an empty folder, or (`is_error`) one that the system cannot read."""

    area: Area
    path: str
    reason: str
    is_error: bool = False


def walk(drive: Path | None, staging: Path | None) -> Iterator[Entry | Unlisted]:
    """Yield every file of the drive, then of staging, in path order, except dot files.

    Raises
    ------
    UsageError
        If no drive is set, or its folder does not exist (not mounted).
    """
    if drive is None:
        raise UsageError(
            "CBI_DRIVE is not set", remedy="Set it to the external drive's root, e.g. in .env."
        )
    if not drive.is_dir():
        raise UsageError(
            "no such folder", subject=f"CBI_DRIVE={drive}", remedy="Is the drive mounted?"
        )
    yield from _walk("drive", drive, drive, skip=staging)
    if staging is not None and staging.is_dir():
        yield from _walk("staging", staging, staging, skip=None)


def _walk(area: Area, root: Path, folder: Path, skip: Path | None) -> Iterator[Entry | Unlisted]:
    relative = _relative(folder, root)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be listed: {error.strerror}. Fix its permissions."
        yield Unlisted(area, relative, reason, is_error=True)
        return
    is_empty = True
    for entry in entries:
        if entry.name.startswith("."):
            continue
        is_empty = False
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if skip is None or path != skip:
                yield from _walk(area, root, path, skip)
            continue
        try:
            stat = entry.stat()
        except OSError as error:
            reason = f"cannot be read: {error.strerror}."
            yield Unlisted(area, _relative(path, root), reason, is_error=True)
            continue
        if os.path.isdir(entry.path):
            continue  # following a link to a folder could loop forever
        yield Entry(area, _relative(path, root), path, stat.st_size, stat.st_mtime_ns)
    if is_empty:
        yield Unlisted(area, relative, "empty folder")


def _relative(path: Path, root: Path) -> str:
    """The path under `root`, as text; bytes that are not UTF-8 (another system's) are escaped."""
    relative = path.relative_to(root).as_posix()
    return os.fsencode(relative).decode("utf-8", errors="backslashreplace")
