"""Each damaged file is refused with the reason in one line, and its siblings load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import parquet_variants, zip_of
from cbi_assets_tests.helpers import (
    JOB,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    table,
    text_file,
)

RECORDS = bars(24)
GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_NAME = f"{NAME}.ohlcv-1h.ZS.v.0.dbn.zst"
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
PLAIN = dbn_file(RECORDS, zstd=False)
FRAMES = dbn_file(RECORDS, frame_records=6)
CHECKSUMMED = zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)
HEADER_BYTES = len(PLAIN) - 24 * 56


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def frame_starts(data: bytes) -> list[int]:
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        frame = zstandard.ZstdDecompressor().decompressobj()
        frame.decompress(data[at:])
        at = len(data) - len(frame.unused_data)
    return starts


def without_column(data: bytes, name: str) -> bytes:
    lines = [line.split(b",") for line in data.splitlines()]
    at = lines[0].index(name.encode())
    return b"\n".join(b",".join(line[:at] + line[at + 1 :]) for line in lines) + b"\n"


def wrong_length(data: bytes) -> bytes:
    """Return DBN bytes whose third record has the length of a longer one."""
    at = HEADER_BYTES + 2 * 56
    return data[:at] + b"\x10" + data[at + 1 :]


def assert_only_the_good_file_loads(project: Project, reasons: dict[str, str]) -> None:
    outcome = load_once(project)
    assert refusals(outcome) == reasons
    for reason in reasons.values():
        assert "\n" not in reason
    assert published(project) == GOOD_ROWS
    assert outcome.has_failures
    files = query(project, "SELECT path, records, status FROM `ops.source_files`")
    assert [(row[0].rpartition("/")[2], *row[1:]) for row in files.rows()] == [
        (GOOD_NAME, 5, "loaded")
    ]
    assert query(project, "SELECT * FROM `ops.quarantined_bars`").is_empty()


AGAIN = "Download the file again."
MID_FRAME = f"truncated: it ends inside a zstd frame. {AGAIN}"
SHA = (
    f"its sha256 differs from the one in manifest.json: the bytes were changed or damaged. {AGAIN}"
)

SIZES = f"{{}} bytes, but manifest.json lists {{}}. {AGAIN}"

BROKEN = [
    ("dbn.zst", FRAMES[: frame_starts(FRAMES)[-1] + 9], MID_FRAME),
    ("dbn.zst", FRAMES[: frame_starts(FRAMES)[0] + 9], MID_FRAME),
    ("dbn.zst", dbn_file(RECORDS)[:-1], MID_FRAME),
    ("dbn", PLAIN[:-1], f"truncated: it ends inside record 24. {AGAIN}"),
    ("dbn", PLAIN[: -56 * 20 - 3], f"truncated: it ends inside record 4. {AGAIN}"),
    ("dbn", PLAIN[:100], f"truncated: it ends inside the DBN header. {AGAIN}"),
    ("dbn", wrong_length(PLAIN), f"damaged DBN: record 3 is 64 bytes long, a bar is 56. {AGAIN}"),
    ("json.zst", text_file(RECORDS, zstd=True)[:-5], MID_FRAME),
    (
        "csv",
        without_column(text_file(RECORDS, "csv"), "volume"),
        f"the CSV has no column volume. {AGAIN}",
    ),
    (
        "csv",
        text_file(RECORDS, "csv").splitlines()[0] + b"\n",
        f"a CSV header without a readable record. {AGAIN}",
    ),
    ("dbn.zst", b"", f"the file is empty. {AGAIN}"),
    ("json.zst", zstandard.compress(b""), f"the file is empty. {AGAIN}"),
]


def test_file_is_refused_with_reason_if_structure_is_damaged(project: Project, drive: Path) -> None:
    files = {f"{NAME}-{n}.{suffix}": data for n, (suffix, data, _) in enumerate(BROKEN)}
    put_job(drive, files | {GOOD_NAME: dbn_file(GOOD)}, sidecars=("metadata", "symbology"))
    reasons = {f"{JOB}/{name}": reason for name, (_, _, reason) in zip(files, BROKEN, strict=True)}
    assert_only_the_good_file_loads(project, reasons)


def decompresses(data: bytes) -> bool:
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data) == PLAIN
    except zstandard.ZstdError:
        return False


@pytest.mark.full
def test_file_is_refused_exactly_if_zstd_detects_the_flipped_byte(
    project: Project, drive: Path
) -> None:
    """Flip each byte of a file with a checksum but no manifest; zstd ignores a few bits."""
    damaged = {f"{at}.dbn.zst": flipped(CHECKSUMMED, at) for at in range(6, len(CHECKSUMMED))}
    for name, data in damaged.items():
        (drive / name).write_bytes(data)
    (drive / GOOD_NAME).write_bytes(dbn_file(GOOD))
    broken = {name for name, data in damaged.items() if not decompresses(data)}
    assert len(broken) > 0.9 * len(damaged)
    outcome = load_once(project)
    assert refusals(outcome).keys() == broken
    assert published(project) == expected_rows(RECORDS) + GOOD_ROWS


JSON, CSV = text_file(RECORDS), text_file(RECORDS, "csv")
LAST_LINE = CSV.rindex(b"\n", 0, -1) + 1
LAST_FRAME = frame_starts(FRAMES)[-1]

DAMAGED: list[tuple[str, bytes, bytes, str]] = [
    # Cut at the end of a frame, a record or a line.
    ("dbn.zst", FRAMES, FRAMES[:LAST_FRAME], SIZES.format(LAST_FRAME, len(FRAMES))),
    ("dbn", PLAIN, PLAIN[:-56], SIZES.format(len(PLAIN) - 56, len(PLAIN))),
    ("csv", CSV, CSV[:LAST_LINE], SIZES.format(LAST_LINE, len(CSV))),
    # A byte of a price, a digit of a volume: every record is still readable.
    ("dbn", PLAIN, flipped(PLAIN, HEADER_BYTES + 56 + 20), SHA),
    ("json", JSON, JSON.replace(b'"104"', b'"105"'), SHA),
]


@pytest.mark.full
def test_file_is_refused_if_only_its_manifest_shows_the_damage(
    project: Project, drive: Path
) -> None:
    reasons = {}
    for n, (suffix, intact, damaged, reason) in enumerate(DAMAGED):
        assert intact != damaged
        name = f"{NAME}.ohlcv-1h.{suffix}"
        folder = put_job(drive, {name: intact}, job=f"GLBX-20250110-AAAAAAAAA{n}")
        (folder / name).write_bytes(damaged)
        reasons[f"{folder.name}/{name}"] = reason
    put_job(drive, {GOOD_NAME: dbn_file(GOOD)})
    assert_only_the_good_file_loads(project, reasons)


@pytest.mark.full
def test_refused_file_loads_after_it_was_downloaded_again(project: Project, drive: Path) -> None:
    bad = f"{NAME}.ohlcv-1h.dbn.zst"
    folder = put_job(drive, {bad: FRAMES})
    (folder / bad).write_bytes(FRAMES[:-30])
    assert refusals(load_once(project)).keys() == {f"{JOB}/{bad}"}
    (folder / bad).write_bytes(FRAMES)
    assert refusals(load_once(project)) == {}
    assert published(project) == expected_rows(RECORDS)


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("size", 17, SIZES.format(len(FRAMES), 17)), ("hash", "sha256:" + "0" * 64, SHA)],
)
def test_file_is_refused_if_manifest_lists_other_size_or_hash(
    project: Project, drive: Path, key: str, value: object, reason: str
) -> None:
    bad = f"{NAME}.ohlcv-1h.dbn.zst"
    folder = put_job(drive, {bad: FRAMES, GOOD_NAME: dbn_file(GOOD)})
    manifest = json.loads((folder / "manifest.json").read_text())
    next(item for item in manifest["files"] if item["filename"] == bad)[key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert_only_the_good_file_loads(project, {f"{JOB}/{bad}": reason})


@pytest.mark.full
def test_sidecars_are_named_and_files_load_if_sidecars_are_damaged(
    project: Project, drive: Path
) -> None:
    """Load five jobs without a manifest, whose sidecars are damaged in five ways."""
    names = ("metadata.json", "symbology.json", "condition.json")
    texts = (b"{", b"[]", b'{"files": 3}', b"\xff\xfe", b"[" * 100_000)
    damaged = set()
    for n, text in enumerate(texts):
        folder = put_job(
            drive,
            {f"{n}.dbn": dbn_file(GOOD[n : n + 1])},
            job=f"job {n}",
            sidecars=("metadata", "symbology", "condition"),
        )
        for name in names:
            # An empty list is a valid condition.json.
            if (name, text) != ("condition.json", b"[]"):
                (folder / name).write_bytes(text)
                damaged.add(f"{folder.name}/{name}")
    outcome = load_once(project)
    assert published(project) == GOOD_ROWS
    reasons = {
        f.path: f.reason for f in outcome.survey.files if f.verdict == "sidecar" and f.reason
    }
    assert reasons.keys() == damaged
    assert all("is not what Databento writes" in reason for reason in reasons.values())


def test_parquet_is_refused_if_cut_or_overwritten(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    data = next(data for _, data, _ in parquet_variants(tmp_path))
    (drive / "cut.parquet").write_bytes(data[:-20])
    (drive / "hole.parquet").write_bytes(data[:50] + bytes(1200) + data[1250:])
    (drive / GOOD_NAME).write_bytes(dbn_file(GOOD))
    outcome = load_once(project)
    reasons = refusals(outcome)
    assert reasons.keys() == {"cut.parquet", "hole.parquet"}
    assert reasons["cut.parquet"].startswith("unreadable Parquet (")
    assert "Parquet (" in reasons["hole.parquet"]
    assert "\n" not in "".join(reasons.values())
    assert published(project) == GOOD_ROWS
    assert list(project.home.scratch.glob("*.parquet")) == []


def test_zip_member_is_refused_if_its_path_leads_outside(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    inside = {
        GOOD_NAME: dbn_file(GOOD),
        f"../{NAME}.ohlcv-1h.dbn.zst": FRAMES,
        f"{JOB}/../../x.ohlcv-1h.dbn.zst": FRAMES,
        f"/{NAME}.ohlcv-1h.dbn.zst": FRAMES,
    }
    (drive / "job.zip").write_bytes(zip_of(inside))
    before = sorted(tmp_path.rglob("*.zst"))
    reason = "its name in the zip points outside the zip: not read."
    bad = [name for name in inside if name != GOOD_NAME]
    assert_only_the_good_file_loads(project, {f"job.zip!/{name}": reason for name in bad})
    assert sorted(tmp_path.rglob("*.zst")) == before


@pytest.mark.full
def test_zip_is_refused_if_cut(project: Project, drive: Path) -> None:
    (drive / "job.zip").write_bytes(zip_of({f"{NAME}.dbn.zst": FRAMES})[:-30])
    (drive / GOOD_NAME).write_bytes(dbn_file(GOOD))
    [(path, reason)] = refusals(load_once(project)).items()
    assert path == "job.zip"
    assert reason.startswith("the zip cannot be opened: ")
    assert reason.endswith("Download the zip again.")
    assert published(project) == GOOD_ROWS


def test_zip_with_a_flipped_byte_loads_only_intact_bars(project: Project, drive: Path) -> None:
    """Load 200 zips, each with one flipped byte: those not refused have exactly the right bars."""
    zipped = zip_of({f"{NAME}.json": text_file(RECORDS)})
    for at in range(4, len(zipped), max(1, len(zipped) // 200)):
        (drive / f"{at:06}.zip").write_bytes(flipped(zipped, at))
    (drive / GOOD_NAME).write_bytes(dbn_file(GOOD))
    outcome = load_once(project)
    refused = refusals(outcome)
    assert len(refused) > 100
    assert all("zip" in reason and "\n" not in reason for reason in refused.values())
    by_symbol = table(project).drop("source_file_id").partition_by("symbol", as_dict=True)
    assert by_symbol[("ZS.v.0",)].to_dicts() == GOOD_ROWS
    assert by_symbol.get(("ZL.v.0",)) is None or (
        by_symbol[("ZL.v.0",)].to_dicts() == expected_rows(RECORDS)
    )


def test_arbitrary_bytes_never_become_bars(project: Project, drive: Path) -> None:
    """Pictures, archives, half files: none stops the survey or becomes a bar."""
    strange = {
        "a": b"\x00" * 5000,
        "b": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000,
        "c": b"x" * 300_000,  # one line longer than a CSV field may be
        "d": b"{" * 200_000,
        "e": b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 20,
        "f": b"DBN\x03\xff\xff\xff\x7f" + bytes(range(256)) * 20,
        "g": b"DBN",
        "h": b"PAR1" + bytes(range(256)) * 20 + b"PAR1",
        "i": b"PK\x03\x04" + bytes(range(256)) * 20,
        "j": b'{"hd": {"rtype": 1e999, "publisher_id": 1}}\n',
        "k": b'{"hd": {"rtype": 300, "publisher_id": 1}}\n',
        "l": b"ts_event,rtype,publisher_id\n1,34\n",
        "m": b"rtype,open,close\n34,1,2\n",
    }
    for name, data in strange.items():
        (drive / name).write_bytes(data)
    (drive / GOOD_NAME).write_bytes(dbn_file(GOOD))
    outcome = load_once(project)
    verdicts = {file.path: file.verdict for file in outcome.survey.files}
    assert verdicts.pop(GOOD_NAME) == "bars"
    assert verdicts.keys() == strange.keys()
    assert "bars" not in verdicts.values()
    assert all(file.reason for file in outcome.survey.files if file.path in strange)
    assert published(project) == GOOD_ROWS
