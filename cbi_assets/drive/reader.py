"""Read new files one after another: verify and land each, or record why it does not load."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from cbi_assets.config.settings import Home
from cbi_assets.drive.bar_file import BarFile, SourceFile
from cbi_assets.drive.canonical import Rules
from cbi_assets.drive.catalog import Catalog
from cbi_assets.drive.faults import guarded_parts, refused, source_errors
from cbi_assets.drive.file_records import FileRecord, SidecarDetails, StagingDetails, Stamp
from cbi_assets.drive.formats import (
    DEMO_DATASET,
    PARQUET,
    UNDETECTED,
    ZIP,
    Detected,
    FileFormat,
    Rejected,
    sniff_parquet,
    sniff_source,
)
from cbi_assets.drive.grammar import quoted
from cbi_assets.drive.landing import Lander
from cbi_assets.drive.manifests import judge_manifest
from cbi_assets.drive.mappings import (
    NAME_SCHEMA,
    SYMBOLOGIES,
    FileNames,
    mappings_of_metadata,
    names_of,
)
from cbi_assets.drive.pieces import BLOCK_BYTES, Part, pieces_of
from cbi_assets.drive.siblings import Siblings
from cbi_assets.drive.sidecars import (
    CONDITION,
    Sidecars,
    is_manifest,
    is_sidecar,
    job_of,
)
from cbi_assets.drive.streams import (
    DOWNLOAD_AGAIN,
    DOWNLOAD_ZIP_AGAIN,
    SourceStream,
    open_archive,
    open_file,
    open_member,
)
from cbi_assets.drive.walk import AreaPath, Entry
from cbi_assets.drive.zip_members import Member, list_members, paths_in
from cbi_assets.errors import FileChangingError, SourceError, UnreadableError


class Reader:
    """Read new files one after another into a lander and the catalog."""

    def __init__(
        self,
        home: Home,
        catalog: Catalog,
        rules: Rules,
        entries: Iterable[Entry],
        manifest_damage: Mapping[AreaPath, str],
    ) -> None:
        self._home = home
        self._catalog = catalog
        self._rules = rules
        self._siblings = Siblings(entries, manifest_damage)
        self._lander = Lander(home, catalog, rules)
        known = catalog.contents().values()
        self._landed = {content.source_file_id for content in known}
        self._unresolved = {c.source_file_id for c in known if c.records and not c.symbols}
        self._records: list[FileRecord] = []
        self._names: list[FileNames] = []

    def commit(self) -> None:
        """Commit everything read so far to the landing zone and the catalog."""
        errors = self._lander.commit()
        self._landed -= errors.keys()
        self._catalog.record(
            [_refused_copy(record, errors) for record in self._records],
            names=[names for names in self._names if names.source_file_id not in errors],
        )
        self._records, self._names = [], []

    def close(self) -> None:
        """Discard what was not committed."""
        self._lander.close()

    def read(self, entry: Entry, stamp: Stamp) -> None:
        """Read one new file. Raises FileChangingError if it is still being written."""
        record = FileRecord(entry.area, entry.path, stamp, entry.size, "other")
        if entry.area == "staging":
            self._records.append(_staging_record(entry, record))
        elif is_sidecar(entry.name):
            self._read_sidecar(record, self._siblings.sidecars(entry))
        else:
            try:
                self._read_file(entry, record)
            except UnreadableError as error:
                entry.check_unchanged()
                self._refuse(record, error)

    def _read_sidecar(self, record: FileRecord, sidecars: Sidecars) -> None:
        """Record a sidecar. A damaged manifest is refused, unless a person accepted it."""
        name, found = record.name, sidecars.digests.get(record.name)
        record = replace(
            record,
            verdict="sidecar",
            reason=sidecars.problems.get(name, ""),
            source_file_id=found.sha256 if found else None,
            details=SidecarDetails(
                sidecars.job_id, sidecars.dataset, tuple(sorted(sidecars.listed)),
                sidecars.conditions if name == CONDITION else (),
            ),
            verified=name in sidecars.listed,
        )  # fmt: skip
        if name in sidecars.unreadable:
            record = replace(record, stamp=None)  # The next run retries it.
        if name in sidecars.refused:
            record = replace(record, verdict="refused", reason=sidecars.refused[name])
        elif is_manifest(name):
            is_job = sidecars.is_job or job_of(record.path) is not None
            record = judge_manifest(record, sidecars.damage, is_job, self._rules.accepted)
        if found and name in SYMBOLOGIES and record.verdict == "sidecar":
            mappings = sidecars.symbologies.get(name)
            self._keep_names(found.sha256, name, record.path, sidecars.dataset, mappings)
        self._records.append(record)

    def _keep_names(
        self,
        sha256: str,
        source: str,
        path: str,
        dataset: str | None,
        mappings: pl.DataFrame | None,
    ) -> None:
        """Keep the names that a file gives instruments, also if there are none."""
        names = pl.DataFrame(schema=NAME_SCHEMA) if mappings is None else names_of(mappings)
        self._names.append(FileNames(sha256, source, path, dataset, names))

    def _keep_header(self, file: SourceFile, detected: Detected) -> None:
        """Keep the names in a DBN file's header; the file was read to its end and verified."""
        if detected.header is not None:
            mappings = mappings_of_metadata(detected.header.mappings)
            sha256, path = file.source.sha256, file.record.path
            self._keep_names(sha256, "dbn", path, detected.header.dataset, mappings)

    def _read_file(self, entry: Entry, record: FileRecord) -> None:
        with open_file(entry) as source:
            sidecars = self._siblings.sidecars(entry)
            mappings = partial(self._siblings.mappings, entry)
            file = SourceFile(record, source, sidecars, self._rules.accepted, mappings)
            if self._take(file, is_zip_read=True) is ZIP:
                self._read_zip(entry, replace(record, source_file_id=source.sha256))

    def _read_zip(self, entry: Entry, record: FileRecord) -> None:
        with ExitStack() as opened:
            try:
                archive = opened.enter_context(open_archive(entry.file))
            except Exception as error:  # Python's zipfile raises a dozen types on damaged zips.
                problem = f"the zip cannot be opened: {error}"
                self._refuse(record, SourceError(problem, remedy=DOWNLOAD_ZIP_AGAIN))
                return
            try:
                count = len(paths_in(archive))
            except SourceError as error:
                self._refuse(record, error)
                return
            record = replace(record, verdict="zip", reason=f"{count} files inside")
            self._records.append(record)
            for member in list_members(archive):
                self._read_member(archive, record, member)

    def _read_member(self, archive: zipfile.ZipFile, zipped: FileRecord, member: Member) -> None:
        path = f"{zipped.path}!/{member.path}"
        record = FileRecord(zipped.area, path, zipped.stamp, member.info.file_size, "other")
        if member.is_outside:
            outside = SourceError("its name in the zip points outside the zip: not read.")
            self._refuse(record, outside)
        elif is_sidecar(member.name):
            self._read_sidecar(record, member.sidecars)
        else:
            try:
                with open_member(archive, member.info) as source:
                    self._take(SourceFile(record, source, member.sidecars, self._rules.accepted))
            except SourceError as error:
                self._refuse(record, error)
                if isinstance(error, UnreadableError):  # The next run reads the zip again.
                    self._records.append(replace(zipped, stamp=None))

    def _take(self, file: SourceFile, *, is_zip_read: bool = False) -> Detected:
        """Land a file of bars, or record why it does not load. Return its format.

        With `is_zip_read`, a zip is only verified: the caller reads its members.
        """
        detected: Detected = UNDETECTED
        try:
            with source_errors():
                detected = sniff_source(file.source)
            if detected is ZIP and is_zip_read:
                file.compare_with_manifest()
            elif detected is PARQUET:
                with self._copied(file.source) as copy:
                    with source_errors():
                        detected = sniff_parquet(copy)
                    self._take_detected(file, detected, copy)
            else:
                self._take_detected(file, detected)
        except (FileChangingError, UnreadableError):
            raise
        except SourceError as error:
            self._records.append(file.refused(error))
            return UNDETECTED
        return detected

    def _take_detected(
        self, file: SourceFile, detected: Detected, parquet_copy: Path | None = None
    ) -> None:
        """Land a file of bars, or record why it does not load. Raises SourceError if damaged."""
        if isinstance(detected, Rejected):
            detected = file.empty_format(detected)
        if isinstance(detected, FileFormat):
            bars = BarFile(file, detected, parquet_copy)
            if bars.dataset in self._rules.datasets:
                self._land(bars)
                return
            detected = self._foreign_dataset(bars)
        self._records.append(file.rejected(detected))
        self._keep_header(file, detected)

    def _foreign_dataset(self, bars: BarFile) -> Rejected:
        """Return the rejection of a file of another dataset.

        Raises SourceError if its records deny that dataset: then the claim is damaged.
        """
        of_records = bars.publisher_dataset
        if of_records not in (None, bars.dataset) and bars.dataset != DEMO_DATASET:
            claim = "its DBN header" if bars.format.dataset else "metadata.json"
            raise SourceError(
                f"{claim} says dataset {quoted(bars.dataset)}, its records are of publisher "
                f"{bars.format.publisher_id}, which is {of_records}",
                remedy=DOWNLOAD_AGAIN,
            )
        accepted = ", ".join(self._rules.datasets)
        found = bars.format
        return Rejected(
            "foreign",
            f"dataset {bars.dataset}; this home takes only {accepted}",
            found.encoding,
            found.compression,
            found.schema,
            bars.dataset,
            header=found.header,
        )

    def _land(self, bars: BarFile) -> None:
        """Land a file unless its bytes are landed already. Raises SourceError if it is damaged."""
        file_no = self._lander.begin()
        try:
            pending, records = self._stream(bars, file_no)
            if records and bars.format.is_empty:
                raise SourceError("records after a part without any", remedy=DOWNLOAD_AGAIN)
            bars.file.verify()
        except SourceError:
            self._lander.abandon(file_no)
            raise
        self._keep_header(bars.file, bars.format)
        sha256 = bars.file.source.sha256
        can_resolve_now = bars.mappings is not None and sha256 in self._unresolved
        if sha256 in self._landed and not can_resolve_now:
            self._lander.abandon(file_no)
            self._records.append(bars.entry())
            return
        for part in pending:
            self._lander.add(bars.format, part)
        self._landed.add(sha256)
        self._unresolved.discard(sha256)
        self._lander.complete(bars.content(file_no, records), bars.entry())

    def _stream(self, bars: BarFile, file_no: int) -> tuple[list[Part], int]:
        """Read all records. Return the parts not yet added to the lander, and the record count.

        A small file is added only after it is verified, a large one as it is read.
        """
        pending: list[Part] = []
        nbytes = records = 0
        with source_errors():
            context = bars.context(file_no)
            parts = pieces_of(bars.format, context, bars.file.source, bars.parquet_copy)
        for part in guarded_parts(parts):
            records += part.piece.count
            nbytes += part.nbytes
            pending.append(part)
            if nbytes > 2 * BLOCK_BYTES:
                for item in pending:
                    self._lander.add(bars.format, item)
                pending = []
        return pending, records

    @contextmanager
    def _copied(self, source: SourceStream) -> Iterator[Path]:
        """Copy a source to the scratch folder; the copy is deleted afterwards."""
        self._home.scratch.mkdir(parents=True, exist_ok=True)
        copy = self._home.scratch / "spool.parquet"
        try:
            with open(copy, "wb") as out:
                for chunk in source.chunks():
                    out.write(chunk)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def _refuse(self, record: FileRecord, error: SourceError) -> None:
        self._records.append(refused(record, error))


def _refused_copy(record: FileRecord, errors: Mapping[str, SourceError]) -> FileRecord:
    """Return the record of a file, refused if it is a copy of one that decoding refused."""
    error = errors.get(record.source_file_id or "")
    return refused(record, error) if error else record


def _staging_record(entry: Entry, record: FileRecord) -> FileRecord:
    """Describe a staging file by its Parquet footer. Its prices are never loaded."""
    reason = "staging is not Databento: its prices are never loaded"
    try:
        footer = pq.read_metadata(entry.file)
    except Exception:
        return replace(record, verdict="staging", reason=f"{reason}; not Parquet")
    columns = tuple(footer.schema.names[:12])
    details = StagingDetails("parquet", footer.num_rows, columns)
    return replace(record, verdict="staging", reason=reason, details=details)
