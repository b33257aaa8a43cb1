"""The jobs that are mutated: the same bars in every encoding that the product reads.

Every price is a multiple of soybean oil's tick, so that one changed bit of a binary price is not.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import zstandard

from cbi_assets.demo.encoder import mappings
from cbi_assets_tests.helpers import (
    DATASET,
    NAME,
    Records,
    bars,
    dbn_file,
    expected_rows,
    text_file,
)

JOB = "GLBX-20250110-FUZZFUZZFU"
STEM = f"{NAME}.ohlcv-1h"
IDS = {"ZL.v.0": 10, "ZLZ5": 13}
DAYS = (dt.date(2025, 1, 1), dt.date(2025, 2, 1))
MAPPED = mappings({symbol: [(number, *DAYS)] for symbol, number in IDS.items()})


class Row(NamedTuple):
    """A bar as a raw table must contain it."""

    symbol: str
    ts_event: dt.datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    instrument_id: int
    publisher_id: int


def _bars(count: int, prices: tuple[str, str]) -> Records:
    parts = [
        bars(count, instrument_id=number, price=price)
        for number, price in zip(IDS.values(), prices, strict=True)
    ]
    every = np.concatenate(parts)
    return every[np.argsort(every["ts_event"], kind="stable")]


RECORDS = _bars(12, ("45.01", "44.15"))
OTHER_RECORDS = bars(
    6, instrument_id=10, price="47.02", start=dt.datetime(2025, 1, 8, 15, tzinfo=dt.UTC)
)
"""The bars of a second file of the same job, on another day."""


def rows_of(records: Records) -> frozenset[Row]:
    """Return the rows that these valid records must become."""
    found = []
    for symbol, number in IDS.items():
        for row in expected_rows(records[records["instrument_id"] == number], symbol):
            found.append(Row(**{name: row[name] for name in Row._fields}))
    return frozenset(found)


KNOWN, OTHER_KNOWN = rows_of(RECORDS), rows_of(OTHER_RECORDS)


def _dbn(**options: object) -> Callable[[Records], bytes]:
    return lambda records: dbn_file(records, mapped=MAPPED, **options)


def _text(encoding: str, **options: object) -> Callable[[Records], bytes]:
    given = {"mapped": MAPPED} | options
    return lambda records: text_file(records, encoding, **given)  # type: ignore[arg-type]


def _checksummed(records: Records) -> bytes:
    plain = dbn_file(records, mapped=MAPPED, zstd=False)
    return zstandard.ZstdCompressor(write_checksum=True).compress(plain)


def _parquet(price_type: str, pretty_ts: bool) -> Callable[[Records], bytes]:
    def encode(records: Records) -> bytes:
        import databento

        out = io.BytesIO()
        store = databento.DBNStore.from_bytes(dbn_file(records, mapped=MAPPED))
        frame = store.to_df(price_type=price_type, pretty_ts=pretty_ts, map_symbols=True)
        frame.to_parquet(out)
        return out.getvalue()

    return encode


def _zipped(inner: str, folder: str) -> Callable[[Records], bytes]:
    def encode(records: Records) -> bytes:
        return zip_of({folder + name: data for name, data in job_files(inner, records).items()})

    return encode


_RAW = {"pretty_px": False, "pretty_ts": False}
ENCODERS: dict[str, Callable[[Records], bytes]] = {
    "dbn": _dbn(zstd=False),
    "v1.dbn": _dbn(zstd=False, version=1),
    "dbn.zst": _dbn(),
    "frames.dbn.zst": _dbn(frame_records=5),
    "checked.dbn.zst": _checksummed,
    "json": _text("json"),
    "raw.json": _text("json", **_RAW),
    "unnamed.json": _text("json", mapped=()),
    "json.zst": _text("json", zstd=True),
    "csv": _text("csv"),
    "raw.csv": _text("csv", **_RAW),
    "csv.zst": _text("csv", zstd=True),
    "csv.gz": lambda records: gzip.compress(text_file(records, "csv", mapped=MAPPED), mtime=0),
    "parquet": _parquet("float", True),
    "raw.parquet": _parquet("fixed", False),
    "zip": _zipped("dbn.zst", ""),
    "json.zip": _zipped("json", f"{JOB}/"),
}
"""By the end of the file's name. In `unnamed.json` only symbology.json names the instruments."""


@cache
def encode(suffix: str, other: bool = False) -> bytes:
    """Return the bars, or those of the second file, in one encoding."""
    return ENCODERS[suffix](OTHER_RECORDS if other else RECORDS)


def job_files(suffix: str, records: Records | None = None) -> dict[str, bytes]:
    """Return the files of an intact job by name, the bars first, the manifest last."""
    data = encode(suffix) if records is None else ENCODERS[suffix](records)
    files = {f"{STEM}.{suffix}": data}
    if suffix.endswith("zip"):
        return files
    return with_manifest(files | sidecars())


def sidecars() -> dict[str, bytes]:
    """Return the sidecars of the job, but for its manifest."""
    query = {"dataset": DATASET, "schema": "ohlcv-1h", "symbols": list(IDS)}
    documents = {
        "metadata.json": {"version": 1, "job_id": JOB, "query": query, "customizations": {}},
        "symbology.json": {
            "result": {
                symbol: [{"d0": str(DAYS[0]), "d1": str(DAYS[1]), "s": str(number)}]
                for symbol, number in IDS.items()
            }
        },
        "condition.json": [],
    }
    return {name: json.dumps(document, indent=4).encode() for name, document in documents.items()}


def with_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files and a manifest that lists them."""
    return files | {"manifest.json": json.dumps(manifest_of(files), indent=4).encode()}


def manifest_of(files: dict[str, bytes]) -> dict[str, object]:
    """Return the manifest of these files, as Databento writes it."""
    listed = [
        {"filename": name, "size": len(data), "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}
        for name, data in files.items()
    ]
    return {"job_id": JOB, "files": listed}


def zip_of(files: dict[str, bytes]) -> bytes:
    """Return a zip of these files, the same for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()
