"""Read a source's bytes once: hash them, walk zstd frames to their end, cut text at line ends."""

from __future__ import annotations

import hashlib
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zstandard

from cbi_assets.errors import FileChangingError, SourceError, UnreadableError

CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_LINE = 64 << 20
DAMAGED_ZIP = "the zip is damaged here: {}. Fetch the zip again."

_READ_ERRORS = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    NotImplementedError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What the system, zipfile and its decompressors raise where bytes cannot be had."""


@dataclass
class SourceStream:
    """The bytes of one source, read once. `size` and `sha256` are whole after the last chunk."""

    stream: IO[bytes]
    expected: int
    hold_still: Callable[[], None] = lambda: None
    complaint: str = "cannot be read: {}."
    size: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    _head: bytes | None = None

    def head(self, wanted: int = 1) -> bytes:
        """The first chunk or more, until `wanted` bytes are there; `chunks` gives them again."""
        if self._head is None:
            self._head = self._read()
        while len(self._head) < wanted and (chunk := self._read()):
            self._head += chunk
        return self._head

    def chunks(self) -> Iterator[bytes]:
        """All bytes from the start, in chunks."""
        chunk = self.head()
        while chunk:
            yield chunk
            chunk = self._read()

    def drain(self) -> None:
        """Read what is left, for the hash alone; raise where the source did not hold still."""
        while self._read():
            pass
        self.hold_still()

    @property
    def sha256(self) -> str:
        """The hash of what was read so far, in hex."""
        return self._digest.hexdigest()

    def _read(self) -> bytes:
        # no more than is there: a buffer of a whole chunk costs more than a small file's bytes
        try:
            chunk = self.stream.read(min(CHUNK, max(self.expected - self.size, 0) + 1))
        except _READ_ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            kind = UnreadableError if isinstance(error, OSError) else SourceError
            raise kind(self.complaint.format(reason)) from None
        self._digest.update(chunk)
        self.size += len(chunk)
        return chunk


@contextmanager
def open_file(path: Path, size: int, mtime_ns: int) -> Iterator[SourceStream]:
    """Open a file of the drive for one reading.

    Reading to its end raises FileChangingError when it is not as the directory showed it, and any
    reading SourceError when the system will not have it.
    """

    def hold_still() -> None:
        try:
            stat = os.stat(path)
            still = (stat.st_size, stat.st_mtime_ns) == (size, mtime_ns)
        except OSError:
            still = False
        if not still:
            raise FileChangingError(
                "changed while it was read: still being copied? Left for the next run."
            )

    try:
        raw = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}.") from None
    with raw:
        yield SourceStream(raw, size, hold_still)


@contextmanager
def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[SourceStream]:
    """Open one member of a zip for one reading; its checksum is verified at its end."""
    try:
        raw = archive.open(info)
    except _READ_ERRORS as error:
        raise SourceError(DAMAGED_ZIP.format(error)) from None
    with raw:
        yield SourceStream(raw, info.file_size, complaint=DAMAGED_ZIP)


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """All bytes of one small member. Raises SourceError where the zip is damaged there."""
    try:
        return archive.read(name)
    except _READ_ERRORS as error:
        raise SourceError(DAMAGED_ZIP.format(error)) from None


def decompress(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frame by frame.

    A stream that ends inside a frame decodes without complaint elsewhere; here it raises
    SourceError, as do bytes that are not zstd.
    """
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    fed = False
    for chunk in chunks:
        rest = chunk
        while rest:
            try:
                out = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise SourceError(f"damaged zstd data ({error}). Fetch the file again.") from None
            if out:
                yield out
            fed, rest = True, b""
            if frame.eof:
                rest = frame.unused_data
                frame, fed = decompressor.decompressobj(), False
    if fed:
        raise SourceError("truncated: it ends inside a zstd frame. Fetch the file again.")


def line_blocks(chunks: Iterator[bytes], target: int) -> Iterator[bytes]:
    """Cut a byte stream into blocks of whole lines, about `target` bytes each.

    The last line counts with or without its line break. Raises SourceError for an endless line.
    """
    parts: list[bytes] = []
    held = 0
    for chunk in chunks:
        parts.append(chunk)
        held += len(chunk)
        if held < target:
            continue
        block = b"".join(parts)
        cut = block.rfind(b"\n") + 1
        if not cut:
            if held > MAX_LINE:
                raise SourceError(f"no line break in {MAX_LINE >> 20} MiB: not a text of bars.")
            parts = [block]
            continue
        yield block[:cut]
        parts, held = [block[cut:]], held - cut
    if held:
        block = b"".join(parts)
        yield block if block.endswith(b"\n") else block + b"\n"
