"""Judge manifests: damaged ones, those that are no files, and listed files that are absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from cbi_assets.drive.file_records import FileRecord, SidecarDetails
from cbi_assets.drive.sidecars import (
    MANIFEST,
    accept_remedy,
    is_manifest,
    job_of,
    manifest_folders,
)
from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.drive.walk import Area, AreaPath, Entry, Unlisted


@dataclass(frozen=True)
class UnopenedManifest:
    """A manifest that is not a file: a folder, or a link to nothing."""

    area: Area
    path: str
    damage: str

    @property
    def folder(self) -> str:
        """The job's folder, empty at the root."""
        return self.path.rpartition("/")[0]


def unopened_manifests(
    entries: Iterable[Entry], unlisted: Iterable[Unlisted]
) -> list[UnopenedManifest]:
    """Return the manifests of the drive that are no file, by path."""
    found: dict[str, UnopenedManifest] = {}
    folders = [entry.path for entry in entries if entry.area == "drive"]
    for item in unlisted:
        if item.area != "drive":
            continue
        folders.append(f"{item.path}/")
        if (item.is_error or item.is_skipped) and is_manifest(item.path.rpartition("/")[2]):
            found[item.path] = UnopenedManifest(item.area, item.path, item.reason.rstrip("."))
    for path, damage in manifest_folders(folders).items():
        found.setdefault(path, UnopenedManifest("drive", path, damage))
    return [found[path] for path in sorted(found)]


def judge_manifest(
    record: FileRecord, damage: str, is_job: bool, accepted: Collection[str]
) -> FileRecord:
    """Return the record of a manifest: refused if it is a job's and damaged, unless accepted."""
    if not damage:
        return replace(record, verified=True)
    if not is_job:
        return replace(record, reason=f"not a manifest of Databento's ({damage})")
    if record.acceptance_key in accepted:
        return replace(record, reason=f"damaged ({damage}), and accepted by a person")
    details = record.details
    of_sidecars = details.job_id if isinstance(details, SidecarDetails) else None
    job = of_sidecars or job_of(record.path) or record.folder
    reason = f"damaged ({damage}). {accept_remedy(job)}"
    return replace(record, verdict="refused", fault="manifest", reason=reason)


def absent_files(
    files: Iterable[FileRecord], present: Collection[AreaPath] = ()
) -> list[FileRecord]:
    """Return, as refused, each file that a manifest lists and that is not among the files."""
    every = list(files)
    known = {(file.area, file.path) for file in every}.union(present)
    absent: list[FileRecord] = []
    for manifest in every:
        if manifest.name != MANIFEST or not isinstance(manifest.details, SidecarDetails):
            continue
        for name in manifest.details.lists:
            path = f"{manifest.path.removesuffix(MANIFEST)}{name}"
            if (manifest.area, path) not in known:
                reason = f"manifest.json lists it, but it is not there. {DOWNLOAD_AGAIN}"
                absent.append(
                    FileRecord(manifest.area, path, None, 0, "refused", reason, fault="absent")
                )
    return absent
