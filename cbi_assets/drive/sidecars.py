"""Read the JSON files next to a job's data: manifest, metadata, symbology, condition."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from cbi_assets.drive.faults import is_fault_of_file, reason_of
from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.errors import SourceError

_JOB_ID = re.compile(r"^[A-Z0-9]+-\d{8}-[A-Z0-9]{10}$")

MAPPING_SCHEMA = {
    "instrument_id": pl.Int64,
    "d0": pl.Date,
    "d1": pl.Date,
    "mapped_symbol": pl.String,
}


@dataclass(frozen=True)
class Listed:
    """One file's entry in a manifest."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Sidecars:
    """What the sidecars of one job folder say; absent parts are empty.

    `mappings` has one row per interval: instrument_id, d0 and d1 (half-open, UTC), mapped_symbol.
    """

    job_id: str | None = None
    dataset: str | None = None
    schema: str | None = None
    listed: Mapping[str, Listed] = field(default_factory=dict)
    mappings: pl.DataFrame | None = None
    missing_days: tuple[dt.date, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)  # by the sidecar's file name

    def verify(self, name: str, size: int, sha256: str) -> None:
        """Compare a file's size and hash with the manifest, if it lists the file.

        Raises SourceError if they differ.
        """
        listed = self.listed.get(name)
        if listed is None:
            return
        if listed.size != size:
            raise SourceError(
                f"{size} bytes, but manifest.json lists {listed.size}", remedy=DOWNLOAD_AGAIN
            )
        if listed.sha256 != sha256:
            raise SourceError(
                "its sha256 differs from the one in manifest.json: the bytes were changed or "
                "damaged",
                remedy=DOWNLOAD_AGAIN,
            )


def job_of(path: str) -> str | None:
    """Return the job id that the nearest folder (or zip) on `path` is named by, if any."""
    for part in reversed(path.replace("!/", "/").split("/")):
        name = part.removesuffix(".zip")
        if _JOB_ID.match(name):
            return name
    return None


def read_sidecars(names: Iterable[str], read: Callable[[str], bytes]) -> Sidecars:
    """Read the sidecars among `names` with `read(name)`.

    An invalid sidecar is ignored and named in `problems`; the others still count.
    """
    present = set(names)
    parts: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, parse in _PARSERS.items():
        if name not in present:
            continue
        try:
            found = parse(json.loads(read(name)))
            parts |= {key: value for key, value in found.items() if value is not None}
        except BaseException as error:
            if not is_fault_of_file(error):
                raise
            reason = reason_of(error)
            problems[name] = f"{name} is not what Databento writes ({reason}): it was ignored"
    return Sidecars(problems=problems, **parts)


def _manifest(document: Any) -> dict[str, Any]:
    listed = {
        _text(item["filename"]): Listed(
            int(item["size"]), _text(item["hash"]).removeprefix("sha256:")
        )
        for item in document["files"]
    }
    return {"job_id": _job_id(document), "listed": listed}


def _metadata(document: Any) -> dict[str, Any]:
    query = document["query"]
    schema = query.get("schema")
    return {
        "job_id": _job_id(document),
        "dataset": _text(query["dataset"]),
        "schema": None if schema is None else _text(schema),
    }


def _symbology(document: Any) -> dict[str, Any]:
    rows = [
        (int(interval["s"]), _date(interval["d0"]), _date(interval["d1"]), _text(symbol))
        for symbol, intervals in document["result"].items()
        for interval in intervals
        if interval["s"]
    ]
    return {"mappings": pl.DataFrame(rows, schema=MAPPING_SCHEMA, orient="row")}


def _condition(document: Any) -> dict[str, Any]:
    days = tuple(_date(item["date"]) for item in document if item["condition"] == "missing")
    return {"missing_days": days}


def _job_id(document: Any) -> str | None:
    job_id = document.get("job_id")
    return None if job_id is None else _text(job_id)


def _text(value: Any) -> str:
    """Return a text. Raises for any other type, and for half a surrogate pair."""
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {type(value).__name__}")
    value.encode()
    return value


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


_PARSERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "manifest.json": _manifest,
    "metadata.json": _metadata,
    "symbology.json": _symbology,
    "condition.json": _condition,
}
SIDECARS = tuple(_PARSERS)

UNREAD_SIDECARS: Final = frozenset({"symbology.csv"})
"""Files without bars that a manifest may list besides `SIDECARS`."""


def mappings_of_metadata(mappings: Mapping[str, Iterable[Mapping[str, Any]]]) -> pl.DataFrame:
    """Return the mappings of a DBN header (`Metadata.mappings`) as `Sidecars.mappings` has them."""
    rows = [
        (int(interval["symbol"]), interval["start_date"], interval["end_date"], symbol)
        for symbol, intervals in mappings.items()
        for interval in intervals
        if str(interval["symbol"]).isdigit()
    ]
    return pl.DataFrame(rows, schema=MAPPING_SCHEMA, orient="row")
