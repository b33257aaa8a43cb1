"""Read new files one after another: verify each, land its bars, or say why it is none."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets.config.settings import Home
from cbi_assets.drive.canonical import FileContext
from cbi_assets.drive.catalog import Catalog, Content, FileRecord
from cbi_assets.drive.formats import Bars, NotBars, dataset_of_publisher, sniff_source
from cbi_assets.drive.landing import Lander
from cbi_assets.drive.pieces import BLOCK_BYTES, Part, pieces_of, sibling_mappings, sniff_parquet
from cbi_assets.drive.sidecars import SIDECARS, Sidecars, job_of, read_sidecars
from cbi_assets.drive.streams import SourceStream, open_file, open_member, read_member
from cbi_assets.drive.walk import Entry
from cbi_assets.errors import FileChangingError, SourceError, UnreadableError
from cbi_assets.market.sessions import Calendar


@dataclass(frozen=True)
class Rules:
    """What a home takes: the datasets that may load, and the sector calendar of each root."""

    datasets: tuple[str, ...]
    calendars: Mapping[str, Calendar]


class Reader:
    """Reads new files one after another into a lander and the catalog."""

    def __init__(self, home: Home, catalog: Catalog, rules: Rules, entries: list[Entry]) -> None:
        self._home = home
        self._catalog = catalog
        self._rules = rules
        self._lander = Lander(home, catalog, rules.calendars)
        known = catalog.contents().values()
        self._landed = {content.source_file_id for content in known}
        self._nameless = {c.source_file_id for c in known if c.records and not c.symbols}
        self._records: list[FileRecord] = []
        self._sidecars: dict[tuple[str, str], Sidecars] = {}
        self._mappings: dict[tuple[str, str], pl.DataFrame | None] = {}
        self._beside: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            self._beside.setdefault((entry.area, entry.folder), []).append(entry)

    def commit(self) -> None:
        """Let everything read so far count."""
        self._lander.commit()
        self._catalog.record(self._records)
        self._records = []

    def close(self) -> None:
        """Give up what was not committed."""
        self._lander.close()

    def read(self, entry: Entry, stamp: str) -> None:
        """Read one new file. Raises FileChangingError when it is still being written."""
        record = FileRecord(entry.area, entry.path, stamp, entry.size, "other")
        if entry.area == "staging":
            self._records.append(_staging_record(entry, record))
        elif entry.name in SIDECARS:
            self._records.append(_sidecar_record(record, entry.name, self._sidecars_of(entry)))
        else:
            try:
                with open_file(entry.file, entry.size, entry.mtime_ns) as source:
                    self._read_source(entry, record, source)
            except FileChangingError:
                raise
            except SourceError as error:
                if _has_changed(entry):
                    raise FileChangingError(
                        "changed while it was read: still being copied? Left for the next run."
                    ) from None
                # what the system would not read is tried again, a broken file once it changes
                again = isinstance(error, UnreadableError)
                self._refuse(replace(record, stamp="") if again else record, str(error))

    def _read_source(self, entry: Entry, record: FileRecord, source: SourceStream) -> None:
        kind = sniff_source(source)
        if isinstance(kind, NotBars) and kind.verdict == "zip":
            source.drain()
            self._read_zip(entry, replace(record, source_file_id=source.sha256))
            return
        sidecars = self._sidecars_of(entry)
        self._take(record, kind, source, sidecars, lambda: self._mappings_beside(entry))

    def _read_zip(self, entry: Entry, record: FileRecord) -> None:
        try:
            archive = zipfile.ZipFile(entry.file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._refuse(record, f"the zip cannot be opened: {error}. Fetch it again.")
            return
        with archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            self._records.append(
                replace(record, verdict="zip", reason=f"{len(members)} files inside")
            )
            by_folder: dict[str, list[zipfile.ZipInfo]] = {}
            for member in members:
                by_folder.setdefault(member.filename.rpartition("/")[0], []).append(member)
            for folder, inside in sorted(by_folder.items()):
                self._read_zip_folder(archive, record, folder, inside)

    def _read_zip_folder(
        self,
        archive: zipfile.ZipFile,
        zipped: FileRecord,
        folder: str,
        members: list[zipfile.ZipInfo],
    ) -> None:
        prefix = f"{folder}/" if folder else ""
        names = [member.filename.removeprefix(prefix) for member in members]
        sidecars = read_sidecars(names, lambda name: read_member(archive, prefix + name))
        for member, name in sorted(zip(members, names, strict=True), key=lambda pair: pair[1]):
            if name.startswith(".") or folder.startswith("__MACOSX"):
                continue
            record = FileRecord(
                zipped.area,
                f"{zipped.path}!/{member.filename}",
                zipped.stamp,
                member.file_size,
                "other",
            )
            if ".." in member.filename.split("/") or member.filename.startswith("/"):
                self._refuse(record, "its name in the zip points outside the zip: not read.")
                continue
            if name in SIDECARS:
                self._records.append(_sidecar_record(record, name, sidecars))
                continue
            try:
                with open_member(archive, member) as source:
                    self._take(record, sniff_source(source), source, sidecars, lambda: None)
            except SourceError as error:
                self._refuse(record, str(error))

    def _take(
        self,
        record: FileRecord,
        kind: Bars | NotBars,
        source: SourceStream,
        sidecars: Sidecars,
        fallback: Callable[[], pl.DataFrame | None],
    ) -> None:
        """Verify and land one file of bars, or say why it is none."""
        job_id = sidecars.job_id or job_of(record.path)
        facts: dict[str, Any] = {"job_id": job_id}
        spooled: Path | None = None
        if isinstance(kind, NotBars) and kind.encoding == "parquet":
            spooled, kind = self._spool(source, record)
        try:
            if isinstance(kind, NotBars):
                source.drain()
                facts |= {"encoding": kind.encoding, "compression": kind.compression,
                          "schema": kind.schema, "dataset": kind.dataset}  # fmt: skip
                self._records.append(
                    replace(record, verdict=kind.verdict, reason=kind.reason,
                            source_file_id=source.sha256, facts=facts)
                )  # fmt: skip
                return
            dataset = kind.dataset or sidecars.dataset
            stated = dataset or dataset_of_publisher(kind.publisher_id or 0)
            facts |= {"encoding": kind.encoding, "compression": kind.compression,
                      "schema": kind.schema, "dataset": stated}  # fmt: skip
            if stated not in self._rules.datasets:
                source.drain()
                self._records.append(
                    replace(record, verdict="foreign", source_file_id=source.sha256, facts=facts,
                            reason=f"dataset {stated}; this home takes only "
                                   f"{', '.join(self._rules.datasets)}")
                )  # fmt: skip
                return
            self._land(record, kind, source, sidecars, dataset, facts, spooled, fallback)
        finally:
            if spooled is not None:
                spooled.unlink(missing_ok=True)

    def _land(
        self,
        record: FileRecord,
        bars: Bars,
        source: SourceStream,
        sidecars: Sidecars,
        dataset: str | None,
        facts: dict[str, Any],
        spooled: Path | None,
        fallback: Callable[[], pl.DataFrame | None],
    ) -> None:
        mappings = sidecars.mappings
        has_symbol = bars.shape is not None and bars.shape.has_symbol
        if mappings is None and bars.encoding != "dbn" and not has_symbol:
            mappings = fallback()
        number = self._lander.begin()
        context = FileContext(number, dataset, mappings, facts["dataset"])
        held: list[Part] = []  # of a small file, until it is verified; a large one streams through
        lines = held_bytes = 0
        try:
            for part in pieces_of(bars, context, source, spooled):
                lines += part.piece.count
                held.append(part)
                held_bytes += part.nbytes
                if held_bytes > 2 * BLOCK_BYTES:
                    for item in held:
                        self._lander.add(bars, item)
                    held, held_bytes = [], 2 * BLOCK_BYTES
            source.drain()
            _verify(record, source, sidecars)
        except SourceError:
            self._lander.abandon(number)
            raise
        # what had no symbols at all is landed anew once there is something that names them
        named_now = mappings is not None and source.sha256 in self._nameless
        if source.sha256 in self._landed and not named_now:
            self._lander.abandon(number)
            self._records.append(
                replace(record, verdict="bars", source_file_id=source.sha256, facts=facts)
            )
            return
        for part in held:
            self._lander.add(bars, part)
        self._landed.add(source.sha256)
        self._nameless.discard(source.sha256)
        content = Content(
            file_no=number,
            source_file_id=source.sha256,
            path=record.path,
            job_id=facts["job_id"],
            dataset=facts["dataset"],
            schema=bars.schema,
            encoding=bars.encoding,
            compression=bars.compression,
            bytes=source.size,
            records=lines,
            blank_lines=0,
            first_ts=None,
            last_ts=None,
            symbols=(),
        )
        self._lander.complete(
            content, replace(record, verdict="bars", source_file_id=source.sha256, facts=facts)
        )

    def _spool(self, source: SourceStream, record: FileRecord) -> tuple[Path, Bars | NotBars]:
        """Copy a Parquet file aside while it is hashed: its footer is at its end."""
        self._home.scratch.mkdir(parents=True, exist_ok=True)
        spooled = self._home.scratch / "spool.parquet"
        with open(spooled, "wb") as out:
            for chunk in source.chunks():
                out.write(chunk)
        try:
            return spooled, sniff_parquet(spooled)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = f"unreadable Parquet ({str(error).partition('\n')[0]}). Fetch it again."
            return spooled, NotBars("refused", reason, "parquet")

    def _mappings_beside(self, entry: Entry) -> pl.DataFrame | None:
        key = (entry.area, entry.folder)
        if key not in self._mappings:
            self._mappings[key] = sibling_mappings(other.file for other in self._beside[key])
        return self._mappings[key]

    def _sidecars_of(self, entry: Entry) -> Sidecars:
        key = (entry.area, entry.folder)
        if key not in self._sidecars:
            folder = entry.file.parent
            names = [other.name for other in self._beside[key]]
            self._sidecars[key] = read_sidecars(names, lambda name: (folder / name).read_bytes())
        return self._sidecars[key]

    def _refuse(self, record: FileRecord, reason: str) -> None:
        self._records.append(replace(record, verdict="refused", reason=reason))


def _has_changed(entry: Entry) -> bool:
    try:
        stat = os.stat(entry.file)
    except OSError:
        return True
    return (stat.st_size, stat.st_mtime_ns) != (entry.size, entry.mtime_ns)


def _verify(record: FileRecord, source: SourceStream, sidecars: Sidecars) -> None:
    """Hold a file that was read to its end against its job's manifest. Raises SourceError."""
    name = record.path.rpartition("/")[2]
    listed = sidecars.listed.get(name)
    if listed is None:
        return
    if listed.size != source.size:
        raise SourceError(
            f"{source.size} bytes where manifest.json says {listed.size}. Fetch the file again."
        )
    if listed.sha256 != source.sha256:
        raise SourceError(
            "its sha256 is not the one in manifest.json: the bytes were changed or damaged. "
            "Fetch the file again."
        )


def _staging_record(entry: Entry, record: FileRecord) -> FileRecord:
    """A staging file: its columns and rows by the Parquet footer. Its prices are never loaded."""
    reason = "staging is not Databento: its prices are never loaded"
    try:
        footer = pq.read_metadata(entry.file)
    except (pa.ArrowException, OSError):
        return replace(record, verdict="staging", reason=f"{reason}; not Parquet")
    names = footer.schema.names
    facts = {"encoding": "parquet", "records": footer.num_rows, "columns": names[:12]}
    return replace(record, verdict="staging", reason=reason, facts=facts)


def _sidecar_record(record: FileRecord, name: str, sidecars: Sidecars) -> FileRecord:
    told = "; ".join(problem for problem in sidecars.problems if problem.startswith(name))
    return replace(record, verdict="sidecar", reason=told, facts=_stated(sidecars))


def _stated(sidecars: Sidecars) -> dict[str, Any]:
    return {
        "job_id": sidecars.job_id,
        "dataset": sidecars.dataset,
        "lists": sorted(sidecars.listed),
        "missing_days": [day.isoformat() for day in sidecars.missing_days],
    }
