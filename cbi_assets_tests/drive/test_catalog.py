"""The catalog reads what earlier versions stored, and stores the same JSON."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import polars as pl

from cbi_assets.drive.catalog import Catalog, Content
from cbi_assets.drive.conditions import ConditionRun
from cbi_assets.drive.file_records import (
    FileRecord,
    FormatDetails,
    SidecarDetails,
    StagingDetails,
    Stamp,
)
from cbi_assets.drive.mappings import NAME_SCHEMA, FileNames

JOB = "GLBX-20250110-AAAAAAAAAA"
FORMAT = {"job_id": JOB, "encoding": "dbn", "compression": "zstd", "schema": "ohlcv-1h",
          "dataset": "GLBX.MDP3"}  # fmt: skip
SIDECAR = {"job_id": JOB, "dataset": "GLBX.MDP3", "lists": ["a.dbn.zst"],
           "missing_days": ["2025-01-09"],
           "conditions": [["2025-01-09", "2025-01-09", "missing", None]]}  # fmt: skip
MISSING = ConditionRun(dt.date(2025, 1, 9), dt.date(2025, 1, 9), "missing")
STAGING = {"encoding": "parquet", "records": 7, "columns": ["date", "close"]}
CONTENT = FORMAT | {"file_no": 3, "source_file_id": "ab", "path": "a.dbn.zst", "bytes": 90,
                    "records": 5, "blank_lines": 0, "first_ts": 1, "last_ts": 2,
                    "symbols": ["ZL.v.0"]}  # fmt: skip
STORED = [
    ("drive", "a.dbn.zst", "90:1|condition.json:8:3|manifest.json:9:2", 90, "bars", "", "ab",
     FORMAT),
    ("drive", "b.dbn.zst", "", 9, "refused", "cannot be read.", None, {}),
    ("drive", "manifest.json", "9:1|", 9, "sidecar", "", None, SIDECAR),
    ("staging", "m.parquet", "9:1|", 9, "staging", "never loaded", None, STAGING),
]  # fmt: skip
STAMPS = [
    Stamp(90, 1, "condition.json:8:3|manifest.json:9:2"),
    None,
    Stamp(9, 1),
    Stamp(9, 1),
]
DETAILS = [
    FormatDetails(JOB, "dbn", "zstd", "ohlcv-1h", "GLBX.MDP3"),
    None,
    SidecarDetails(JOB, "GLBX.MDP3", ("a.dbn.zst",), (MISSING,)),
    StagingDetails("parquet", 7, ("date", "close")),
]
RECORDS = [
    FileRecord(*row[:2], stamp, *row[3:7], details)
    for row, stamp, details in zip(STORED, STAMPS, DETAILS, strict=True)
]
BARS = Content(
    3, "ab", "a.dbn.zst", JOB, "GLBX.MDP3", "ohlcv-1h", "dbn", "zstd", 90, 5, 0, 1, 2, ("ZL.v.0",)
)


NAMES = FileNames(
    "ab",
    "dbn",
    "a.dbn.zst",
    "GLBX.MDP3",
    pl.DataFrame(
        [(7, dt.date(2025, 1, 1), dt.date(2025, 2, 1), "ZLH5")], schema=NAME_SCHEMA, orient="row"
    ),
)


def test_catalog_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    Catalog(path).close()
    with sqlite3.connect(path) as stored:
        stored.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row[:7], json.dumps(row[7])) for row in STORED],
        )
        stored.execute("INSERT INTO contents VALUES (3, 'ab', ?)", (json.dumps(CONTENT),))
    stored.close()
    catalog = Catalog(path)
    # It does not say which files of the drive were verified: they are read again.
    again = [
        replace(record, stamp=None) if record.area == "drive" else record for record in RECORDS
    ]
    assert list(catalog.files().values()) == again
    assert catalog.contents() == {"ab": BARS}
    catalog.close()


def test_catalog_reads_a_sidecar_again_whose_conditions_were_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog(path)
    catalog.record(RECORDS[2:3])
    assert catalog.files()["drive", "manifest.json"].stamp is not None
    catalog.close()
    with sqlite3.connect(path) as stored:
        earlier = {key: value for key, value in SIDECAR.items() if key != "conditions"}
        stored.execute("UPDATE files SET facts = ?", (json.dumps(earlier),))
    stored.close()
    catalog = Catalog(path)
    assert catalog.files()["drive", "manifest.json"].stamp is None
    catalog.close()


def test_catalog_keeps_what_a_manifest_proved(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    refused = FileRecord("drive", "z.json", STAMPS[0], 9, "refused", "damaged", "cd", DETAILS[2])
    records = [replace(RECORDS[0], verified=True), replace(refused, fault="manifest")]
    catalog.record(iter(records), names=[NAMES])
    assert list(catalog.files().values()) == records
    catalog.close()


def test_catalog_reads_a_dbn_file_again_whose_names_were_not_stored(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    catalog.record([replace(RECORDS[0], verified=True)])
    assert catalog.files()["drive", "a.dbn.zst"].stamp is None
    catalog.record(names=[NAMES])
    assert catalog.files()["drive", "a.dbn.zst"].stamp is not None
    (found,) = catalog.names()
    assert found.names.equals(NAMES.names)
    catalog.close()


def test_catalog_keeps_the_range_that_was_requested(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    content = replace(BARS, covers_from=1, covers_to=2)
    catalog.record(contents=[content])
    assert catalog.contents() == {"ab": content}
    catalog.close()


def test_catalog_stores_the_keys_that_earlier_versions_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog(path)
    catalog.record(RECORDS, [BARS])
    catalog.close()
    stored = sqlite3.connect(path)
    rows = stored.execute("SELECT * FROM files ORDER BY area, path").fetchall()
    assert [(*row[:7], json.loads(row[7])) for row in rows] == STORED
    ((content,),) = stored.execute("SELECT facts FROM contents").fetchall()
    assert json.loads(content) == CONTENT
    stored.close()
