"""Files that are no files, names that no vendor gives, archives in archives, and bombs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import socket
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from cbi_assets_tests.fuzz.good_jobs import STEM, encode, zip_of

Place = Callable[[Path], object]

_ZEROS = 3 << 30


def _listen(path: Path) -> None:
    """Leave a socket at `path`; its name may be longer than an address of one may be."""
    with (
        contextlib.chdir(path.parent),
        contextlib.closing(socket.socket(socket.AF_UNIX)) as listening,
    ):
        listening.bind("s")
        os.rename("s", path.name)


def _nest(folder: Path, depth: int) -> None:
    """Make folders in folders, one at a time, as their path exceeds what one call may be given."""
    with contextlib.chdir(folder.parent):
        for number in range(depth):
            name = folder.name if number == 0 else "d"
            os.mkdir(name)
            os.chdir(name)
        Path(f"{STEM}.dbn.zst").write_bytes(encode("dbn.zst"))


def _sparse(path: Path, head: bytes) -> None:
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(_ZEROS)


def _write(name: bytes, folder: Path) -> None:
    (folder / os.fsdecode(name)).write_bytes(b"x")


# Beside the intact job: what is none of its files.
PLACES: dict[str, Place] = {
    "a named pipe": lambda f: os.mkfifo(f / f"{STEM}.pipe.dbn.zst"),
    "a named pipe as manifest": lambda f: (os.mkfifo(f / "manifest.json")),
    "a socket": lambda f: _listen(f / f"{STEM}.socket.dbn"),
    "a link to zeros": lambda f: (f / f"{STEM}.zeros.dbn").symlink_to("/dev/zero"),
    "a link to nothing": lambda f: (f / f"{STEM}.null.dbn").symlink_to("/dev/null"),
    "a link to a terminal": lambda f: (f / f"{STEM}.tty.dbn").symlink_to("/dev/tty"),
    "a link to nowhere": lambda f: (f / f"{STEM}.gone.dbn").symlink_to("nowhere"),
    "a link to itself": lambda f: (f / f"{STEM}.self.dbn").symlink_to(f"{STEM}.self.dbn"),
    "links in a circle": lambda f: ((f / "a").symlink_to("b"), (f / "b").symlink_to("a")),
    "a link to its folder": lambda f: (f / "again").symlink_to("."),
    "a link to the drive": lambda f: (f / "up").symlink_to(".."),
    "a link to the system": lambda f: (f / "proc").symlink_to("/proc/self"),
    "a folder named as bars": lambda f: (f / f"{STEM}.folder.dbn.zst").mkdir(),
    "folders 100 deep": lambda f: _nest(f / "deep", 100),
    "folders 1,500 deep": lambda f: _nest(f / "deep", 1_500),
    "a name of 255 bytes": lambda f: (f / ("x" * 255)).write_bytes(b"x"),
    "a name with a line break": lambda f: (f / f"a\nb.{STEM}.dbn").write_bytes(b"x"),
    "a name that moves the cursor": lambda f: (f / f"\x1b[2J.{STEM}.dbn").write_bytes(b"x"),
    "a name that is not UTF-8": lambda f: _write(b"\xff\xfe.ohlcv-1h.dbn", f),
    "a name from right to left": lambda f: (f / f"\u202e{STEM}.dbn").write_bytes(b"x"),
    "a path of markup": lambda f: (
        (f / "[red]a[").mkdir(), (f / "[red]a[" / f"nothing].{STEM}.dbn").write_bytes(b"x")
    ),
    "an iCloud placeholder": lambda f: (f / f".{STEM}.cloud.dbn.zst.icloud").write_bytes(b"x"),
    "a partial download": lambda f: (f / f"{STEM}.x.dbn.zst.crdownload").write_bytes(b"x"),
    "a resource fork": lambda f: (f / f"._{STEM}.dbn.zst").write_bytes(b"\0\5\x16\7" + bytes(99)),
    "a device that is full": lambda f: (f / f"{STEM}.full.dbn").symlink_to("/dev/full"),
}  # fmt: skip


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _zip_of_twins(data: bytes) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(f"{STEM}.dbn.zst", data)
        archive.writestr(f"{STEM}.dbn.zst", encode("dbn.zst", other=True))
    return out.getvalue()


def _encrypted(data: bytes) -> bytes:
    """Return a zip that claims to be encrypted, in both of its directories."""
    return (
        data[:6] + bytes([data[6] | 1]) + data[7:]
    ).replace(b"PK\1\2\x14\0\x14\0\0\0", b"PK\1\2\x14\0\x14\0\1\0")  # fmt: skip


def _compress_zeros(head: bytes, count: int) -> bytes:
    """Compress `head` and then zeros with zstd, without ever having them all."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        writer.write(head)
        block = bytes(1 << 20)
        for _ in range(count >> 20):
            writer.write(block)
    return out.getvalue()


def _repeated(block: bytes, times: int, level: int = 3) -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor(level=level).stream_writer(out, closefd=False) as writer:
        for _ in range(times):
            writer.write(block)
    return out.getvalue()


def _zip_bomb(name: str) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        for _ in range(1_500):
            member.write(bytes(1 << 20))
    return out.getvalue()


def containers() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield a label, a file's ending and its bytes: archives and compressions of bars."""
    dbn, compressed, csv, json = encode("dbn"), encode("dbn.zst"), encode("csv"), encode("json")
    skippable = b"\x50\x2a\x4d\x18\x08\0\0\0databent"
    yield "skippable frame first", "dbn.zst", lambda: skippable + compressed
    yield "skippable frame last", "dbn.zst", lambda: compressed + skippable
    yield "skippable frames only", "dbn.zst", lambda: skippable * 3
    yield "skippable frame cut", "dbn.zst", lambda: skippable[:10]
    yield (
        "a skippable frame of 4 GiB",
        "dbn.zst",
        lambda: b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + compressed,
    )
    yield "zstd in zstd", "dbn.zst", lambda: zstandard.compress(compressed)
    yield "gzip of DBN", "dbn.gz", lambda: gzip.compress(dbn)
    yield "bzip2 of CSV", "csv.bz2", lambda: bz2.compress(csv)
    yield "xz of CSV", "csv.xz", lambda: lzma.compress(csv)
    yield "an old lzma of CSV", "csv.lzma", lambda: lzma.compress(csv, lzma.FORMAT_ALONE)
    yield "a tar", "tar", lambda: _tar({f"{STEM}.dbn.zst": compressed})
    yield "a tar in gzip", "tar.gz", lambda: gzip.compress(_tar({f"{STEM}.csv": csv}))
    yield (
        "a zip in a zip",
        "zip",
        lambda: zip_of({"job.zip": zip_of({f"{STEM}.dbn.zst": compressed})}),
    )
    yield "a zip of twins", "zip", lambda: _zip_of_twins(compressed)
    yield "a zip with backslashes", "zip", lambda: zip_of({f"job\\{STEM}.dbn.zst": compressed})
    yield "a zip leading outside", "zip", lambda: zip_of({f"../{STEM}.dbn.zst": compressed})
    yield "a zip from the root", "zip", lambda: zip_of({f"/{STEM}.dbn.zst": compressed})
    yield "a zip with a drive", "zip", lambda: zip_of({f"C:\\{STEM}.dbn.zst": compressed})
    yield "a zip of nothing", "zip", lambda: zip_of({})
    yield (
        "a zip with a comment before",
        "zip",
        lambda: b"#!/bin/sh\n" + zip_of({f"{STEM}.csv": csv}),
    )
    yield "an encrypted zip", "zip", lambda: _encrypted(zip_of({f"{STEM}.dbn.zst": compressed}))
    yield "a zip without its directory", "zip", lambda: zip_of({f"{STEM}.csv": csv})[:-80]
    yield "JSON named as DBN", "dbn.zst", lambda: json
    yield "DBN named as JSON", "json", lambda: dbn
    yield "CSV named as Parquet", "parquet", lambda: csv
    yield "a page of HTML", "csv", lambda: b"<!DOCTYPE html><title>403 Forbidden</title>"
    yield "zeros", "dbn", lambda: bytes(100_000)
    yield "random bytes", "dbn.zst", lambda: bytes(i * 7919 % 251 for i in range(5_000))


def bombs() -> Iterator[tuple[str, str, Place]]:
    """Yield a label, a file's ending, and what writes a small file that becomes a large one."""
    dbn, line = encode("dbn"), encode("json").splitlines()[0]
    start = len(dbn) - 24 * 56

    def of(make: Callable[[], bytes]) -> Place:
        return lambda path: path.write_bytes(make())

    yield "3 GiB of zeros in DBN", "dbn.zst", of(lambda: _compress_zeros(dbn, _ZEROS))
    yield (
        "a DBN header of 3 GiB",
        "dbn.zst",
        of(lambda: _compress_zeros(b"DBN\3" + (_ZEROS - 8).to_bytes(4, "little"), _ZEROS)),
    )
    yield (
        "1 GiB of line breaks in JSON",
        "json.zst",
        of(lambda: _repeated(b"\n" * (1 << 20), 1_024)),
    )
    yield (
        "1 GiB of line breaks in CSV",
        "csv.zst",
        of(lambda: _repeated(encode("csv")[:200], 1) + _repeated(b"\n" * (1 << 20), 1_024)),
    )
    yield "a line of 1 GiB", "json.zst", of(lambda: _repeated(b"{" + b" " * (1 << 20), 1_024))
    yield (
        "a CSV line of 1 GiB",
        "csv.zst",
        of(lambda: _repeated(encode("csv")[:90], 1) + _repeated(b"1," * (1 << 19), 1_024)),
    )
    yield (
        "a string of 1 GiB",
        "json.zst",
        of(
            lambda: (
                _repeated(line[:-2], 1) + _repeated(b"A" * (1 << 20), 1_024) + _repeated(b'"}\n', 1)
            )
        ),
    )
    yield "2 million short lines", "json.zst", of(lambda: _repeated(b"{}\n" * 20_000, 100))
    yield (
        "2 million broken lines",
        "csv.zst",
        of(
            lambda: (
                _repeated(encode("csv")[: encode("csv").index(b"\n") + 1], 1)
                + _repeated(b"x\n" * 20_000, 100)
            )
        ),
    )
    yield "1.5 GiB in a zip", "zip", of(lambda: _zip_bomb(f"{STEM}.dbn"))
    yield "a manifest of 1.5 GiB in a zip", "zip", of(lambda: _zip_bomb("manifest.json"))
    yield "gzip of 1 GiB", "csv.gz", of(lambda: gzip.compress(encode("csv") + bytes(1 << 30), 1))
    yield "a sparse DBN of 3 GiB", "dbn", lambda path: _sparse(path, dbn[:start])
    yield "a sparse CSV of 3 GiB", "csv", lambda path: _sparse(path, encode("csv"))
    yield (
        "a window of 2 GiB",
        "dbn.zst",
        of(lambda: b"\x28\xb5\x2f\xfd\x00\xa8" + encode("dbn.zst")[6:]),
    )
