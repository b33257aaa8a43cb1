"""What looks like bars and cannot be read is refused and named, and never ignored."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
from pathlib import Path

import polars as pl
import pytest
import zstandard

from cbi_assets.drive.formats import FileFormat, sniff
from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import zip_of
from cbi_assets_tests.helpers import (
    JOB,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    refusals,
    take_inventory,
    text_file,
)

RECORDS = bars(3)
GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
AGAIN = "Download the file again."
DBN, ZSTD = dbn_file(RECORDS, zstd=False), dbn_file(RECORDS)
JSON, CSV = text_file(RECORDS), text_file(RECORDS, "csv")
SKIPPED = struct.pack("<II", 0x184D2A5F, 3) + b"cbi"
UTF8_MARK = b"\xef\xbb\xbf"


def tar_of(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.dbn")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unread(name: str) -> str:
    return f"{name}, which is not read. Decompress it into its job's folder."


NOT_LINES = f"records in JSON, but not one per line as Databento writes them. {AGAIN}"
NOT_CSV = f"columns of bars, but not a CSV as Databento writes it. {AGAIN}"
UTF16 = "UTF-16 text, which is not read. Download the file again, or save it as UTF-8."
ARRAY = json.dumps([json.loads(line) for line in JSON.splitlines()])

LOOKALIKES = [
    (gzip.compress(JSON), unread("gzip")),
    (bz2.compress(JSON), unread("bzip2")),
    (lzma.compress(JSON), unread("xz")),
    (tar_of(DBN), "a tar archive, which is not read. Unpack it."),
    (b"\xff\xfe" + CSV.decode().encode("utf-16-le"), UTF16),
    (b"\xfe\xff" + JSON.decode().encode("utf-16-be"), UTF16),
    (ARRAY.encode(), NOT_LINES),
    (json.dumps(json.loads(JSON.splitlines()[0]), indent=2).encode(), NOT_LINES),
    (zstandard.compress(ARRAY.encode()), NOT_LINES),
    (b"X" + JSON[1:], NOT_LINES),
    (JSON[1:], NOT_LINES),
    (CSV.replace(b",", b";"), NOT_CSV),
    (CSV.replace(b",", b"\t"), NOT_CSV),
    (CSV.replace(b",", b", "), NOT_CSV),
    (CSV.partition(b"\n")[2], f"a CSV of bars without its header. {AGAIN}"),
    (b"ABN" + DBN[3:], f"it starts like DBN, with a damaged byte. {AGAIN}"),
    (b"\x29" + ZSTD[1:], f"it starts like zstd, with a damaged byte. {AGAIN}"),
    (b"QK\x03\x04" + bytes(30), f"it starts like a zip, with a damaged byte. {AGAIN}"),
    (b"QAR1\x15" + bytes(30), f"it starts like Parquet, with a damaged byte. {AGAIN}"),
    (zstandard.compress(b"not bars"), "zstd, but not of bars"),
    (UTF8_MARK + b"not bars", "a text with a byte order mark, but not of bars"),
    (SKIPPED, f"the file is empty. {AGAIN}"),
    (SKIPPED[:-1], f"truncated: it ends inside a zstd frame. {AGAIN}"),
]


@pytest.mark.parametrize(("data", "reason"), LOOKALIKES)
def test_sniff_refuses_what_starts_like_bars(data: bytes, reason: str) -> None:
    found = sniff(data)
    assert not isinstance(found, FileFormat)
    assert (found.verdict, found.reason) == ("refused", reason)


NOT_BARS = [
    b"DBA's notes: ts_event, rtype and publisher_id are columns",
    b"PARTS list: 1 bolt",
    b"ZIP codes",
    b'{"name": "notes", "ts_event": 3}',
    b'{"cells": [{"source": "pl.col(\\"ts_event\\"): 1, \\"rtype\\": 2"}]}',
    b"[1, 2, 3]",
    b"Date;Open;High;Low;Close\n2025-01-06;1;2;0;1\n",
    b"date;open;high;low;close\n2025-01-06;1;2;0;1\n",
    bytes(512),
]


@pytest.mark.parametrize("data", NOT_BARS)
def test_sniff_ignores_what_only_resembles_bars(data: bytes) -> None:
    found = sniff(data)
    assert not isinstance(found, FileFormat)
    assert found.verdict == "other"


def test_lookalikes_fail_the_load_and_the_rest_loads(project: Project, drive: Path) -> None:
    claim = "but its content is not bars"
    other = "not a format of Databento's"
    parquet = io.BytesIO()
    pl.DataFrame({"date": ["2025-01-06"]}).write_parquet(parquet)
    of_parquet = "Parquet of another source (1 rows: date …)"
    files = {
        "a.ohlcv-1h.dbn.zst": (b"<html>Link expired</html>", other),
        "a.OHLCV-1h.json": (b'{"detail": "Not found"}', "JSON, but not Databento's records"),
        "a.dbn": (bytes(100), other),
        "b.dbn.zst": (b"x" * 100, other),
        "a.parquet": (b"x" * 100, other),
        "a.zip": (b"x" * 100, other),
        "b.ohlcv-1h.parquet": (parquet.getvalue(), of_parquet),
    }
    for name, (data, _) in files.items():
        (drive / name).write_bytes(data)
    (drive / "c.parquet").write_bytes(parquet.getvalue())
    (drive / "notes.txt").write_bytes(b"<html>Link expired</html>")
    (drive / "outer.zip").write_bytes(zip_of({"inner.zip": zip_of({"a.dbn": DBN})}))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    (drive / ".a.dbn.zst.icloud").write_bytes(b"bplist00")
    (drive / ".holiday.jpg.icloud").write_bytes(b"bplist00")
    outcome = load_once(project)
    assert outcome.has_failures
    assert refusals(outcome) == {
        name: f"named like a file of bars, {claim} ({why}). {AGAIN}"
        for name, (_, why) in files.items()
    } | {"outer.zip!/inner.zip": "a zip inside a zip. Unpack it."}
    assert [(item.path, item.reason) for item in outcome.survey.unreadable] == [
        (
            ".a.dbn.zst.icloud",
            "a.dbn.zst is in iCloud, and only a placeholder is here. Download it.",
        )
    ]
    ignored = {f.path for f in outcome.survey.files if f.verdict == "other"}
    assert ignored == {"c.parquet", "notes.txt"}
    assert published(project) == GOOD_ROWS


def test_listed_file_is_refused_whatever_its_bytes_look_like(project: Project, drive: Path) -> None:
    """The bytes are compared with the manifest before anything else is said about them."""
    harmed = {
        "nul.dbn.zst": bytes(len(ZSTD)),
        "first.dbn": b"\0\0\0\0" + DBN[4:],
        "page.dbn.zst": b"<html>Link expired</html>",
        "error.json": b'{"detail": "Not found"}',
        "nul.csv": bytes(len(CSV)),
        "other.parquet": b"PAR1",
        "zipped.csv": zip_of({"a.csv": CSV}),
        "foreign.dbn": dbn_file(RECORDS, "trades", zstd=False),
    }
    intact = {"json": JSON, "csv": CSV, "zst": ZSTD, "parquet": b"PAR1PAR1"}
    listed = {name: intact.get(name.rpartition(".")[2], DBN) for name in harmed}
    folder = put_job(drive, {**listed, "good.dbn": dbn_file(GOOD), "read.me": b"no bars"})
    for name, data in harmed.items():
        (folder / name).write_bytes(data)
    reasons = refusals(load_once(project))
    assert reasons.pop(f"{JOB}/read.me") == (
        "manifest.json lists it, but its content is not bars (not a format of Databento's). "
        f"{AGAIN}"
    )
    assert reasons.keys() == {f"{JOB}/{name}" for name in harmed}
    for name in harmed:
        reason = reasons[f"{JOB}/{name}"]
        same_size = len(harmed[name]) == len(listed[name])
        assert reason.startswith(
            "its sha256 differs from the one in manifest.json"
            if same_size
            else f"{len(harmed[name])} bytes, but manifest.json lists {len(listed[name])}."
        )
    assert published(project) == GOOD_ROWS


def test_refused_file_keeps_the_hash_of_its_bytes(project: Project, drive: Path) -> None:
    (drive / "a.dbn").write_bytes(DBN[:-1])
    (drive / "b.dbn").write_bytes(bytes(100))
    found = {f.path: f.source_file_id for f in take_inventory(project).files}
    # The sha256 of 100 NUL bytes, by `head -c 100 /dev/zero | sha256sum`.
    nuls = "cd00e292c5970d3c5e2f0ffa5171e555bc46bfc4faddfb4a418b6840b86e79a3"
    assert found["b.dbn"] == nuls
    assert found["a.dbn"] is not None


def test_byte_order_mark_and_skippable_frames_are_read(project: Project, drive: Path) -> None:
    hour = [RECORDS[n : n + 1] for n in range(3)]
    long_frame = struct.pack("<II", 0x184D2A50, 3 << 20) + bytes(3 << 20)
    files = {
        "a.csv": UTF8_MARK + text_file(hour[0], "csv"),
        "b.json.zst": SKIPPED + zstandard.compress(UTF8_MARK + text_file(hour[1])),
        "c.dbn.zst": long_frame + SKIPPED + dbn_file(hour[2]) + SKIPPED,
    }
    put_job(drive, files)
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert published(project) == expected_rows(RECORDS)
    assert not outcome.has_failures
