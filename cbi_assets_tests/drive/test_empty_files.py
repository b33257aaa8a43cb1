"""A file without a record loads as 0 bars if its job's manifest lists it as such."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import parquet_variants, zip_of
from cbi_assets_tests.helpers import (
    JOB,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    text_file,
)

GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
HEADER = text_file(GOOD, "csv").splitlines(keepends=True)[0]
AGAIN = "Download the file again."


def empty_files(scratch: Path) -> dict[str, bytes]:
    """Return every way of writing no record, by file name."""
    data = next(d for n, d, _ in parquet_variants(scratch) if "fixed-ts1-map1" in n)
    out = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)).slice(0, 0), out)
    return {
        "a.ohlcv-1h.json": b"",
        "a.ohlcv-1h.csv": HEADER,
        "b.ohlcv-1h.csv": HEADER.rstrip(),
        "a.ohlcv-1h.json.zst": zstandard.compress(b""),
        "a.ohlcv-1h.csv.zst": zstandard.compress(HEADER),
        "a.ohlcv-1h.parquet": out.getvalue(),
        "a.ohlcv-1h.dbn.zst": dbn_file(GOOD[:0]),
    }


def test_files_of_no_records_are_bars_if_the_manifest_lists_them(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    files = empty_files(tmp_path)
    put_job(drive, {**files, "good.dbn": dbn_file(GOOD)})
    (drive / "zipped.zip").write_bytes(
        zip_of({f"job/{path.name}": path.read_bytes() for path in (drive / JOB).iterdir()})
    )
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert not outcome.has_failures
    found = {f.path: f.verdict for f in outcome.survey.files if f.verdict not in ("sidecar", "zip")}
    folders = (JOB, "zipped.zip!/job")
    assert found == dict.fromkeys(
        (f"{f}/{n}" for f in folders for n in (*files, "good.dbn")), "bars"
    )
    assert published(project) == GOOD_ROWS
    counted = query(project, "SELECT records, status FROM `ops.source_files` ORDER BY records")
    assert set(counted["records"].to_list()) == {0, 5}
    again = load_once(project)
    assert again.survey.read == 0
    assert not again.has_failures


def test_files_of_no_records_are_refused_if_no_manifest_lists_them(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    files = empty_files(tmp_path)
    put_job(drive, {**files, "good.dbn": dbn_file(GOOD)}, sidecars=("metadata", "symbology"))
    assert refusals(load_once(project)).keys() == {
        f"{JOB}/{name}" for name in files if ".dbn" not in name
    }
    assert published(project) == GOOD_ROWS


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["a.ohlcv-1h.json", "a.ohlcv-1h.csv"])
def test_file_emptied_after_its_download_is_refused(
    project: Project, drive: Path, name: str
) -> None:
    encoding = name.rpartition(".")[2]
    folder = put_job(drive, {name: text_file(bars(24), encoding), "good.dbn": dbn_file(GOOD)})
    (folder / name).write_bytes(HEADER if encoding == "csv" else b"")
    [(path, reason)] = refusals(load_once(project)).items()
    assert path == f"{JOB}/{name}"
    assert "but manifest.json lists" in reason
    assert published(project) == GOOD_ROWS


def test_listed_file_of_no_bytes_is_refused_if_its_format_needs_a_header(
    project: Project, drive: Path
) -> None:
    put_job(drive, {"a.dbn": b"", "a.parquet": b"", "good.dbn": dbn_file(GOOD)})
    reason = f"the file is empty. {AGAIN}"
    assert refusals(load_once(project)) == {f"{JOB}/a.dbn": reason, f"{JOB}/a.parquet": reason}
    assert published(project) == GOOD_ROWS
