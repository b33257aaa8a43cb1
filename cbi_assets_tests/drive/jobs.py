"""Records that a careless reader gets wrong, in every format that Databento delivers."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento
import numpy as np

from cbi_assets.demo.encoder import mappings
from cbi_assets_tests.helpers import NAME, Records, bars, dbn_file, expected_rows, text_file

_DAYS = tuple(dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in (0, 6, 31))

# On 2025-01-07 (UTC) the continuous contract and the outright swap their instrument ids.
MAPPED = mappings(
    {
        "ZL.v.0": [(10, _DAYS[0], _DAYS[1]), (13, _DAYS[1], _DAYS[2])],
        "ZLZ5": [(13, _DAYS[0], _DAYS[1]), (10, _DAYS[1], _DAYS[2])],
        "ZLH5-ZLK5": [(12, _DAYS[0], _DAYS[2])],
    }
)


def _parts() -> list[tuple[Records, dict[str, Any]]]:
    """Return 24 hourly bars per symbol from 2025-01-06 15:00 UTC, nine of them before the swap."""
    continuous, outright, spread = bars(price="45.01"), bars(price="44.15"), bars(price="-0.35")
    first_day = np.arange(24) < 9
    continuous["instrument_id"] = np.where(first_day, 10, 13)
    outright["instrument_id"] = np.where(first_day, 13, 10)
    spread["instrument_id"] = 12
    return [
        (continuous, {"symbol": "ZL.v.0"}),
        (outright, {"symbol": "ZLZ5", "kind": "outright", "contract": "ZLZ2025"}),
        (spread, {"symbol": "ZLH5-ZLK5", "kind": "spread"}),
    ]


def mixed() -> Records:
    """Return the bars of all three symbols, by start."""
    every = np.concatenate([records for records, _ in _parts()])
    return every[np.argsort(every["ts_event"], kind="stable")]


def mixed_rows() -> list[dict[str, Any]]:
    """Return the rows expected of `mixed`, by symbol and start."""
    rows = [row for records, named in _parts() for row in expected_rows(records, **named)]
    return sorted(rows, key=lambda row: (row["symbol"], row["ts_event"]))


def dbn_variants() -> Iterator[tuple[str, bytes]]:
    """Yield the file name and bytes of every DBN format."""
    records = mixed()
    for version in (1, 2, 3):
        for zstd, frame_records in ((False, None), (True, None), (True, 7), (True, 1)):
            data = dbn_file(
                records, mapped=MAPPED, version=version, zstd=zstd, frame_records=frame_records
            )
            suffix = f"dbn{'.zst' if zstd else ''}"
            yield f"{NAME}-v{version}-{frame_records}.ohlcv-1h.{suffix}", data


def text_variants() -> Iterator[tuple[str, bytes, bool]]:
    """Yield name and bytes of every text format, and whether its records have symbols."""
    records = mixed()
    for encoding in ("json", "csv"):
        for pretty_px in (True, False):
            for pretty_ts in (True, False):
                for named in (True, False):
                    for zstd in (True, False):
                        data = text_file(
                            records,
                            encoding,
                            mapped=MAPPED if named else (),
                            pretty_px=pretty_px,
                            pretty_ts=pretty_ts,
                            zstd=zstd,
                        )
                        form = f"px{pretty_px:d}-ts{pretty_ts:d}-map{named:d}"
                        suffix = f"{encoding}{'.zst' if zstd else ''}"
                        yield f"{NAME}-{form}.ohlcv-1h.{suffix}", data, named


def parquet_variants(scratch: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Yield name and bytes of every format of DBNStore.to_parquet, and whether it has symbols.

    to_parquet refuses decimal prices; these files are written from its frame.
    """
    store = databento.DBNStore.from_bytes(dbn_file(mixed(), mapped=MAPPED))
    for price_type in ("float", "fixed", "decimal"):
        for pretty_ts in (True, False):
            for named in (True, False):
                path = scratch / "variant.parquet"
                options = {"price_type": price_type, "pretty_ts": pretty_ts, "map_symbols": named}
                if price_type == "decimal":
                    store.to_df(**options).to_parquet(path)
                else:
                    store.to_parquet(path, **options)
                form = f"{price_type}-ts{pretty_ts:d}-map{named:d}"
                yield f"{NAME}-{form}.ohlcv-1h.parquet", path.read_bytes(), named


def zip_of(files: dict[str, bytes]) -> bytes:
    """Return a zip of these files, by their names in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
