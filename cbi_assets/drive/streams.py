"""Read a source's bytes once: hash them, decompress zstd frame by frame, cut text at line ends."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Final

import zstandard

from cbi_assets.drive.walk import Entry
from cbi_assets.errors import SourceError, UnreadableError

CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_LINE = 64 << 20
DOWNLOAD_AGAIN: Final = "Download the file again."
DOWNLOAD_ZIP_AGAIN: Final = "Download the zip again."
CHECK_DRIVE: Final = "Check its permissions and the drive."
_DAMAGED_ZIP: Final = "the zip is damaged here: {}"

_READ_ERRORS = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    NotImplementedError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What the system, zipfile and its decompressors raise when bytes cannot be read."""


@dataclass
class SourceStream:
    """The bytes of one source, read once. `size` and `sha256` are final after the last chunk.

    `problem` and `remedy` word the error for bytes that cannot be read.
    """

    stream: IO[bytes]
    expected_size: int
    check_unchanged: Callable[[], None] = lambda: None
    problem: str = "cannot be read: {}"
    remedy: str = CHECK_DRIVE
    size: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    _head: bytes | None = None

    def head(self, wanted: int = 1) -> bytes:
        """Return the first chunk, or at least `wanted` bytes; `chunks` yields them again."""
        if self._head is None:
            self._head = self._read()
        while len(self._head) < wanted and (chunk := self._read()):
            self._head += chunk
        return self._head

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes from the start."""
        chunk = self.head()
        while chunk:
            yield chunk
            chunk = self._read()

    def drain(self) -> None:
        """Hash the remaining bytes. Raises FileChangingError if the file changed meanwhile."""
        while self._read():
            pass
        self.check_unchanged()

    @property
    def sha256(self) -> str:
        """The hash of the bytes read so far, in hex."""
        return self._digest.hexdigest()

    def _read(self) -> bytes:
        # A buffer of a whole chunk costs more than reading a small file.
        try:
            chunk = self.stream.read(min(CHUNK, max(self.expected_size - self.size, 0) + 1))
        except _READ_ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            kind = UnreadableError if isinstance(error, OSError) else SourceError
            raise kind(self.problem.format(reason), remedy=self.remedy) from None
        self._digest.update(chunk)
        self.size += len(chunk)
        return chunk


@contextmanager
def open_file(entry: Entry) -> Iterator[SourceStream]:
    """Open a file for one pass over its bytes.

    Raises
    ------
    UnreadableError
        If the system cannot open it or, later, read it.
    FileChangingError
        At its end, if it is no longer as it was listed.
    """
    try:
        raw = open(entry.file, "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableError(
            f"cannot be read: {error.strerror or error}", remedy=CHECK_DRIVE
        ) from None
    with raw:
        yield SourceStream(raw, entry.size, entry.check_unchanged)


@contextmanager
def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[SourceStream]:
    """Open one member of a zip for one pass; its checksum is verified at its end."""
    try:
        raw = archive.open(info)
    except _READ_ERRORS as error:
        raise SourceError(_DAMAGED_ZIP.format(error), remedy=DOWNLOAD_ZIP_AGAIN) from None
    with raw:
        yield SourceStream(raw, info.file_size, problem=_DAMAGED_ZIP, remedy=DOWNLOAD_ZIP_AGAIN)


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return all bytes of one small member. Raises SourceError if the zip is damaged there."""
    try:
        return archive.read(name)
    except _READ_ERRORS as error:
        raise SourceError(_DAMAGED_ZIP.format(error), remedy=DOWNLOAD_ZIP_AGAIN) from None


def decompress(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frame by frame.

    Raises SourceError for bytes that are not zstd, and for a stream that ends inside a frame, which
    the zstandard library itself accepts.
    """
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    inside_frame = False
    for chunk in chunks:
        rest = chunk
        while rest:
            try:
                out = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise SourceError(f"damaged zstd data ({error})", remedy=DOWNLOAD_AGAIN) from None
            if out:
                yield out
            inside_frame, rest = True, b""
            if frame.eof:
                rest = frame.unused_data
                frame, inside_frame = decompressor.decompressobj(), False
    if inside_frame:
        raise SourceError("truncated: it ends inside a zstd frame", remedy=DOWNLOAD_AGAIN)


def line_blocks(chunks: Iterator[bytes], target: int) -> Iterator[bytes]:
    """Cut a byte stream into blocks of whole lines, about `target` bytes each.

    A line break is appended if the last line has none. Raises SourceError for a line of more than
    `MAX_LINE` bytes.
    """
    parts: list[bytes] = []
    nbytes = 0
    for chunk in chunks:
        parts.append(chunk)
        nbytes += len(chunk)
        if nbytes < target:
            continue
        block = b"".join(parts)
        cut = block.rfind(b"\n") + 1
        if not cut:
            if nbytes > MAX_LINE:
                raise SourceError(f"no line break in {MAX_LINE >> 20} MiB: not a text of bars")
            parts = [block]
            continue
        yield block[:cut]
        parts, nbytes = [block[cut:]], nbytes - cut
    if nbytes:
        block = b"".join(parts)
        yield block if block.endswith(b"\n") else block + b"\n"
