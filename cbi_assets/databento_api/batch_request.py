"""A batch request in Databento's terms, and the ID derived from it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass

from cbi_assets.config.downloads import SType

Schema = Literal["ohlcv-1d", "ohlcv-1h", "ohlcv-1m"]

STRICT: Final = ConfigDict(extra="forbid")


def _no_wildcard(symbol: str) -> str:
    if symbol == "ALL_SYMBOLS":
        raise ValueError("ALL_SYMBOLS is not allowed")
    return symbol


_Symbol = Annotated[
    str, StringConstraints(pattern=r"^[A-Z0-9][A-Za-z0-9.:_/ -]*$"), AfterValidator(_no_wildcard)
]


@dataclass(frozen=True, config=STRICT)
class BatchRequest:
    """The parameters of one batch job. `start` and `end` are UTC dates, half-open."""

    dataset: str
    schema: Schema
    symbols: Annotated[tuple[_Symbol, ...], Field(min_length=1)]
    stype_in: SType
    start: dt.date
    end: dt.date
    encoding: Literal["dbn"] = "dbn"
    compression: Literal["zstd"] = "zstd"
    split_duration: Literal["month"] = "month"

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"no day between {self.start} and {self.end} (exclusive)")

    def __str__(self) -> str:
        symbols = ",".join(self.symbols)
        return f"{symbols} {self.schema} {self.start} to {self.end} (request {self.request_id})"

    @property
    def identity(self) -> dict[str, Any]:
        """The parameters as JSON values, without what subclasses add."""
        document: dict[str, Any] = _BATCH_REQUEST.dump_python(self, mode="json")
        return document

    @property
    def request_id(self) -> str:
        """Twelve hex digits of the sha256 of `identity`."""
        return canonical_sha256(self.identity)[:12]

    @property
    def range(self) -> dict[str, Any]:
        """The arguments that Databento's metadata calls take."""
        return {
            "dataset": self.dataset,
            "symbols": list(self.symbols),
            "schema": self.schema,
            "stype_in": self.stype_in,
            "start": self.start,
            "end": self.end,
        }


_BATCH_REQUEST: Final = TypeAdapter(BatchRequest)


def canonical_sha256(document: Any) -> str:
    """Return the sha256 of a JSON document with sorted keys and no whitespace."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
