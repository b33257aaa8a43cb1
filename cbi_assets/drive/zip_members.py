"""List the files in a zip, each with the sidecars of its folder in the zip."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from cbi_assets.drive.sidecars import Sidecars, manifest_folders, read_sidecars
from cbi_assets.drive.streams import read_member
from cbi_assets.drive.walk import is_passed_over


@dataclass(frozen=True)
class Member:
    """One file in a zip. `name` is its name without the folder."""

    info: zipfile.ZipInfo
    name: str
    sidecars: Sidecars

    @property
    def is_outside(self) -> bool:
        """Whether its path leads out of the zip, which no honest zip's does."""
        path = self.info.filename
        return ".." in path.split("/") or path.startswith("/")


def list_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """Yield a zip's files by folder and name, except hidden ones and those in system folders."""
    by_folder: dict[str, list[zipfile.ZipInfo]] = defaultdict(list)
    for info in archive.infolist():
        if not info.is_dir():
            by_folder[info.filename.rpartition("/")[0]].append(info)
    manifests = manifest_folders(info.filename for info in archive.infolist())
    damage = {path.rpartition("/")[0]: why for path, why in manifests.items()}
    for folder, infos in sorted(by_folder.items()):
        prefix = f"{folder}/" if folder else ""
        names = [info.filename.removeprefix(prefix) for info in infos]
        sidecars = read_sidecars(names, partial(_read, archive, prefix), damage.get(folder, ""))
        for name, info in sorted(zip(names, infos, strict=True), key=lambda pair: pair[0]):
            if not name.startswith(".") and not any(map(is_passed_over, folder.split("/"))):
                yield Member(info, name, sidecars)


def _read(archive: zipfile.ZipFile, prefix: str, name: str) -> bytes:
    return read_member(archive, prefix + name)
