"""A file is refused if what it says depends on who reads it; the files next to it still load."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    query,
    refusals,
    text_file,
)

RECORDS = bars(24)
GOOD = "good.ohlcv-1h.dbn.zst"
GOOD_RECORDS = bars(24, symbol="ZS.v.0")
GOOD_ROWS = expected_rows(GOOD_RECORDS, "ZS.v.0", "ZS")
JSON = text_file(RECORDS, "json")


def refused_alone(project: Project, drive: Path, name: str, data: bytes) -> str:
    """Load a file next to a good one. Return why it was refused; the good one must be published."""
    (drive / GOOD).write_bytes(dbn_file(GOOD_RECORDS))
    (drive / name).write_bytes(data)
    outcome = load_once(project)
    reasons = refusals(outcome)
    assert list(reasons) == [name]
    assert published(project) == GOOD_ROWS
    assert outcome.has_failures
    return reasons[name]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (b'"close":', b'"close":"1.000000000","close":', "close"),
        (b'"rtype":', b'"rtype":34,"rtype":', "rtype"),
        (b'"symbol":"ZL.v.0"', b'"close":"1.000000000"', "close"),
        (b'"symbol"', b'"x":{"y":1,"y":2},"symbol"', "y"),
        (b'"close":', rb'"cl\u006fse":"1.000000000","close":', "close"),
        (b'"hd":', b'"hd":{},"hd":', "hd"),
    ],
)
@pytest.mark.parametrize("line", [pytest.param(1, marks=pytest.mark.full), 24])
def test_json_is_refused_if_a_record_has_a_key_twice(
    project: Project, drive: Path, old: bytes, new: bytes, key: str, line: int
) -> None:
    lines = JSON.splitlines()
    lines[line - 1] = lines[line - 1].replace(old, new)
    reason = refused_alone(project, drive, f"{NAME}.json", b"\n".join(lines))
    assert reason == f"line {line}: the key '{key}' occurs twice. Download the file again."


@pytest.mark.full
def test_copies_of_a_refused_json_are_refused_until_it_is_replaced(
    project: Project, drive: Path
) -> None:
    twice = JSON.replace(b'"close":', b'"close":"1.000000000","close":')
    for name in ("a.json", "b.json"):
        (drive / name).write_bytes(twice)
    assert list(refusals(load_once(project))) == ["a.json", "b.json"]
    assert published(project) == []
    (drive / "c.json").write_bytes(twice)
    assert list(refusals(load_once(project))) == ["a.json", "b.json", "c.json"]
    for name in ("a.json", "b.json", "c.json"):
        (drive / name).write_bytes(JSON)
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert published(project) == expected_rows(RECORDS)


def test_csv_is_refused_if_a_column_is_there_twice(project: Project, drive: Path) -> None:
    lines = text_file(RECORDS, "csv").splitlines()
    doubled = [lines[0] + b",close", *(line + b",1.000000000" for line in lines[1:])]
    reason = refused_alone(project, drive, f"{NAME}.csv", b"\n".join(doubled))
    assert reason == "the CSV has the column 'close' twice. Download the file again."


def test_zip_is_refused_if_a_name_is_in_it_twice(project: Project, drive: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in (RECORDS, bars(24, price="55.01")):
            archive.writestr("job/x.json", text_file(start, "json"))
    reason = refused_alone(project, drive, "job.zip", out.getvalue())
    assert reason == "'job/x.json' is in the zip twice. Download the zip again."


def frame(**options: Any) -> pd.DataFrame:
    return databento.DBNStore.from_bytes(dbn_file(RECORDS)).to_df(**options)


def by_pandas(data: pd.DataFrame, path: Path) -> None:
    data.to_parquet(path)


def by_polars(data: pd.DataFrame, path: Path) -> None:
    pl.from_pandas(data).write_parquet(path)


def by_duckdb(data: pd.DataFrame, path: Path) -> None:
    with duckdb.connect() as opened:
        opened.register("data", data)
        opened.execute(f"COPY (SELECT * FROM data) TO '{path}' (FORMAT parquet)")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("write", [by_pandas, by_polars, by_duckdb])
@pytest.mark.parametrize("zone", ["America/Chicago", pytest.param("UTC", marks=pytest.mark.full)])
def test_parquet_is_refused_if_its_times_have_no_zone(
    project: Project,
    drive: Path,
    tmp_path: Path,
    write: Callable[[pd.DataFrame, Path], None],
    zone: str,
) -> None:
    path = tmp_path / "naive.parquet"
    write(frame(tz=zone).tz_localize(None).reset_index(), path)
    reason = refused_alone(project, drive, "naive.parquet", path.read_bytes())
    assert "column ts_event of the Parquet is timestamp[" in reason
    assert "which is not Databento's" in reason


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("zone", ["America/Chicago", "UTC", "+05:30"])
def test_parquet_with_a_zone_loads_the_same_times(project: Project, drive: Path, zone: str) -> None:
    table = pa.Table.from_pandas(frame().reset_index())
    times = table["ts_event"].cast(pa.timestamp("ns", zone))
    pq.write_table(table.set_column(0, "ts_event", times), drive / "aware.parquet")
    assert refusals(load_once(project)) == {}
    assert published(project) == expected_rows(RECORDS)


def parquet_with(column: str, values: pa.Array) -> bytes:
    """Return Parquet of RECORDS with one column replaced, or added."""
    table = pa.Table.from_pandas(frame().reset_index(), preserve_index=False)
    place = table.column_names.index(column)
    out = io.BytesIO()
    pq.write_table(table.set_column(place, column, values), out)
    return out.getvalue()


TIMES = pa.array(RECORDS["ts_event"].astype(np.int64))


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("ts_event", TIMES.cast(pa.timestamp("ns", "Mars/Base")), "tz=Mars/Base"),
        ("symbol", pa.array([["ZL.v.0"]] * 24), "list<"),
        ("symbol", pa.array([1] * 24), "int64"),
        ("volume", pa.array(["100"] * 24), "string"),
        ("open", pa.array([2**64 - 5] + [45_010_000_000] * 23, pa.uint64()), "uint64"),
        ("open", pa.array([45] * 24, pa.int32()), "int32"),
    ],
)
def test_parquet_is_refused_if_a_column_has_another_type(
    project: Project, drive: Path, column: str, values: pa.Array, shown: str
) -> None:
    data = parquet_with(column, values)
    reason = refused_alone(project, drive, "other.parquet", data)
    assert reason.startswith(f"column {column} of the Parquet is ")
    assert shown in reason


def test_parquet_is_refused_if_a_column_is_there_twice(project: Project, drive: Path) -> None:
    table = pa.Table.from_pandas(frame().reset_index(), preserve_index=False)
    out = io.BytesIO()
    pq.write_table(table.append_column("close", table["open"]), out)
    reason = refused_alone(project, drive, "twice.parquet", out.getvalue())
    assert reason == "the Parquet has the column 'close' twice. Download the file again."


YEAR_9999 = 25_337_076_480_000_000


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("high", pa.array([float("inf")] + [90.0] * 23)),
        ("high", pa.array([1e10] + [90.0] * 23)),
        ("low", pa.array([float("nan")] + [1.0] * 23)),
        ("instrument_id", pa.array([-1] + [10] * 23)),
        ("volume", pa.array([2**64 - 1] + [10] * 23, pa.uint64())),
        ("symbol", pa.array([""] + ["ZL.v.0"] * 23)),
        ("symbol", pa.array(["ZL.v.0\n"] + ["ZL.v.0"] * 23)),
        ("symbol", pa.array(["ZL.v.0 "] + ["ZL.v.0"] * 23).dictionary_encode()),
        (
            "ts_event",
            pa.array([YEAR_9999 * 10, *(TIMES.to_numpy()[1:] // 1_000).tolist()]).cast(
                pa.timestamp("us", "UTC")
            ),
        ),
    ],
    ids=str,
)
def test_only_the_record_with_an_impossible_parquet_value_is_quarantined(
    project: Project, drive: Path, column: str, values: pa.Array
) -> None:
    (drive / "x.parquet").write_bytes(parquet_with(column, values))
    outcome = load_once(project)
    assert refusals(outcome) == {}
    numbers = query(project, "SELECT record_no FROM `ops.quarantined_bars`")["record_no"].to_list()
    assert 1 in numbers
    if column not in ("open", "high", "low"):
        assert numbers == [1]
        assert len(published(project)) == 23
