"""List the files of the drive and of staging by name, size and time; open none of them."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cbi_assets.drive.lookalikes import placeholder_of
from cbi_assets.errors import FileChangingError, UsageError

Area = Literal["drive", "staging"]

MAX_DEPTH: Final = 64
"""Folders nested deeper than this are named, not read; a job is about five folders deep."""

_SYSTEM_FOLDER = re.compile(
    r"\$.+|recycle[rd]|recycle[ .]?bin|trash(es)?(-\d+)?|network trash folder|temporary items"
    r"|lost\+found|lost\.dir|found\.\d{3,}|recup_dir\.\d+|__macosx|system volume information"
    r"|backups\.backupdb|\d{4}-\d\d-\d\d-\d{6}\.(backup|previous|interrupted|inprogress)"
    r"|[@#](recycle|snapshot|recently-snapshot|eadir|tmp|sharebin)|~snapshot",
    re.IGNORECASE,
)
"""Where Windows, macOS, Linux, Android, NAS systems, Time Machine and PhotoRec keep such files."""

_SPECIAL_FILES: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)

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
            now = os.stat(self.file)
            unchanged = (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)
        except OSError:
            unchanged = False
        if not unchanged:
            raise FileChangingError(
                "changed while it was read, perhaps still being copied",
                remedy="The next run reads it again.",
            )


@dataclass(frozen=True)
class Unlisted:
    """A path without an Entry.

    An empty or a system folder, one that could not be read (`is_error`), or one that was passed
    over although it may lead to bars (`is_skipped`): a link to a folder, a named pipe, a device.
    """

    area: Area
    path: str
    reason: str
    is_error: bool = False
    is_skipped: bool = False


def is_passed_over(folder: str) -> bool:
    """Whether a folder of this name is hidden, or one in which a system keeps deleted files."""
    hidden = folder.startswith(".") and folder not in (".", "..")
    return hidden or _SYSTEM_FOLDER.fullmatch(folder) is not None


TOP_FOLDER: Final = "TrainingData"
"""The folder of a drive that has its files; a path to it or below it is not the drive's root."""


def walk(drive: Path | None, staging: Path | None) -> Iterator[Entry | Unlisted]:
    """Yield every regular file of the drive, then of staging, in path order, except dot files.

    A link to a file yields the file; a link to a folder is not followed, since it could loop.

    Raises
    ------
    UsageError
        If no drive is set, its folder does not exist (not mounted), or it is a folder of a drive.
    """
    if drive is None:
        raise UsageError(
            "CBI_DRIVE is not set", remedy="Set it to the external drive's root, e.g. in .env."
        )
    if not drive.is_dir():
        raise UsageError(
            "no such folder", subject=f"CBI_DRIVE={drive}", remedy="Is the drive mounted?"
        )
    if TOP_FOLDER in drive.parts and not (drive / TOP_FOLDER).exists():
        root = Path(*drive.parts[: drive.parts.index(TOP_FOLDER)])
        raise UsageError(
            f"is a folder of the drive {root}, and paths start at the drive's root",
            subject=f"CBI_DRIVE={drive}",
            remedy=f"Set CBI_DRIVE={root}.",
        )
    yield from _walk("drive", drive, drive, skip=staging)
    if staging is not None and staging.is_dir():
        yield from _walk("staging", staging, staging, skip=None)


def _walk(
    area: Area, root: Path, folder: Path, skip: Path | None, depth: int = 0
) -> Iterator[Entry | Unlisted]:
    relative = _relative(folder, root)
    if depth > MAX_DEPTH:
        reason = f"more than {MAX_DEPTH} folders deep: not read. Move its files up."
        yield Unlisted(area, relative, reason, is_error=True)
        return
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be listed: {error.strerror}. Fix its permissions."
        yield Unlisted(area, relative, reason, is_error=True)
        return
    is_empty = True
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            if name := placeholder_of(entry.name):
                is_empty = False
                reason = f"{name} is in iCloud, and only a placeholder is here. Download it."
                yield Unlisted(area, _relative(path, root), reason, is_error=True)
            elif entry.is_dir(follow_symlinks=False):
                yield Unlisted(area, _relative(path, root), "hidden folder, not read")
            continue
        is_empty = False
        if not entry.is_dir(follow_symlinks=False):
            yield _examine(area, root, entry)
        elif is_passed_over(entry.name):
            yield Unlisted(area, _relative(path, root), "system folder, not read")
        elif skip is None or path != skip:
            yield from _walk(area, root, path, skip, depth + 1)
    if is_empty:
        yield Unlisted(area, relative, "empty folder")


def _examine(area: Area, root: Path, entry: os.DirEntry[str]) -> Entry | Unlisted:
    """Return the Entry of a regular file or of a link to one; never open it."""
    path = Path(entry.path)
    relative = _relative(path, root)
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            reason = "a link that leads back to itself: not read."
            return Unlisted(area, relative, reason, is_skipped=True)
        return Unlisted(area, relative, f"cannot be read: {error.strerror}.", is_error=True)
    if stat.S_ISREG(status.st_mode):
        return Entry(area, relative, path, status.st_size, status.st_mtime_ns)
    if stat.S_ISDIR(status.st_mode):
        reason = f"a link to the folder {_shown(path)}: not followed."
        if not path.resolve().is_relative_to(root.resolve()):
            reason += " Copy the folder here to load its files."
        return Unlisted(area, relative, reason, is_skipped=True)
    kind = next((name for test, name in _SPECIAL_FILES if test(status.st_mode)), "a special file")
    return Unlisted(area, relative, f"{kind}, not a regular file: not read.", is_skipped=True)


def _shown(link: Path) -> str:
    return os.fsencode(os.readlink(link)).decode("utf-8", errors="backslashreplace")


def _relative(path: Path, root: Path) -> str:
    """The path under `root`, as text; bytes that are not UTF-8 (another system's) are escaped."""
    # A tick of the sensor does this for each file: Path.relative_to takes 40 times as long.
    relative = str(path)[len(str(root)) :].lstrip("/") or "."
    return os.fsencode(relative).decode("utf-8", errors="backslashreplace")
