"""Find and read staging's files. The folder is never written to."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets.drive.grammar import first_repeated
from cbi_assets.errors import FileChangingError, SourceError, UnreadableError


@dataclass(frozen=True)
class StagingFile:
    """One file of staging. `path` is relative to the staging folder, `id` the bytes' sha256."""

    path: str
    id: str
    content: bytes

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


def list_files(staging: Path) -> list[Path]:
    """Return the files under the staging folder in path order, without dot files.

    Raises UnreadableError if the folder cannot be listed.
    """
    try:
        found = [
            path
            for path in staging.rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(staging).parts)
        ]
    except OSError as error:
        raise UnreadableError(
            f"cannot be listed: {error.strerror}",
            subject=str(staging),
            remedy="Fix its permissions.",
        ) from None
    return sorted(found)


def fetch(staging: Path, path: Path) -> StagingFile:
    """Read the file's bytes once, and hash them.

    Raises UnreadableError if the system cannot read it, and FileChangingError if it changed.
    """
    shown = path.relative_to(staging).as_posix()
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise UnreadableError(
            f"cannot be read: {error.strerror}",
            subject=shown,
            remedy="Fix its permissions or the drive.",
        ) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChangingError(
            "it changed while it was read", subject=shown, remedy="The next run reads it."
        )
    return StagingFile(shown, hashlib.sha256(content).hexdigest(), content)


def fetch_all(staging: Path) -> Iterator[StagingFile | SourceError]:
    """Yield each file of staging, or why it cannot be read."""
    for path in list_files(staging):
        try:
            yield fetch(staging, path)
        except SourceError as error:
            yield error


def decode(file: StagingFile) -> pl.DataFrame:
    """Return the file's rows: dictionaries as what they contain, and floats as Float64.

    A float32 becomes the shortest decimal that it stands for: 3.11, not 3.109999895.

    Raises
    ------
    SourceError
        If it is not readable Parquet, or has a column twice.
    """
    if not file.name.lower().endswith(".parquet"):
        raise SourceError(
            "not Parquet", subject=file.path, remedy="Export it as Parquet, or move it away."
        )
    try:
        with pq.ParquetFile(io.BytesIO(file.content), page_checksum_verification=True) as parquet:
            names = parquet.schema_arrow.names
            if (twice := first_repeated(names)) is not None:
                raise SourceError(
                    f"it has the column {twice!r} twice",
                    subject=file.path,
                    remedy="Export it again, with each column once.",
                )
            frame = pl.from_arrow(_without_dictionaries(parquet.read()))
    except (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError) as error:
        why = " ".join(str(error).split()).rstrip(".")[:200]
        raise SourceError(
            f"damaged Parquet ({why})", subject=file.path, remedy="Export it again."
        ) from None
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(cs.by_dtype(pl.Float32).cast(pl.String).cast(pl.Float64))


def _without_dictionaries(table: pa.Table) -> pa.Table:
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
