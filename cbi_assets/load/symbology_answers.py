"""What Databento's symbology API answered, one file per request in the home.

An answer is a source of names like a symbology.json on the drive, and is never asked for again.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from cbi_assets.config.settings import Home
from cbi_assets.databento_api.batch_request import canonical_sha256
from cbi_assets.drive.mappings import FileNames, mappings_of_json, names_of
from cbi_assets.errors import HomeError
from cbi_assets.files import write_atomically
from cbi_assets.tables import INSTRUMENTS

API: Final = "api"
"""The source of names that the symbology API states."""

DATES: Final = INSTRUMENTS.schema_of("dataset", "instrument_id", "from_date", "to_date")
"""Columns of dates on which something is said, or asked, of an instrument."""


@dataclass(frozen=True)
class Answer:
    """One request, of instrument IDs and half-open UTC dates, and Databento's response to it."""

    dataset: str
    instrument_ids: tuple[int, ...]
    from_date: dt.date
    to_date: dt.date
    asked_at: dt.datetime
    response: dict[str, Any]

    @property
    def request(self) -> dict[str, Any]:
        """The request as JSON values."""
        return {
            "dataset": self.dataset,
            "instrument_ids": list(self.instrument_ids),
            "start_date": str(self.from_date),
            "end_date": str(self.to_date),
        }

    @property
    def request_id(self) -> str:
        """Twelve hex digits of the sha256 of `request`."""
        return canonical_sha256(self.request)[:12]

    @property
    def path(self) -> str:
        """Where it is saved, relative to the home."""
        return f"symbology/{self.request_id}.json"

    @cached_property
    def names(self) -> pl.DataFrame:
        """The outrights and spreads that it names (NAME_SCHEMA)."""
        return names_of(mappings_of_json(self.response["result"]))

    @property
    def unknown_ids(self) -> set[int]:
        """The IDs of which Databento states no name."""
        return set(self.instrument_ids) - set(self.names["instrument_id"])

    @property
    def source(self) -> FileNames:
        """The answer as a source of names."""
        return FileNames(self.request_id, API, self.path, self.dataset, self.names)

    def save(self, home: Home) -> None:
        """Write it into the home."""
        document = {
            "request": self.request,
            "asked_at": self.asked_at.isoformat(),
            "response": self.response,
        }
        path = home.root / self.path
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_answers(home: Home) -> list[Answer]:
    """Return every saved answer, by request ID. Raises HomeError if one is damaged."""
    return [_read(path) for path in sorted((home.root / "symbology").glob("*.json"))]


def _read(path: Path) -> Answer:
    try:
        document = json.loads(path.read_bytes())
        request = document["request"]
        answer = Answer(
            request["dataset"],
            tuple(int(number) for number in request["instrument_ids"]),
            dt.date.fromisoformat(request["start_date"]),
            dt.date.fromisoformat(request["end_date"]),
            dt.datetime.fromisoformat(document["asked_at"]),
            document["response"],
        )
        if answer.names.height >= 0 and answer.request_id == path.stem:
            return answer
        reason = "its request is another one than its name says"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = repr(error)
    raise HomeError(
        f"damaged ({reason})",
        subject=str(path),
        remedy="Delete it: names that it gave stay in market_data.instruments.",
    )
