"""A file while it is read: its bytes, its format, and what its siblings say about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from cbi_assets.drive.canonical import FileContext
from cbi_assets.drive.catalog import Content
from cbi_assets.drive.faults import refused
from cbi_assets.drive.file_records import FileRecord, FormatDetails, Verdict
from cbi_assets.drive.formats import (
    UNDETECTED,
    Detected,
    FileFormat,
    Rejected,
    dataset_of_publisher,
    empty_format,
)
from cbi_assets.drive.lookalikes import is_named_like_bars
from cbi_assets.drive.sidecars import (
    MANIFEST,
    Digest,
    Sidecars,
    accept_remedy,
    job_of,
    micros_of,
)
from cbi_assets.drive.streams import CHECK_DRIVE, DOWNLOAD_AGAIN, SourceStream
from cbi_assets.errors import FileChangingError, SourceError, UnreadableError

DAMAGED_MANIFEST: Final = "damaged_manifest"
"""The code of the only error that `cbi accept` overrules."""

_CLAIMED_SCHEMA = re.compile(r"\.(ohlcv-\w+)\.")


@dataclass(frozen=True)
class SourceFile:
    """One file being read. `read_sibling_mappings` reads the headers of DBN files next to it.

    `accepted` are the keys of what a person accepted despite a damaged manifest.
    """

    record: FileRecord
    source: SourceStream
    sidecars: Sidecars
    accepted: Collection[str] = frozenset()
    read_sibling_mappings: Callable[[], pl.DataFrame | None] = lambda: None

    @property
    def job_id(self) -> str | None:
        """The job's id, from a sidecar or else from the name of the file's folder."""
        return self.sidecars.job_id or job_of(self.record.path)

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.record.name

    def empty_format(self, found: Rejected) -> Detected:
        """Return the format of a file without a record that the job's manifest lists.

        Return `found` if the manifest does not list it, or the job's schema is unknown.
        """
        named = _CLAIMED_SCHEMA.search(self.name)
        schema = self.sidecars.schema or (named[1] if named else "")
        if not found.is_empty or self.name not in self.sidecars.listed:
            return found
        return empty_format(found, self.name, schema) or found

    def rejected(self, found: Rejected) -> FileRecord:
        """Return the record of a file that does not load. Reads it to its end, for the hash.

        Raises SourceError if its job's manifest lists other bytes, or is damaged.
        """
        self.compare_with_manifest()
        found = self._refused_if_like_bars(found)
        if found.verdict == "foreign":
            self._check_manifest()
        return self.entry(found.verdict, found, found.dataset, found.reason)

    def _refused_if_like_bars(self, found: Rejected) -> Rejected:
        """Return a file of no known format as refused if its manifest or its name claims bars."""
        if found.verdict == "zip":
            return replace(found, verdict="refused", reason="a zip inside a zip. Unpack it.")
        if found.verdict != "other":
            return found
        if self.name in self.sidecars.listed:
            claim = "manifest.json lists it"
        elif is_named_like_bars(self.name, found.encoding):
            claim = "named like a file of bars"
        else:
            return found
        reason = f"{claim}, but its content is not bars ({found.reason}). {DOWNLOAD_AGAIN}"
        return replace(found, verdict="refused", reason=reason)

    def refused(self, error: SourceError) -> FileRecord:
        """Return the record of a file that cannot be read as bars. Reads it to its end.

        Its manifest comes first: bytes that differ from it explain any other damage.
        """
        if not self.source.is_broken:
            try:
                self.compare_with_manifest()
            except (FileChangingError, UnreadableError):
                raise
            except SourceError as first:
                error = first
        return replace(
            refused(self.entry("refused", UNDETECTED, None), error),
            source_file_id=None if self.source.is_broken else self.source.sha256,
            fault="manifest" if error.code == DAMAGED_MANIFEST else "",
        )

    def verify(self) -> None:
        """Read to the end. Raises SourceError if the job's manifest denies the bytes or is damaged.

        A person's acceptance overrules a damaged manifest, and nothing else.
        """
        self.compare_with_manifest()
        self._check_manifest()

    def compare_with_manifest(self) -> None:
        """Read to the end. Raises SourceError if the job's manifest lists other bytes."""
        self.source.drain()
        self.sidecars.verify(self.name, Digest(self.source.size, self.source.sha256))

    def _check_manifest(self) -> None:
        damage = self.sidecars.damage
        if not damage or self.source.sha256 in self.accepted:
            return
        if MANIFEST in self.sidecars.unreadable:
            raise UnreadableError(f"its job's manifest {damage}", remedy=CHECK_DRIVE)
        raise SourceError(
            f"its job's manifest.json is damaged ({damage})",
            remedy=accept_remedy(self.job_id or self.record.folder),
            code=DAMAGED_MANIFEST,
        )

    def entry(
        self, verdict: Verdict, found: Detected, dataset: str | None, reason: str = ""
    ) -> FileRecord:
        """Return the record of the file, read to its end and compared with its manifest."""
        return replace(
            self.record,
            verdict=verdict,
            reason=reason,
            source_file_id=self.source.sha256,
            details=FormatDetails(
                self.job_id, found.encoding, found.compression, found.schema, dataset
            ),
            verified=verdict != "refused" and self.name in self.sidecars.listed,
        )


@dataclass(frozen=True)
class BarFile:
    """A file of bars being read.

    A Parquet file is read from `parquet_copy`: its footer is at its end, and the drive is read only
    once.
    """

    file: SourceFile
    format: FileFormat
    parquet_copy: Path | None = None

    @property
    def stated_dataset(self) -> str | None:
        """The dataset that the file or its job states."""
        return self.format.dataset or self.file.sidecars.dataset

    @property
    def publisher_dataset(self) -> str | None:
        """The dataset of the first records' publisher, None if Databento does not list it."""
        return dataset_of_publisher(self.format.publisher_id or 0)

    @property
    def dataset(self) -> str | None:
        """The stated dataset, or else that of the first readable record's publisher."""
        return self.stated_dataset or self.publisher_dataset

    @cached_property
    def mappings(self) -> pl.DataFrame | None:
        """The symbol mappings from outside the file; a DBN file has its own."""
        if self.file.sidecars.mappings is not None:
            return self.file.sidecars.mappings
        names_symbols = self.format.text is not None and self.format.text.has_symbol
        if self.format.encoding == "dbn" or names_symbols:
            return None
        return self.file.read_sibling_mappings()

    def context(self, file_no: int) -> FileContext:
        """Return what decoding a record requires besides the record."""
        return FileContext(file_no, self.stated_dataset, self.mappings, self.dataset)

    def entry(self) -> FileRecord:
        """Return the record of the file, which was read to its end."""
        return self.file.entry("bars", self.format, self.dataset)

    @property
    def _covers(self) -> tuple[int | None, int | None]:
        """The range that was requested, in microseconds, by the file's header or its job."""
        if self.format.header is None:
            return self.file.sidecars.covers
        return micros_of(self.format.header.start), micros_of(self.format.header.end)

    def content(self, file_no: int, records: int) -> Content:
        """Return the content of the file, read to its end, before its records are decoded."""
        covers_from, covers_to = self._covers
        return Content(
            file_no=file_no,
            source_file_id=self.file.source.sha256,
            path=self.file.record.path,
            job_id=self.file.job_id,
            dataset=self.dataset,
            schema=self.format.schema,
            encoding=self.format.encoding,
            compression=self.format.compression,
            bytes=self.file.source.size,
            records=records,
            covers_from=covers_from,
            covers_to=covers_to,
        )
