"""Survey the drive: tell what is new from content, verify it, and land its bars.

Reading a file to count its bars and reading it to land them is one reading. A file whose size,
time and sidecars stand as the catalog knows them is not opened at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cbi_assets.config.settings import Home
from cbi_assets.drive.catalog import Catalog, Content, FileRecord
from cbi_assets.drive.landing import sweep
from cbi_assets.drive.reader import Reader, Rules
from cbi_assets.drive.sidecars import SIDECARS
from cbi_assets.drive.walk import Entry, Unlisted, walk
from cbi_assets.errors import FileChangingError

COMMIT_BYTES = 512 << 20


class Progress(Protocol):
    """What a long reading reports to."""

    def start(self, files: int, nbytes: int) -> None:
        """So many new files and bytes are to be read."""

    def advance(self, path: str, nbytes: int) -> None:
        """A file was read."""


class NullProgress:
    """Progress that is not shown."""

    def start(self, files: int, nbytes: int) -> None:
        """Do nothing."""

    def advance(self, path: str, nbytes: int) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Survey:
    """What lies on the drive now. `read` counts the files whose content this survey opened."""

    files: list[FileRecord]
    unlisted: list[Unlisted]
    changing: list[tuple[str, str]]
    contents: dict[str, Content]
    read: int


def survey(
    drive: Path | None,
    staging: Path | None,
    home: Home,
    catalog: Catalog,
    rules: Rules,
    progress: Progress | None = None,
    choose: Callable[[Entry], bool] | None = None,
) -> Survey:
    """Bring the catalog and the landing zone up to date with the drive.

    Raises UsageError when the drive is not set or not there. A file that cannot be used is a
    record with the reason; it stops no other. With `choose`, only those new files are read.
    """
    progress = progress or NullProgress()
    sweep(home, catalog)
    _relabel(catalog, rules)
    known = catalog.files()
    entries: list[Entry] = []
    unlisted: list[Unlisted] = []
    for found in walk(drive, staging):
        (entries if isinstance(found, Entry) else unlisted).append(found)  # type: ignore[arg-type]
    stamps = _stamps(entries)
    present: set[tuple[str, str]] = {(entry.area, entry.path) for entry in entries}
    new = [e for e in entries if not _is_known(known, e, stamps[e.area, e.path])]
    if choose is not None:
        new = [entry for entry in new if choose(entry)]
    catalog.forget_paths(_gone(known, present, new))
    changing: list[tuple[str, str]] = []
    if new:
        progress.start(len(new), sum(entry.size for entry in new))
        reader = Reader(home, catalog, rules, entries)
        try:
            since_commit = 0
            for entry in new:
                try:
                    reader.read(entry, stamps[entry.area, entry.path])
                except FileChangingError as error:
                    changing.append((entry.path, str(error)))
                progress.advance(entry.path, entry.size)
                since_commit += entry.size
                if since_commit >= COMMIT_BYTES:
                    reader.commit()
                    since_commit = 0
            reader.commit()
        finally:
            reader.close()
    return Survey(list(catalog.files().values()), unlisted, changing, catalog.contents(), len(new))


def _stamps(entries: list[Entry]) -> dict[tuple[str, str], str]:
    """Size and time of each file and of the sidecars that bear on it."""
    beside: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.name in SIDECARS:
            own = f"{entry.name}:{entry.size}:{entry.mtime_ns}"
            beside.setdefault((entry.area, entry.folder), []).append(own)
    stamps: dict[tuple[str, str], str] = {}
    for entry in entries:
        sidecars = (
            "" if entry.name in SIDECARS else "|".join(beside.get((entry.area, entry.folder), []))
        )
        stamps[entry.area, entry.path] = f"{entry.size}:{entry.mtime_ns}|{sidecars}"
    return stamps


def _is_known(known: Mapping[tuple[str, str], FileRecord], entry: Entry, stamp: str) -> bool:
    record = known.get((entry.area, entry.path))
    return record is not None and record.stamp == stamp


def _gone(
    known: Mapping[tuple[str, str], FileRecord],
    present: set[tuple[str, str]],
    new: list[Entry],
) -> list[tuple[str, str]]:
    """Paths to forget: vanished ones, and the members of a vanished or changed zip."""
    changed = {(entry.area, entry.path) for entry in new}
    gone = []
    for area, path in known:
        container = (area, path.partition("!/")[0])
        if container not in present or ("!/" in path and container in changed):
            gone.append((area, path))
    return gone


def _relabel(catalog: Catalog, rules: Rules) -> None:
    """Land again what was landed under another sector calendar than its root has now."""
    stale = {
        piece.file_no
        for piece in catalog.slices()
        if piece.root and piece.calendar != (rules.calendars.get(piece.root) or "")
    }
    if stale:
        catalog.forget_contents(stale)
