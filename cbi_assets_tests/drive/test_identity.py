"""Whose records they are: publishers, datasets, symbology by name and by id, names in zips."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import Any

import databento
import databento_dbn
import polars as pl
import pytest

from cbi_assets.demo.encoder import Interval, SymbolIntervals
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    JOB,
    NAME,
    Records,
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

RECORDS = bars(24)
ROWS = expected_rows(RECORDS)
JANUARY = (dt.date(2025, 1, 1), dt.date(2025, 2, 1))
UNNAMED = text_file(RECORDS, "csv", mapped=())


def reasons(project: Project) -> dict[str, int]:
    found = query(project, "SELECT reason, COUNT(*) FROM `ops.quarantined_bars` GROUP BY reason")
    return dict(found.rows())


def of_nasdaq() -> Records:
    """Return the bars with Nasdaq's publisher in every second one."""
    records = bars(24)
    records["publisher_id"][1::2] = 2
    return records


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", [f"{NAME}.dbn.zst", f"{NAME}.json", f"{NAME}.csv"])
def test_record_is_quarantined_if_its_publisher_is_not_the_datasets(
    project: Project, drive: Path, name: str
) -> None:
    records = of_nasdaq()
    encoding = name.split(".")[1]
    data = dbn_file(records) if encoding == "dbn" else text_file(records, encoding)
    put_job(drive, {name: data})
    outcome = load_once(project)
    assert reasons(project) == {"publisher 2 is of XNAS.ITCH, not of GLBX.MDP3": 12}
    assert published(project) == ROWS[::2]
    assert outcome.has_failures


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("name", "data", "claim"),
    [
        ("a.dbn", dbn_file(RECORDS, dataset="GLBX.MDQ3", zstd=False), "its DBN header"),
        ("a.dbn.zst", dbn_file(RECORDS, dataset="XNAS.ITCH"), "its DBN header"),
        ("a.json", text_file(RECORDS), "metadata.json"),
        ("a.csv", text_file(RECORDS, "csv"), "metadata.json"),
    ],
)
def test_file_is_refused_if_its_records_deny_the_foreign_dataset_that_it_claims(
    project: Project, drive: Path, name: str, data: bytes, claim: str
) -> None:
    """One flipped bit makes GLBX.MDP3 a dataset that this home does not take."""
    dataset = "GLBX.MDQ3" if name == "a.dbn" else "XNAS.ITCH"
    put_job(drive, {name: data}, dataset=dataset, sidecars=("metadata",))
    (drive / "good.dbn").write_bytes(dbn_file(bars(5)))
    outcome = load_once(project)
    assert outcome.has_failures
    assert refusals(outcome) == {
        f"{JOB}/{name}": f"{claim} says dataset '{dataset}', its records are of publisher 1, "
        "which is GLBX.MDP3. Download the file again."
    }
    assert published(project) == expected_rows(bars(5))


@pytest.mark.full
@pytest.mark.parametrize("sidecars", [(), ("metadata",)])
def test_header_without_a_dataset_leaves_it_to_job_and_publisher(
    project: Project, drive: Path, sidecars: tuple[str, ...]
) -> None:
    (drive / "nasdaq.dbn").write_bytes(dbn_file(of_nasdaq()[1::2], dataset=""))
    put_job(drive, {f"{NAME}.dbn": dbn_file(RECORDS, dataset="")}, sidecars=sidecars)
    outcome = load_once(project)
    assert published(project) == ROWS
    assert refusals(outcome) == {}
    assert {f.path: f.verdict for f in outcome.survey.files}["nasdaq.dbn"] == "foreign"


def test_metadata_cannot_vouch_for_records_of_an_unknown_publisher(
    project: Project, drive: Path
) -> None:
    records = bars(24)
    records["publisher_id"] = 60_000
    put_job(drive, {f"{NAME}.json": text_file(records)})
    load_once(project)
    why = "publisher 60000 is of no dataset of Databento's, not of GLBX.MDP3"
    assert reasons(project) == {why: 24}
    assert published(project) == []


def symbology_csv(*rows: str) -> bytes:
    return "\n".join(("raw_symbol,instrument_id,date", *rows, "")).encode()


BOTH_DAYS = symbology_csv("ZL.v.0,10,2025-01-06", "ES.v.0,40,2025-01-06", "ZL.v.0,10,2025-01-07")


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("data", [BOTH_DAYS, b"\xef\xbb\xbf" + BOTH_DAYS.replace(b"\n", b"\r\n")])
def test_symbology_csv_names_the_records(project: Project, drive: Path, data: bytes) -> None:
    put_job(drive, {f"{NAME}.csv": UNNAMED}, sidecars=())
    (drive / JOB / "symbology.csv").write_bytes(data)
    outcome = load_once(project)
    assert published(project) == ROWS
    assert {f.path.rpartition("/")[2]: f.verdict for f in outcome.survey.files} == {
        f"{NAME}.csv": "bars",
        "symbology.csv": "sidecar",
    }


@pytest.mark.full
def test_symbology_csv_counts_on_its_dates_alone(project: Project, drive: Path) -> None:
    put_job(drive, {f"{NAME}.csv": UNNAMED}, sidecars=())
    (drive / JOB / "symbology.csv").write_bytes(symbology_csv("ZL.v.0,10,2025-01-07"))
    load_once(project)
    assert reasons(project) == {"no symbol for instrument 10 on 2025-01-06 (UTC)": 9}
    assert published(project) == ROWS[9:]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"symbol,id,day\n", "its columns are symbol, id, day"),
        (b"", "its columns are missing"),
        (symbology_csv("ZL.v.0,ten,2025-01-06"), "instrument_id 'ten'"),
        (symbology_csv("ZL.v.0,10,yesterday"), "yesterday"),
        (symbology_csv("ZL.v.0,10"), "zip()"),
    ],
)
def test_malformed_symbology_csv_is_ignored_and_named(
    project: Project, drive: Path, data: bytes, why: str
) -> None:
    put_job(drive, {f"{NAME}.json": text_file(RECORDS)}, sidecars=())
    (drive / JOB / "symbology.csv").write_bytes(data)
    outcome = load_once(project)
    assert published(project) == ROWS
    (reason,) = (f.reason for f in outcome.survey.files if f.path.endswith("symbology.csv"))
    assert reason.startswith("symbology.csv is not what Databento writes")
    assert why in reason


def by_id(stype_out: Any, symbol: str) -> bytes:
    """Return a DBN file asked for by the instrument id 10."""
    header: bytes = databento_dbn.Metadata(
        dataset="GLBX.MDP3",
        start=int(RECORDS["ts_event"].min()),
        end=int(RECORDS["ts_event"].max()) + 1,
        stype_in=databento_dbn.SType.INSTRUMENT_ID,
        stype_out=stype_out,
        schema=databento_dbn.Schema.OHLCV_1H,
        symbols=["10"],
        mappings=[SymbolIntervals("10", [Interval(*JANUARY, symbol)])],
        version=3,
    ).encode()
    return header + RECORDS.tobytes()


@pytest.mark.full
def test_dbn_asked_for_by_id_is_named_by_its_mappings(project: Project, drive: Path) -> None:
    data = by_id(databento_dbn.SType.RAW_SYMBOL, "ZLG28")
    put_job(drive, {"a.dbn": data}, sidecars=())
    load_once(project)
    assert set(databento.DBNStore.from_bytes(data).to_df()["symbol"]) == {"ZLG28"}
    assert published(project) == expected_rows(
        RECORDS, "ZLG28", kind="outright", contract="ZLG2028"
    )


def test_id_that_stands_for_itself_names_no_record(project: Project, drive: Path) -> None:
    put_job(drive, {"a.dbn": by_id(databento_dbn.SType.INSTRUMENT_ID, "10")}, sidecars=())
    outcome = load_once(project)
    assert reasons(project) == {
        "no symbol for instrument 10 on 2025-01-06 (UTC)": 9,
        "no symbol for instrument 10 on 2025-01-07 (UTC)": 15,
    }
    assert outcome.has_failures


@pytest.mark.full
def test_symbology_json_asked_for_by_id_names_the_records(project: Project, drive: Path) -> None:
    put_job(drive, {f"{NAME}.csv": UNNAMED}, sidecars=())
    interval = '{"d0": "2025-01-01", "d1": "2025-02-01", "s": "ZLG28"}'
    (drive / JOB / "symbology.json").write_text(f'{{"result": {{"10": [{interval}]}}}}')
    load_once(project)
    assert published(project) == expected_rows(
        RECORDS, "ZLG28", kind="outright", contract="ZLG2028"
    )


def zipped(separator: str, *extra: str) -> bytes:
    """Return a zip of a job with its sidecars, as Windows or as others name the files in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"job{separator}"), b"")
        files = {f"{NAME}.csv": UNNAMED, "symbology.csv": BOTH_DAYS}
        for name, data in files.items():
            info = zipfile.ZipInfo(f"job{separator}x")
            info.filename = f"job{separator}{name}"  # The constructor would translate it.
            archive.writestr(info, data)
        for name in extra:
            archive.writestr(name, b"")
    return out.getvalue()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_zip_is_read_whichever_way_its_names_are_separated(
    project: Project, drive: Path, separator: str
) -> None:
    (drive / "job.zip").write_bytes(zipped(separator))
    outcome = load_once(project)
    assert published(project) == ROWS
    assert {file.path: file.verdict for file in outcome.survey.files} == {
        "job.zip": "zip",
        f"job.zip!/job/{NAME}.csv": "bars",
        "job.zip!/job/symbology.csv": "sidecar",
    }


def test_zip_is_refused_if_a_name_is_in_it_with_both_separators(
    project: Project, drive: Path
) -> None:
    (drive / "job.zip").write_bytes(zipped("\\", f"job/{NAME}.csv"))
    assert refusals(load_once(project)) == {
        "job.zip": f"'job/{NAME}.csv' is in the zip twice. Download the zip again."
    }


@pytest.mark.full
def test_csv_of_a_frame_loads_as_pandas_and_polars_write_it(project: Project, drive: Path) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"tz": "America/Chicago"},
        {"pretty_ts": False},
        {"price_type": "fixed"},
    ]
    for n, option in enumerate(options):
        store = databento.DBNStore.from_bytes(dbn_file(RECORDS[n * 6 : n * 6 + 6]))
        frame = store.to_df(**option)
        frame[:2].to_csv(drive / f"{n}-index.csv")
        frame[2:4].reset_index().to_csv(drive / f"{n}-column.csv")
        pl.from_pandas(frame[4:].reset_index()).write_csv(drive / f"{n}-polars.csv")
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert published(project) == ROWS
    assert not outcome.has_failures
