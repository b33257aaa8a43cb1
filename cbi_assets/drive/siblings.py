"""What a file's siblings say about it: the sidecars of its folder, and DBN headers next to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from cbi_assets.drive.dbn_header import dbn_metadata
from cbi_assets.drive.faults import source_errors
from cbi_assets.drive.mappings import mappings_of_metadata
from cbi_assets.drive.pieces import read_dbn_header
from cbi_assets.drive.sidecars import Sidecars, read_sidecars
from cbi_assets.drive.streams import decompress, open_regular, read_sidecar
from cbi_assets.drive.walk import AreaPath, Entry
from cbi_assets.errors import SourceError


class Siblings:
    """The sidecars and symbol mappings of each folder, read at first use.

    `damage` says by folder why its manifest is not a file that can be opened.
    """

    def __init__(self, entries: Iterable[Entry], damage: Mapping[AreaPath, str]) -> None:
        self._damage = damage
        self._entries: dict[AreaPath, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._entries[entry.area, entry.folder].append(entry)
        self._sidecars: dict[AreaPath, Sidecars] = {}
        self._mappings: dict[AreaPath, pl.DataFrame | None] = {}

    def sidecars(self, entry: Entry) -> Sidecars:
        """Return what the sidecars in the file's folder say."""
        key = (entry.area, entry.folder)
        if key not in self._sidecars:
            folder = entry.file.parent
            names = [sibling.name for sibling in self._entries[key]]
            self._sidecars[key] = read_sidecars(
                names, lambda name: read_sidecar(folder / name), self._damage.get(key, "")
            )
        return self._sidecars[key]

    def mappings(self, entry: Entry) -> pl.DataFrame | None:
        """Return the symbol mappings in the headers of the folder's DBN files, None without any."""
        key = (entry.area, entry.folder)
        if key not in self._mappings:
            self._mappings[key] = _dbn_mappings(sibling.file for sibling in self._entries[key])
        return self._mappings[key]


def _dbn_mappings(files: Iterable[Path]) -> pl.DataFrame | None:
    found: list[pl.DataFrame] = []
    for file in files:
        if ".dbn" in file.name:
            try:
                with source_errors():
                    found.append(_header_mappings(file))
            except SourceError:
                continue  # The file is refused, with the reason, when it is read itself.
    return pl.concat(found).unique() if found else None


def _header_mappings(file: Path) -> pl.DataFrame:
    with open_regular(file) as raw:
        chunks = iter(lambda: raw.read(1 << 16), b"")
        if file.name.endswith(".zst"):
            chunks = decompress(chunks)
        return mappings_of_metadata(dbn_metadata(read_dbn_header(chunks)).mappings)
