"""A download plan: batch requests with what each would cost, bound together by a hash.

The hash covers all fields of the requests: what is requested, why, and every figure that an
approver sees. It does not cover the rest of the plan, so the same requests at the same prices are
the same plan on any day.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cbi_assets.config.downloads import Strategy
from cbi_assets.databento_api.batch_request import STRICT, BatchRequest, canonical_sha256
from cbi_assets.errors import UsageError
from cbi_assets.files import write_atomically
from cbi_assets.market.bars import Timeframe, timeframe_of

Basis = Literal["quoted", "estimated"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Request(BatchRequest):
    """One batch request of a plan: why it is made, how much it returns and what it costs.

    `records`, `bytes` (uncompressed, as billed) and `cost_usd` are Databento's quote or an
    estimate, as `basis` says; None if neither is known. `replaces` are jobs for the same days whose
    bars were not final: they do not fulfil it.
    """

    root: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,4}$")]
    why: str
    records: Annotated[int, Field(ge=0)] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    basis: Basis = "estimated"
    replaces: tuple[str, ...] = ()

    @property
    def timeframe(self) -> Timeframe:
        """The timeframe of its bars."""
        timeframe = timeframe_of(self.schema)
        assert timeframe is not None
        return timeframe


@dataclass(frozen=True, config=STRICT)
class PublishedSeries:
    """What is published of one series: a root's outrights, or one continuous symbol.

    `counts` says whether it is the series that plans request for that root and timeframe.
    """

    root: str
    timeframe: Timeframe
    series: str
    counts: bool
    trade_dates: int
    bars: int
    first_date: dt.date
    last_date: dt.date


@dataclass(frozen=True, config=STRICT)
class Gap:
    """Trade dates that Databento lacks, and the source that says so. They are not requested."""

    root: str
    timeframe: Timeframe
    trade_dates: tuple[dt.date, ...]
    source: str = Field(validation_alias=AliasChoices("source", "told_by"),
                        serialization_alias="told_by")  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class Alternative:
    """One way to request a root's missing 1h or 1m bars, and what it would cost.

    `chosen` says whether it is downloads.yaml's. Without requests, `note` says why.
    """

    root: str
    timeframe: Timeframe
    strategy: Strategy
    chosen: bool
    requests: int
    records: int | None
    bytes: int | None
    cost_usd: float | None
    basis: Basis
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class Unavailable:
    """Something a reader may expect in the plan, and why it is not there."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass(frozen=True, config=STRICT)
class Plan:
    """Batch requests, and what they were derived from.

    `through` is the last trade date wanted. `free_bytes` is the drive's free space, None if no
    drive is mounted. `estimate_source` says where the figures of estimated requests come from.
    """

    made_at: dt.datetime
    through: dt.date
    requests: tuple[Request, ...]
    published: tuple[PublishedSeries, ...] = Field(
        default=(), validation_alias=AliasChoices("published", "held"), serialization_alias="held"
    )
    gaps: tuple[Gap, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    free_bytes: int | None = None
    estimate_source: str = ""

    def __post_init__(self) -> None:
        if self.made_at.tzinfo is None:
            raise ValueError("made_at has no time zone")
        ids = [request.request_id for request in self.requests]
        if len(ids) != len(set(ids)):
            raise ValueError("two requests are the same")

    @property
    def plan_hash(self) -> str:
        """The sha256 of the canonical JSON of all fields of its requests."""
        return canonical_sha256(self._dump()["requests"])

    @property
    def cost_usd(self) -> float | None:
        """The total cost, None if one request's is unknown."""
        known = [r.cost_usd for r in self.requests if r.cost_usd is not None]
        return math.fsum(known) if len(known) == len(self.requests) else None

    @property
    def records(self) -> int | None:
        """The total number of bars, None if one request's is unknown."""
        known = [r.records for r in self.requests if r.records is not None]
        return sum(known) if len(known) == len(self.requests) else None

    @property
    def bytes(self) -> int | None:
        """The total uncompressed size, None if one request's is unknown."""
        known = [r.bytes for r in self.requests if r.bytes is not None]
        return sum(known) if len(known) == len(self.requests) else None

    @property
    def basis(self) -> Basis:
        """`quoted` if Databento quoted every request."""
        return "quoted" if all(r.basis == "quoted" for r in self.requests) else "estimated"

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON values, with its hash and each request's ID."""
        document = self._dump()
        for entry, request in zip(document["requests"], self.requests, strict=True):
            entry["request_id"] = request.request_id
        return {"plan_hash": self.plan_hash} | document

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        write_atomically(path, json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan. Raises UsageError if it is unreadable, or was edited by hand."""
        try:
            document = json.loads(path.read_bytes())
            stated_hash = document.pop("plan_hash")
            ids = [entry.pop("request_id") for entry in document["requests"]]
            plan: Plan = _PLAN.validate_python(document, strict=False)
        except OSError as error:
            reason = error.strerror or "cannot be read"
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            reason = f"not a plan: {where}: {first['msg']}"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            reason = "not a plan"
        else:
            if stated_hash == plan.plan_hash and ids == [r.request_id for r in plan.requests]:
                return plan
            reason = (
                f"edited since it was made: it states plan {str(stated_hash)[:12]}, but its "
                f"requests are {plan.plan_hash[:12]}"
            )
        raise UsageError(reason, subject=str(path), remedy="Make a plan with `cbi plan`.")

    def _dump(self) -> dict[str, Any]:
        document: dict[str, Any] = _PLAN.dump_python(self, mode="json", by_alias=True)
        for request in document["requests"]:
            if not request["replaces"]:  # as in plans of earlier versions, whose hash stays
                del request["replaces"]
        return document


def total[Number: (int, float)](values: Iterable[Number | None]) -> Number | None:
    """Return the sum, None if one is unknown."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if len(known) == len(every) else None


_PLAN: Final = TypeAdapter(Plan)
