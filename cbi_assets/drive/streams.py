"""Read a source's bytes once: hash them, walk zstd frames to their end, cut text at line ends."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zstandard

from cbi_assets.errors import FileChangingError, SourceError

CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_LINE = 64 << 20


@dataclass
class SourceStream:
    """The bytes of one source, read once. `size` and `sha256` are whole after the last chunk."""

    stream: IO[bytes]
    hold_still: Callable[[], None] = lambda: None
    size: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    _head: bytes | None = None

    def head(self) -> bytes:
        """The first chunk, without losing it for `chunks`."""
        if self._head is None:
            self._head = self._read()
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
        chunk = self.stream.read(CHUNK)
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
        stat = os.stat(path)
        if (stat.st_size, stat.st_mtime_ns) != (size, mtime_ns):
            raise FileChangingError(
                "changed while it was read: still being copied? Left for the next run."
            )

    try:
        with open(path, "rb", buffering=0) as raw:
            yield SourceStream(raw, hold_still)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}.") from None


@contextmanager
def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[SourceStream]:
    """Open one member of a zip for one reading; its checksum is verified at its end."""
    try:
        with archive.open(info) as raw:
            yield SourceStream(raw)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise SourceError(f"the zip is damaged here: {error}. Fetch the zip again.") from None


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
