"""List the files in a zip, each with the sidecars of its folder in the zip."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from cbi_assets.drive.sidecars import Sidecars, manifest_folders, read_sidecars
from cbi_assets.drive.streams import DOWNLOAD_ZIP_AGAIN, read_member
from cbi_assets.drive.walk import is_passed_over
from cbi_assets.errors import SourceError


@dataclass(frozen=True)
class Member:
    """One file in a zip. `path` is its name there, `name` the same without the folder."""

    info: zipfile.ZipInfo
    path: str
    name: str
    sidecars: Sidecars

    @property
    def is_outside(self) -> bool:
        """Whether its path leads out of the zip, which no honest zip's does."""
        return ".." in self.path.split("/") or self.path.startswith("/")


def paths_in(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files in a zip by path. Raises SourceError if a path occurs twice.

    Windows' own zip writer separates folders by backslashes, which no file of Databento's has.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        path = _path(info)
        if path.endswith("/"):
            continue
        if path in found:
            raise SourceError(f"{path!r} is in the zip twice", remedy=DOWNLOAD_ZIP_AGAIN)
        found[path] = info
    return found


def _path(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")


def list_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """Yield a zip's files by folder and name, except hidden ones and those in system folders."""
    by_folder: dict[str, dict[str, zipfile.ZipInfo]] = defaultdict(dict)
    for path, info in paths_in(archive).items():
        name = path.rpartition("/")[2]
        by_folder[path.removesuffix(name)][name] = info
    manifests = manifest_folders(map(_path, archive.infolist()))
    damage = {path.removesuffix(path.rpartition("/")[2]): why for path, why in manifests.items()}
    for prefix, infos in sorted(by_folder.items()):
        sidecars = read_sidecars(infos, partial(_read, archive, infos), damage.get(prefix, ""))
        for name, info in sorted(infos.items()):
            if not name.startswith(".") and not any(map(is_passed_over, prefix.split("/"))):
                yield Member(info, prefix + name, name, sidecars)


def _read(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str) -> bytes:
    return read_member(archive, infos[name])
