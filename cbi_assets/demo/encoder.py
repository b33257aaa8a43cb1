"""Encode bars with Databento's own encoder, in every format that a batch job can have."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt
import zstandard

BAR_DTYPE = np.dtype(dbn.OHLCVMsg._dtypes)
_DAY = 86_400 * 10**9
_RTYPES = {"ohlcv-1m": 33, "ohlcv-1h": 34, "ohlcv-1d": 35}


@dataclass(frozen=True)
class Interval:
    """A symbol's instrument id (`symbol`) from `start_date` to before `end_date`, UTC."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(frozen=True)
class SymbolIntervals:
    """All intervals of one symbol, as Databento's encoder expects them."""

    raw_symbol: str
    intervals: list[Interval]


def bar_records(
    schema: str,
    instrument_id: int,
    ts_event: Sequence[int] | npt.NDArray[np.int64],
    prices: Mapping[str, Sequence[int] | npt.NDArray[np.int64]],
    volume: Sequence[int] | npt.NDArray[np.int64],
    publisher_id: int = 1,
) -> npt.NDArray[Any]:
    """Return bars as DBN records.

    `ts_event` is in nanoseconds since 1970, UTC; `prices` (open, high, low, close) are in units of
    1e-9.
    """
    records = np.zeros(len(ts_event), dtype=BAR_DTYPE)
    records["length"] = BAR_DTYPE.itemsize // 4
    records["rtype"] = _RTYPES[schema]
    records["publisher_id"] = publisher_id
    records["instrument_id"] = instrument_id
    records["ts_event"] = ts_event
    for name in ("open", "high", "low", "close"):
        records[name] = prices[name]
    records["volume"] = volume
    return records


def mappings(
    symbols: Mapping[str, Sequence[tuple[int, dt.date, dt.date]]],
) -> list[SymbolIntervals]:
    """Return mappings, given (instrument id, first day, day after the last) by symbol."""
    return [
        SymbolIntervals(
            symbol, [Interval(first, end, str(number)) for number, first, end in intervals]
        )
        for symbol, intervals in symbols.items()
    ]


def encode_dbn(
    records: npt.NDArray[Any],
    dataset: str,
    schema: str,
    mapped: Sequence[SymbolIntervals],
    stype_in: str = "continuous",
    version: int = 3,
    zstd: bool = True,
    frame_records: int | None = None,
) -> bytes:
    """Return a DBN file; with `zstd`, in frames of `frame_records` records (default: one frame).

    Its header says that whole UTC days were requested.
    """
    start = int(records["ts_event"].min()) // _DAY * _DAY if len(records) else 0
    end = (int(records["ts_event"].max()) // _DAY + 1) * _DAY if len(records) else 1
    metadata: bytes = dbn.Metadata(
        dataset=dataset,
        start=start,
        end=end,
        stype_in=dbn.SType.from_str(stype_in),
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema),
        symbols=[item.raw_symbol for item in mapped],
        mappings=list(mapped),
        version=version,
    ).encode()
    if not zstd:
        return metadata + records.tobytes()
    step = frame_records or max(len(records), 1)
    parts = [metadata] + [records[i : i + step].tobytes() for i in range(0, len(records), step)]
    if frame_records is None:
        parts = [b"".join(parts)]
    return b"".join(zstandard.compress(part) for part in parts)


def encode_text(
    dbn_file: bytes,
    encoding: Literal["json", "csv"],
    schema: str,
    mapped: Sequence[SymbolIntervals] = (),
    pretty_px: bool = True,
    pretty_ts: bool = True,
    zstd: bool = False,
) -> bytes:
    """Transcode an uncompressed DBN file to JSON lines or CSV; `mapped` adds symbols to records."""
    by_id: dict[int, list[tuple[dt.date, dt.date, str]]] = {}
    for item in mapped:
        for interval in item.intervals:
            found = by_id.setdefault(int(interval.symbol), [])
            found.append((interval.start_date, interval.end_date, item.raw_symbol))
    out = io.BytesIO()
    transcoder = dbn.Transcoder(
        file=out,
        encoding=dbn.Encoding.from_str(encoding),
        compression=dbn.Compression.NONE,
        pretty_px=pretty_px,
        pretty_ts=pretty_ts,
        has_metadata=True,
        map_symbols=bool(mapped),
        symbol_interval_map=by_id if mapped else None,
        schema=dbn.Schema.from_str(schema),
    )
    transcoder.write(dbn_file)
    transcoder.flush()
    text = out.getvalue()
    return zstandard.compress(text) if zstd else text


def write_job(
    folder: Path,
    files: Mapping[str, bytes],
    dataset: str,
    schema: str,
    mapped: Sequence[SymbolIntervals],
    sidecars: Iterable[str] = ("manifest", "metadata", "symbology", "condition"),
    missing_days: Iterable[dt.date] = (),
) -> Path:
    """Write a job's data files and sidecars to `folder`, whose name is the job's id. Return it."""
    folder.mkdir(parents=True, exist_ok=True)
    documents: dict[str, Any] = {
        "metadata": {
            "version": 1,
            "job_id": folder.name,
            "query": {"dataset": dataset, "schema": schema,
                      "symbols": [item.raw_symbol for item in mapped]},
            "customizations": {},
        },
        "symbology": {
            "result": {
                item.raw_symbol: [
                    {"d0": str(i.start_date), "d1": str(i.end_date), "s": i.symbol}
                    for i in item.intervals
                ]
                for item in mapped
            }
        },
        "condition": [
            {"date": str(day), "condition": "missing", "last_modified_date": None}
            for day in missing_days
        ],
    }  # fmt: skip
    wanted = set(sidecars)
    contents = dict(files)
    for name, document in documents.items():
        if name in wanted:
            contents[f"{name}.json"] = json.dumps(document, indent=4).encode()
    if "manifest" in wanted:
        listed = [
            {"filename": name, "size": len(data),
             "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}
            for name, data in contents.items()
        ]  # fmt: skip
        manifest = {"job_id": folder.name, "files": listed}
        contents["manifest.json"] = json.dumps(manifest, indent=4).encode()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder
