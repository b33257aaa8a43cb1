"""The JSON files beside a job's data: manifest, metadata, symbology, condition."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cbi_assets.errors import SourceError

SIDECARS = ("manifest.json", "metadata.json", "symbology.json", "condition.json")

_NOT_VENDORS = (
    OSError, SourceError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
_JOB_ID = re.compile(r"^[A-Z0-9]+-\d{8}-[A-Z0-9]{10}$")

MAPPING_SCHEMA = {
    "instrument_id": pl.Int64,
    "d0": pl.Date,
    "d1": pl.Date,
    "mapped_symbol": pl.String,
}


@dataclass(frozen=True)
class Listed:
    """What a manifest says of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Sidecars:
    """What the sidecars of one job folder say; absent parts are empty.

    `mappings` has one row an interval: instrument_id, d0 and d1 (half-open, UTC), mapped_symbol.
    """

    present: tuple[str, ...] = ()
    job_id: str | None = None
    dataset: str | None = None
    listed: Mapping[str, Listed] = field(default_factory=dict)
    mappings: pl.DataFrame | None = None
    missing_days: tuple[dt.date, ...] = ()
    problems: tuple[str, ...] = ()


def job_of(path: str) -> str | None:
    """The job's id from the nearest folder (or zip) on `path` that is named like one."""
    for part in reversed(path.replace("!/", "/").split("/")):
        name = part.removesuffix(".zip")
        if _JOB_ID.match(name):
            return name
    return None


def read_sidecars(names: Iterable[str], read: Callable[[str], bytes]) -> Sidecars:
    """Read those of `names` that are sidecars, by `read(name)`.

    A sidecar that is not the JSON it should be is named in `problems`; the others still count.
    """
    found: dict[str, Any] = {}
    present = tuple(name for name in SIDECARS if name in set(names))
    parts: dict[str, Any] = {}
    problems: list[str] = []
    readers: dict[str, Callable[[Any], dict[str, Any]]] = {
        "manifest.json": _manifest,
        "metadata.json": _metadata,
        "symbology.json": _symbology,
        "condition.json": _condition,
    }
    for name in present:
        try:
            found[name] = json.loads(read(name))
            parts |= {k: v for k, v in readers[name](found[name]).items() if v is not None}
        except _NOT_VENDORS as error:
            problems.append(f"{name} is not what Databento writes ({error}): it was not used")
    return Sidecars(present=present, problems=tuple(problems), **parts)


def _manifest(document: Any) -> dict[str, Any]:
    listed = {
        item["filename"]: Listed(int(item["size"]), item["hash"].removeprefix("sha256:"))
        for item in document["files"]
    }
    return {"job_id": document.get("job_id"), "listed": listed}


def _metadata(document: Any) -> dict[str, Any]:
    return {"job_id": document.get("job_id"), "dataset": document["query"]["dataset"]}


def _symbology(document: Any) -> dict[str, Any]:
    rows = [
        (int(interval["s"]), _date(interval["d0"]), _date(interval["d1"]), symbol)
        for symbol, intervals in document["result"].items()
        for interval in intervals
        if interval["s"]
    ]
    return {"mappings": pl.DataFrame(rows, schema=MAPPING_SCHEMA, orient="row")}


def _condition(document: Any) -> dict[str, Any]:
    days = tuple(_date(item["date"]) for item in document if item["condition"] == "missing")
    return {"missing_days": days}


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def mappings_of_metadata(mappings: Mapping[str, Iterable[Mapping[str, Any]]]) -> pl.DataFrame:
    """The mappings of a DBN header (`Metadata.mappings`) in the columns of `Sidecars.mappings`."""
    rows = [
        (int(interval["symbol"]), interval["start_date"], interval["end_date"], symbol)
        for symbol, intervals in mappings.items()
        for interval in intervals
        if str(interval["symbol"]).isdigit()
    ]
    return pl.DataFrame(rows, schema=MAPPING_SCHEMA, orient="row")
