"""Find and read staging's files; nothing is ever written there."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

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
    """The files under the staging folder, in path order; dot files are passed over.

    Raises UnreadableError where the folder cannot be listed.
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
            f"{staging}: cannot be listed: {error.strerror}. Mend its permissions."
        ) from None
    return sorted(found)


def fetch(staging: Path, path: Path) -> StagingFile:
    """The file's bytes and their sha256, from one reading.

    Raises UnreadableError where the system will not read it, FileChangingError where it changed.
    """
    shown = path.relative_to(staging).as_posix()
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise UnreadableError(
            f"{shown}: cannot be read: {error.strerror}. Mend its permissions or the drive."
        ) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChangingError(f"{shown}: it changed while it was read. It is left for next time.")
    return StagingFile(shown, hashlib.sha256(content).hexdigest(), content)


def fetch_all(staging: Path) -> Iterator[StagingFile | SourceError]:
    """Each file of staging, or why it cannot be had."""
    for path in list_files(staging):
        try:
            yield fetch(staging, path)
        except SourceError as error:
            yield error


def decode(file: StagingFile) -> pl.DataFrame:
    """The file's rows. Raises SourceError, one line, where it is no sound Parquet."""
    if not file.name.lower().endswith(".parquet"):
        raise SourceError(f"{file.path}: not Parquet. Export it as Parquet, or move it away.")
    try:
        table = pq.read_table(io.BytesIO(file.content), page_checksum_verification=True)
        frame = pl.from_arrow(table)
    except (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError) as error:
        why = " ".join(str(error).split()).rstrip(".")[:200]
        raise SourceError(f"{file.path}: damaged Parquet ({why}). Export it again.") from None
    assert isinstance(frame, pl.DataFrame)
    return frame
