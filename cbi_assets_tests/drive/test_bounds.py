"""Whatever is on the drive, reading it ends, and takes little memory."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import databento
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from cbi_assets.drive import landing, pieces, streams
from cbi_assets.drive.canonical import MAX_RAW, FileContext
from cbi_assets.drive.formats import FileFormat, TextFormat, sniff
from cbi_assets.drive.pieces import pieces_of
from cbi_assets.drive.streams import (
    CHUNK,
    MAX_LINE,
    MAX_SIDECAR,
    SourceStream,
    decompress,
    open_file,
)
from cbi_assets.drive.survey import Survey
from cbi_assets.drive.walk import MAX_DEPTH, Entry
from cbi_assets.errors import SourceError, UnreadableError
from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import zip_of
from cbi_assets_tests.helpers import (
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    take_inventory,
    text_file,
)

GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
SYSTEM_FOLDERS = (
    "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "RECYCLED", "lost+found", "FOUND.000", "found.012",
    "Backups.backupdb", "System Volume Information", "@Recycle", "#recycle", "@eaDir", "__MACOSX",
    "$WinREAgent", "Recycle Bin", "Trash-1000", "LOST.DIR", "recup_dir.1", "@Recently-Snapshot",
    "2026-01-31-120000.backup", ".Trashes", ".Trash-1000", ".Spotlight-V100", ".fseventsd",
    ".TemporaryItems", ".DocumentRevisions-V100",
)  # fmt: skip
AGAIN = "Download the file again."
EXPANDS = f"expands to more than 200 times its size: not bars. {AGAIN}"


def skipped(survey: Survey) -> dict[str, str]:
    return {item.path: item.reason for item in survey.skipped}


def test_special_files_are_named_and_not_opened(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(drive / "a.json")
    (drive / "device.dbn").symlink_to("/dev/zero")
    (drive / "loop.dbn").symlink_to(drive / "loop.dbn")
    monkeypatch.chdir(drive)  # a socket's path has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.dbn")
    put_job(drive, {"good.dbn": dbn_file(GOOD)}, sidecars=("metadata", "symbology"))
    os.mkfifo(drive / "GLBX-20250101-0123456789.fifo")
    outcome = load_once(project)
    assert skipped(outcome.survey) == {
        "GLBX-20250101-0123456789.fifo": "a named pipe, not a regular file: not read.",
        "a.json": "a named pipe, not a regular file: not read.",
        "device.dbn": "a device, not a regular file: not read.",
        "loop.dbn": "a link that leads back to itself: not read.",
        "socket.dbn": "a socket, not a regular file: not read.",
    }
    assert not outcome.has_failures
    assert published(project) == GOOD_ROWS


def test_opening_a_pipe_that_was_listed_as_a_file_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "a.dbn"
    os.mkfifo(pipe)
    entry = Entry("drive", "a.dbn", pipe, 0, 0)
    with pytest.raises(UnreadableError, match="not a regular file"), open_file(entry):
        pass


def test_links_to_folders_are_named_and_links_to_files_are_read(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "good.dbn").write_bytes(dbn_file(GOOD))
    (drive / "good.dbn").symlink_to(outside / "good.dbn")
    (drive / "outside").symlink_to(outside)
    (drive / "loop").symlink_to(drive)
    outcome = load_once(project)
    assert skipped(outcome.survey) == {
        "loop": f"a link to the folder {drive}: not followed.",
        "outside": (
            f"a link to the folder {outside}: not followed. Copy the folder here to load its files."
        ),
    }
    assert published(project) == GOOD_ROWS


def test_system_and_trash_folders_are_passed_over(project: Project, drive: Path) -> None:
    for n, name in enumerate(SYSTEM_FOLDERS):
        folder = drive / ("deep" if n % 2 else "") / name / "S-1-5-21"
        folder.mkdir(parents=True)
        (folder / f"{NAME}.ohlcv-1h.dbn").write_bytes(dbn_file(bars(n + 1)))
    in_zip = {f"{name}/a.ohlcv-1h.dbn": dbn_file(bars(24)) for name in SYSTEM_FOLDERS}
    (drive / "job.zip").write_bytes(zip_of(in_zip | {"job/good.dbn": dbn_file(GOOD)}))
    outcome = load_once(project)
    assert [f.path for f in outcome.survey.files] == ["job.zip", "job.zip!/job/good.dbn"]
    listed = {u.path.removeprefix("deep/"): u.reason for u in outcome.survey.unlisted}
    assert listed == {
        name: f"{'hidden' if name.startswith('.') else 'system'} folder, not read"
        for name in SYSTEM_FOLDERS
    }
    assert not outcome.has_failures
    assert published(project) == GOOD_ROWS


def test_deep_folders_are_named_and_the_rest_loads(project: Project, drive: Path) -> None:
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    folder = drive
    for _ in range(MAX_DEPTH + 40):
        folder /= "d"
    folder.mkdir(parents=True)
    (folder / "a.dbn").write_bytes(dbn_file(bars(24)))
    outcome = load_once(project)
    [item] = outcome.survey.unreadable
    assert item.path == "/".join("d" * (MAX_DEPTH + 1))
    assert item.reason == f"more than {MAX_DEPTH} folders deep: not read. Move its files up."
    assert outcome.has_failures
    assert published(project) == GOOD_ROWS


def test_sidecar_is_not_read_if_it_is_larger_than_any_genuine_one(
    project: Project, drive: Path
) -> None:
    folder = put_job(drive, {"good.dbn": dbn_file(GOOD)}, sidecars=("metadata", "symbology"))
    with (folder / "symbology.json").open("r+b") as file:
        file.truncate(MAX_SIDECAR + 1)
    (drive / "job.zip").write_bytes(
        zip_of({"condition.json": b" " * (MAX_SIDECAR + 1), "a.dbn": dbn_file(GOOD)})
    )
    survey = take_inventory(project)
    reasons = {file.path: file.reason for file in survey.files if file.verdict == "sidecar"}
    for path in (f"{folder.name}/symbology.json", "job.zip!/condition.json"):
        assert "(larger than 16 MiB): it was ignored" in reasons[path]
    assert load_once(project).published == 5


@pytest.mark.sampled(1)
@pytest.mark.parametrize("suffix", ["dbn", "json", "csv"])
def test_zstd_file_is_refused_if_it_expands_beyond_reason(
    project: Project, drive: Path, suffix: str
) -> None:
    start = dbn_file(GOOD, zstd=False) if suffix == "dbn" else text_file(GOOD, suffix)
    filler = b"\n" if suffix != "dbn" else b"\0"
    name = f"{NAME}.ohlcv-1h.{suffix}.zst"
    (drive / name).write_bytes(zstandard.compress(start + filler * (256 << 20)))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    assert refusals(load_once(project)) == {name: EXPANDS}
    assert published(project) == GOOD_ROWS


def test_decompress_returns_bounded_pieces() -> None:
    """Feed noise before the zeros, so that the ratio over the whole stream stays small."""
    noise = os.urandom(1 << 20)
    data = zstandard.compress(noise + bytes(128 << 20))
    lengths = [len(piece) for piece in decompress(iter([data]))]
    assert sum(lengths) == len(noise) + (128 << 20)
    assert max(lengths) <= CHUNK


def test_zip_member_loads_only_if_its_compression_can_be_bounded(
    project: Project, drive: Path
) -> None:
    def zipped(data: bytes, method: int) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("a.ohlcv-1h.json", data)
        return out.getvalue()

    good = text_file(GOOD)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        (drive / f"{method}.zip").write_bytes(zipped(good, method))
    bomb = zipped(good + b"\n" * (64 << 20), zipfile.ZIP_DEFLATED)
    (drive / "bomb.zip").write_bytes(bomb)
    outcome = load_once(project)
    unread = "the zip compresses it by method {}, which is not read. Zip it again with deflate."
    assert refusals(outcome) == {
        "bomb.zip!/a.ohlcv-1h.json": EXPANDS,
        "12.zip!/a.ohlcv-1h.json": unread.format(12),
        "14.zip!/a.ohlcv-1h.json": unread.format(14),
    }
    bars_files = {file.path for file in outcome.survey.files if file.verdict == "bars"}
    assert bars_files == {f"{method}.zip!/a.ohlcv-1h.json" for method in (0, 8)}
    assert published(project) == GOOD_ROWS


@pytest.mark.full
def test_zip_member_is_bounded_if_the_zip_understates_its_size(
    project: Project, drive: Path
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ohlcv-1h.json", text_file(GOOD) + b"\n" * (64 << 20))
        true_size = archive.infolist()[0].file_size.to_bytes(4, "little")
    lie = (1 << 20).to_bytes(4, "little")
    assert out.getvalue().count(true_size) == 2  # in the member's header, and in the directory
    (drive / "job.zip").write_bytes(out.getvalue().replace(true_size, lie))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    [(path, reason)] = refusals(load_once(project)).items()
    assert path == "job.zip!/a.ohlcv-1h.json"
    assert reason.startswith("the zip is damaged here: Bad CRC-32")
    assert published(project) == GOOD_ROWS


def test_zip_is_refused_if_its_directory_is_longer_than_any_genuine_one(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_ZIP_DIRECTORY", 1 << 20)
    few = zip_of({f"{n:0>200}.txt": b"" for n in range(4)})
    many = zip_of({f"{n:0>30000}.txt": b"" for n in range(40)})
    (drive / "few.zip").write_bytes(few)
    (drive / "many.zip").write_bytes(many)
    reason = "the zip cannot be opened: its list of files is larger than 1 MiB."
    outcome = load_once(project)
    assert refusals(outcome)["many.zip"] == f"{reason} Download the zip again."
    assert "few.zip" not in refusals(outcome)


def test_text_is_refused_if_its_lines_are_shorter_than_bars(project: Project, drive: Path) -> None:
    """Nine million blank lines would otherwise take the memory and the time of as many bars."""
    (drive / "a.ohlcv-1h.json").write_bytes(text_file(GOOD) + b"\n" * (9 << 20))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    [(path, reason)] = refusals(load_once(project)).items()
    assert path == "a.ohlcv-1h.json"
    assert reason.endswith(f"line breaks in 8 MiB: not a text of bars. {AGAIN}")
    assert published(project) == GOOD_ROWS


@pytest.mark.full
def test_packs_are_cut_by_size_as_well_as_by_records(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quarantined records carry their text, so few of them can take much memory."""
    monkeypatch.setattr(landing, "PACK_BYTES", 1000)
    monkeypatch.setattr(landing, "BATCH_BYTES", 1)
    for symbol in ("ZL.v.0", "ZS.v.0"):
        (drive / f"{symbol}.ohlcv-1h.dbn").write_bytes(dbn_file(bars(24, symbol)))
    load_once(project)
    assert len(list(project.home.landing.glob("*/*.parquet"))) == 2


def with_long_symbol(scratch: Path, encoding: str, length: int) -> bytes:
    """Return a file of 24 bars, the symbol of every second one being of this length."""
    if encoding == "parquet":
        databento.DBNStore.from_bytes(dbn_file(bars(24))).to_parquet(scratch, map_symbols=True)
        table = pq.read_table(scratch)
        names = pa.array(["ZL.v.0", "Z" * length])
        symbols = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 12, pa.int32()), names)
        at = table.schema.get_field_index("symbol")
        out = io.BytesIO()
        pq.write_table(table.set_column(at, "symbol", symbols), out, store_schema=False)
        return out.getvalue()
    lines = text_file(bars(24), encoding).splitlines(keepends=True)
    first = 2 if encoding == "csv" else 1
    lines[first::2] = [line.replace(b"ZL.v.0", b"Z" * length) for line in lines[first::2]]
    return b"".join(lines)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("encoding", ["json", "csv", "parquet"])
@pytest.mark.parametrize("length", [72, 60_000])
def test_record_is_quarantined_if_its_symbol_is_longer_than_any(
    project: Project, drive: Path, tmp_path: Path, encoding: str, length: int
) -> None:
    """A file of many would otherwise take its size in memory several times over."""
    data = with_long_symbol(tmp_path / "a.parquet", encoding, length)
    (drive / f"a.ohlcv-1h.{encoding}").write_bytes(data)
    load_once(project)
    found = query(project, "SELECT reason, LENGTH(record) AS n FROM `ops.quarantined_bars`")
    assert set(found["reason"]) == {f"symbol '{'Z' * 72}' is too long"}
    assert found.height == 12
    assert found["n"].max() <= MAX_RAW + len("… (60,300 characters)")
    assert published(project) == expected_rows(bars(24))[::2]


def test_text_is_refused_if_a_line_is_longer_than_any_record(project: Project, drive: Path) -> None:
    lines = text_file(bars(24)).splitlines(keepends=True)
    lines[3] = lines[3][:-2] + b" " * MAX_LINE + b"}\n"
    (drive / "a.json").write_bytes(b"".join(lines))
    (drive / "endless.json").write_bytes(lines[0] + b"{" * (9 << 20))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    assert refusals(load_once(project)) == {
        "a.json": f"line 4 is longer than 128 KiB: not a record. {AGAIN}",
        "endless.json": f"no line break in 8 MiB: not a text of bars. {AGAIN}",
    }
    assert published(project) == GOOD_ROWS


def test_pieces_have_bounded_record_counts_if_lines_are_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "_RECORDS", 10)
    data = text_file(bars(3)) + b"\n" * 35
    text = TextFormat((), pretty_px=True, pretty_ts=True, has_symbol=True)
    json_format = FileFormat("json", "none", "ohlcv-1h", 34, text=text)
    source = SourceStream(io.BytesIO(data), len(data))
    parts = list(pieces_of(json_format, FileContext(1, None, None), source))
    assert [(part.piece.first, part.piece.count) for part in parts] == [
        (1, 10), (11, 10), (21, 10), (31, 8)
    ]  # fmt: skip
    assert b"".join(part.piece.payload for part in parts) == data
    assert all(part.nbytes >= 100 * part.piece.count for part in parts)


def test_dbn_is_refused_if_its_header_states_an_absurd_length() -> None:
    head = b"DBN\x03\xff\xff\xff\xff" + bytes(1000)
    for data in (head, zstandard.compress(head)):
        assert sniff(data).reason == f"unreadable DBN header (4,294,967,303 bytes long). {AGAIN}"


def test_source_without_an_end_is_refused() -> None:
    with open("/dev/zero", "rb", buffering=0) as endless:
        source = SourceStream(endless, expected_size=100)
        with pytest.raises(SourceError, match="continues after the size"):
            source.drain()
