"""Scan the drive for new files, verify them, and land their bars.

Each new file is read once; hashing, counting and landing share that pass. A file whose size,
modification time and sidecars match the catalog is skipped without being opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cbi_assets.config.settings import Home
from cbi_assets.drive.canonical import Rules
from cbi_assets.drive.catalog import Catalog, Content
from cbi_assets.drive.file_records import FileRecord, Stamp
from cbi_assets.drive.landing import remove_orphans
from cbi_assets.drive.manifests import absent_files, judge_manifest, unopened_manifests
from cbi_assets.drive.reader import Reader
from cbi_assets.drive.sidecars import is_sidecar
from cbi_assets.drive.walk import AreaPath, Entry, Unlisted, walk
from cbi_assets.errors import FileChangingError

COMMIT_BYTES = 512 << 20


class Progress(Protocol):
    """Receives the progress of reading a drive."""

    def start(self, files: int, nbytes: int) -> None:
        """Start reading this many new files and bytes."""

    def advance(self, path: str, nbytes: int) -> None:
        """Count one more file as read."""


class NullProgress:
    """Progress that is not shown."""

    def start(self, files: int, nbytes: int) -> None:
        """Do nothing."""

    def advance(self, path: str, nbytes: int) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Survey:
    """What is on the drive now. `read` counts the files that this survey opened.

    `changing` are files (path and why) that were being written while they were read; `contents`
    are the landed contents by source_file_id; `waiting` are new files that were not chosen;
    `lacking` are files without bytes to read: absent though a manifest lists them, or a manifest
    that is no file.
    """

    files: list[FileRecord]
    unlisted: list[Unlisted]
    changing: list[tuple[str, str]]
    contents: dict[str, Content]
    read: int
    waiting: list[Entry] = field(default_factory=list)
    lacking: list[FileRecord] = field(default_factory=list)

    @property
    def refused(self) -> list[FileRecord]:
        """Files that may be of bars and do not load: damaged, unreadable, denied or absent."""
        return [file for file in (*self.files, *self.lacking) if file.trust == "refused"]

    @property
    def skipped(self) -> list[Unlisted]:
        """Links to folders and special files, which were not read."""
        return [item for item in self.unlisted if item.is_skipped]

    @property
    def unreadable(self) -> list[Unlisted]:
        """Folders and files that the system cannot list."""
        return [item for item in self.unlisted if item.is_error]


def survey(
    drive: Path | None,
    staging: Path | None,
    home: Home,
    catalog: Catalog,
    rules: Rules,
    progress: Progress | None = None,
    choose: Callable[[Entry], bool] | None = None,
) -> Survey:
    """Update the catalog and the landing zone from the drive.

    A file that does not load is recorded with the reason and stops no other.

    Parameters
    ----------
    drive, staging : Path, optional
        The folders to scan; the drive is required.
    home : Home
        Where landed bars are written. Acquire its lock first.
    catalog : Catalog
        What earlier surveys read.
    rules : Rules
        The datasets that load, and the roots' calendars.
    progress : Progress, optional
        Called back as files are read.
    choose : Callable, optional
        If given, only the new files for which it returns True are read.

    Raises
    ------
    UsageError
        If no drive is set, or its folder does not exist.
    """
    progress = progress or NullProgress()
    remove_orphans(home, catalog)
    _forget_contents_of_earlier_rules(catalog, rules)
    known = catalog.files()
    entries: list[Entry] = []
    unlisted: list[Unlisted] = []
    for found in walk(drive, staging):
        if isinstance(found, Entry):
            entries.append(found)
        else:
            unlisted.append(found)
    unopened = unopened_manifests(entries, unlisted)
    unlisted = [item for item in unlisted if not any(item.path == m.path for m in unopened)]
    damage = {(manifest.area, manifest.folder): manifest.damage for manifest in unopened}
    stamps = _stamps(entries, damage)
    overruled = _overruled(known.values(), rules.accepted)
    new: list[Entry] = []
    waiting: list[Entry] = []
    for entry in entries:
        if not _is_known(known, entry, stamps[entry.area, entry.path], overruled):
            (new if choose is None or choose(entry) else waiting).append(entry)
    catalog.forget_paths(_gone(known, stamps.keys(), new))
    changing: list[tuple[str, str]] = []
    if new:
        progress.start(len(new), sum(entry.size for entry in new))
        reader = Reader(home, catalog, rules, entries, damage)
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
    files = list(catalog.files().values())
    present = {(entry.area, entry.path) for entry in entries}
    present |= {(item.area, item.path) for item in unlisted}
    lacking = [
        judge_manifest(
            FileRecord(manifest.area, manifest.path, None, 0, "sidecar"),
            manifest.damage,
            is_job=any(file.folder == (manifest.folder or ".") for file in files),
            accepted=rules.accepted,
        )
        for manifest in unopened
    ]
    lacking += absent_files(files, present)
    return Survey(files, unlisted, changing, catalog.contents(), len(new), waiting, lacking)


def _stamps(entries: Iterable[Entry], damage: Mapping[AreaPath, str]) -> dict[AreaPath, Stamp]:
    """Return by file what it is compared by: its size and time, and those of its sidecars.

    `damage` is that of manifests that are no files, by the job's folder.
    """
    sidecars: dict[AreaPath, list[str]] = defaultdict(list)
    for folder, why in damage.items():
        sidecars[folder].append(why)
    for entry in entries:
        if is_sidecar(entry.name):
            own = f"{entry.name}:{entry.size}:{entry.mtime_ns}"
            sidecars[entry.area, entry.folder].append(own)
    stamps: dict[AreaPath, Stamp] = {}
    for entry in entries:
        of_folder = sidecars.get((entry.area, entry.folder), ())
        stamps[entry.area, entry.path] = Stamp(entry.size, entry.mtime_ns, "|".join(of_folder))
    return stamps


def _is_known(
    known: Mapping[AreaPath, FileRecord],
    entry: Entry,
    stamp: Stamp,
    overruled: Collection[AreaPath],
) -> bool:
    record = known.get((entry.area, entry.path))
    is_same = record is not None and record.stamp == stamp
    return is_same and (entry.area, entry.path) not in overruled


def _overruled(files: Iterable[FileRecord], accepted: Collection[str]) -> set[AreaPath]:
    """Return the files, or the zips of the files, whose refusal a person has since overruled."""
    return {
        (file.area, file.path.partition("!/")[0])
        for file in files
        if file.fault == "manifest" and file.acceptance_key in accepted
    }


def _gone(
    known: Iterable[AreaPath], present: Collection[AreaPath], new: Iterable[Entry]
) -> list[AreaPath]:
    """Return the paths that vanished, and the members of each zip that vanished or changed."""
    changed = {(entry.area, entry.path) for entry in new}
    gone = []
    for area, path in known:
        container = (area, path.partition("!/")[0])
        if container not in present or ("!/" in path and container in changed):
            gone.append((area, path))
    return gone


def _forget_contents_of_earlier_rules(catalog: Catalog, rules: Rules) -> None:
    """Remove contents landed under other rules of trade dates and contracts than their root's now.

    Their files are read again, which gives their bars new trade dates and contracts.
    """
    stale = {
        piece.file_no
        for piece in catalog.slices()
        if piece.root and piece.calendar != rules.landed_as(piece.root)
    }
    if stale:
        catalog.forget_contents(stale)
