"""Write JSON records field by field, so that a test can break one at a time."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cbi_assets_tests.helpers import IDS, START

LATER_JOB = "GLBX-20250111-BBBBBBBBBB"
PARENT = "GLBX-20250109-PPPPPPPPPP"
RTYPES = {"1m": 33, "1h": 34, "1d": 35}
STEPS = {"1m": dt.timedelta(minutes=1), "1h": dt.timedelta(hours=1), "1d": dt.timedelta(days=1)}

Named = tuple[int, dt.date, dt.date]
"""An instrument id, its first day and the day after its last."""


def record(
    place: int = 0, symbol: str | None = "ZL.v.0", timeframe: str = "1h", **change: Any
) -> str:
    """Return a valid bar, the `place`-th of its symbol from 0, with the given fields changed.

    Open, high, low and close are 10, 13, 9 and 12; the volume is 5. A field changed to `...` is
    left out, as is a symbol of None.
    """
    start = START.replace(hour=0) if timeframe == "1d" else START
    header: dict[str, Any] = {
        "ts_event": f"{start + place * STEPS[timeframe]:%Y-%m-%dT%H:%M:%S}.000000000Z",
        "rtype": RTYPES[timeframe],
        "publisher_id": 1,
        "instrument_id": IDS.get(str(symbol), 99),
    }
    body: dict[str, Any] = {
        "open": "10.000000000",
        "high": "13.000000000",
        "low": "9.000000000",
        "close": "12.000000000",
        "volume": "5",
        **({} if symbol is None else {"symbol": symbol}),
    }
    for name, value in change.items():
        target = header if name in header else body
        if value is ...:
            del target[name]
        else:
            target[name] = value
    return json.dumps({"hd": header, **body})


def put_condition(drive: Path, job: str, *days: tuple[str, str, str | None]) -> None:
    """Write a job's condition.json, without a manifest: date, condition, date of modification."""
    names = ("date", "condition", "last_modified_date")
    (drive / job).mkdir(exist_ok=True)
    document = [dict(zip(names, day, strict=True)) for day in days]
    (drive / job / "condition.json").write_text(json.dumps(document))


def put_lines(
    drive: Path, lines: Sequence[str], name: str = "a.json", job: str = "GLBX-20250110-AAAAAAAAAA"
) -> str:
    """Write records as a job's file without sidecars and return the file's sha256."""
    text = "".join(f"{line}\n" for line in lines).encode()
    (drive / job).mkdir(exist_ok=True)
    (drive / job / name).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def put_symbology(drive: Path, symbols: Mapping[str, Sequence[Named]], job: str = PARENT) -> Path:
    """Write a job's symbology.json and metadata.json, and nothing else; return the first.

    `symbols` has (instrument id, first day, day after the last) by symbol.
    """
    result = {
        symbol: [{"d0": str(first), "d1": str(end), "s": str(number)} for number, first, end in own]
        for symbol, own in symbols.items()
    }
    (drive / job).mkdir(exist_ok=True)
    query = {"query": {"dataset": "GLBX.MDP3", "schema": "ohlcv-1d"}, "job_id": job}
    (drive / job / "metadata.json").write_text(json.dumps(query))
    file = drive / job / "symbology.json"
    file.write_text(json.dumps({"result": result}))
    return file
