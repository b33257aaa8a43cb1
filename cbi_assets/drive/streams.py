"""Read a source's bytes once: hash them, decompress zstd frame by frame, cut text at line ends."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol

import zstandard

from cbi_assets.drive.walk import Entry
from cbi_assets.errors import SourceError, UnreadableError

CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_LINE: Final = 128 << 10
MAX_SIDECAR: Final = 16 << 20
MAX_ZIP_DIRECTORY: Final = 16 << 20
"""Bytes of a zip's list of files, about 200,000 of them."""

MAX_RATIO: Final = 200
"""How many times its size a file of bars may expand to. Genuine ones expand 3 to 30 times."""

FREE_BYTES: Final = 16 << 20
_ZSTD_STEP: Final = 2 << 10
"""Bytes given to zstd at a time: it returns up to 32,768 times as many at once."""

_SHORTEST_BAR: Final = 20
"""Bytes; the mean of a block's lines. A bar takes 40 in CSV, and 200 in JSON."""

_ZIP_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DOWNLOAD_AGAIN: Final = "Download the file again."
DOWNLOAD_ZIP_AGAIN: Final = "Download the zip again."
CHECK_DRIVE: Final = "Check its permissions and the drive."
_DAMAGED_ZIP: Final = "the zip is damaged here: {}"

_READ_ERRORS = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    NotImplementedError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What the system, zipfile and its decompressors raise when bytes cannot be read."""


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, nbytes: int, /) -> bytes | None:
        """Return up to so many bytes, none at the end."""


@dataclass
class SourceStream:
    """The bytes of one source, read once. `size` and `sha256` are final after the last chunk.

    `problem` and `remedy` word the error for bytes that cannot be read; then `is_broken`.
    """

    stream: Readable
    expected_size: int
    check_unchanged: Callable[[], None] = lambda: None
    problem: str = "cannot be read: {}"
    remedy: str = CHECK_DRIVE
    size: int = 0
    is_broken: bool = False
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
            self.is_broken = True
            reason = getattr(error, "strerror", None) or error
            kind = UnreadableError if isinstance(error, OSError) else SourceError
            raise kind(self.problem.format(reason), remedy=self.remedy) from None
        chunk = chunk or b""  # None from a file without an end that has nothing to read yet
        self._digest.update(chunk)
        self.size += len(chunk)
        if self.size > self.expected_size:
            self.is_broken = True
            self.check_unchanged()
            raise SourceError("continues after the size that the system lists: not a regular file")
        return chunk


def _open_regular(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError("not a regular file")


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file without a buffer. Raises OSError if it is missing or another kind."""
    return open(path, "rb", buffering=0, opener=_open_regular)


def read_sidecar(path: Path) -> bytes:
    """Return the bytes of a small file. Raises SourceError if it exceeds `MAX_SIDECAR`."""
    with open_regular(path) as raw:
        return _read_limited(raw)


def _read_limited(raw: Readable) -> bytes:
    parts: list[bytes] = []
    left = MAX_SIDECAR + 1
    while left and (part := raw.read(min(left, CHUNK))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise SourceError(f"larger than {MAX_SIDECAR >> 20} MiB")
    return b"".join(parts)


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
        raw = open_regular(entry.file)
    except OSError as error:
        raise UnreadableError(
            f"cannot be read: {error.strerror or error}", remedy=CHECK_DRIVE
        ) from None
    with raw:
        yield SourceStream(raw, entry.size, entry.check_unchanged)


class _ZipReader(io.BufferedReader):
    """A zip's bytes, without reads of more than `MAX_ZIP_DIRECTORY` at once.

    zipfile reads the whole list of files, however long its end states that it is.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_ZIP_DIRECTORY:
            raise zipfile.BadZipFile(
                f"its list of files is larger than {MAX_ZIP_DIRECTORY >> 20} MiB"
            )
        return super().read(size)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip. Raises what zipfile raises: a dozen types if it is damaged."""
    with _ZipReader(open_regular(path)) as reader, zipfile.ZipFile(reader) as archive:
        yield archive


@contextmanager
def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[SourceStream]:
    """Open one member of a zip for one pass; its checksum is verified at its end."""
    if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
        raise _expands()
    with _opened(archive, info) as raw:
        yield SourceStream(raw, info.file_size, problem=_DAMAGED_ZIP, remedy=DOWNLOAD_ZIP_AGAIN)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return all bytes of one small member. Raises SourceError if the zip is damaged there."""
    try:
        with _opened(archive, info) as raw:
            return _read_limited(raw)
    except _READ_ERRORS as error:
        raise SourceError(_DAMAGED_ZIP.format(error), remedy=DOWNLOAD_ZIP_AGAIN) from None


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    # zipfile decompresses only deflate in pieces: 4 KiB of another method may expand to gigabytes.
    if info.compress_type not in _ZIP_METHODS:
        raise SourceError(
            f"the zip compresses it by method {info.compress_type}, which is not read",
            remedy="Zip it again with deflate.",
        )
    try:
        return archive.open(info)
    except _READ_ERRORS as error:
        raise SourceError(_DAMAGED_ZIP.format(error), remedy=DOWNLOAD_ZIP_AGAIN) from None


def is_skippable(head: bytes) -> bool:
    """Whether bytes start with a frame that zstd skips: metadata of the tool that wrote it."""
    return head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F


def decompress(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frame by frame, in pieces of at most a chunk.

    Raises SourceError for bytes that are not zstd, for a stream that ends inside a frame, which the
    zstandard library itself accepts, and for one that expands more than `MAX_RATIO` times.
    """
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    inside_frame = False
    taken = given = 0
    for rest in _steps(chunks):
        taken += len(rest)
        while rest:
            try:
                out = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise SourceError(f"damaged zstd data ({error})", remedy=DOWNLOAD_AGAIN) from None
            given += len(out)
            if given > max(FREE_BYTES, MAX_RATIO * taken):
                raise _expands()
            for start in range(0, len(out), CHUNK):
                yield out[start : start + CHUNK]
            inside_frame, rest = True, b""
            if frame.eof:
                rest = frame.unused_data
                frame, inside_frame = decompressor.decompressobj(), False
    if inside_frame:
        raise SourceError("truncated: it ends inside a zstd frame", remedy=DOWNLOAD_AGAIN)


def _steps(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_STEP):
            yield chunk[start : start + _ZSTD_STEP]


def _expands() -> SourceError:
    return SourceError(
        f"expands to more than {MAX_RATIO:,} times its size: not bars", remedy=DOWNLOAD_AGAIN
    )


def line_blocks(chunks: Iterator[bytes], target: int) -> Iterator[bytes]:
    """Cut a byte stream into blocks of whole lines, about `target` bytes each.

    A line break is appended if the last line has none. Raises SourceError if a whole block has
    none, or more than bars can have.
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
            raise SourceError(
                f"no line break in {len(block) >> 20} MiB: not a text of bars",
                remedy=DOWNLOAD_AGAIN,
            )
        if (lines := block.count(b"\n")) * _SHORTEST_BAR > cut:
            raise SourceError(
                f"{lines:,} line breaks in {len(block) >> 20} MiB: not a text of bars",
                remedy=DOWNLOAD_AGAIN,
            )
        yield block[:cut]
        parts, nbytes = [block[cut:]], nbytes - cut
    if nbytes:
        block = b"".join(parts)
        yield block if block.endswith(b"\n") else block + b"\n"
