"""A download plan: batch requests with what each would cost, bound together by a hash.

The hash is over the requests in full: what will be asked for, why, and every figure that an
approver sees. It is not over the rest of a plan, so that the same requests at the same prices are
the same plan on whichever day they are made.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cbi_assets.databento_api.batch_request import STRICT, BatchRequest, canonical_sha256
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import Timeframe, timeframe_of

Basis = Literal["quoted", "estimated"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Request(BatchRequest):
    """One batch request of a plan: why it is made, how much it returns and what it costs.

    `records`, `bytes` (uncompressed, as billed) and `cost_usd` are Databento's quote or an
    estimate, as `basis` says; None if neither is known.
    """

    root: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,4}$")]
    why: str
    records: Annotated[int, Field(ge=0)] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    basis: Basis = "estimated"

    @property
    def timeframe(self) -> Timeframe:
        """The timeframe of its bars."""
        timeframe = timeframe_of(self.schema)
        assert timeframe is not None
        return timeframe


@dataclass(frozen=True, config=STRICT)
class Holding:
    """What is published of one series: outrights together, or one continuous symbol.

    `counts` says whether it is the series that the plan wants of that root and timeframe.
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
    """Trade dates that the vendor itself lacks, and who says so; they are not asked for."""

    root: str
    timeframe: Timeframe
    trade_dates: tuple[dt.date, ...]
    told_by: str


@dataclass(frozen=True, config=STRICT)
class Unavailable:
    """What somebody may look for in the plan and why it is not there."""

    name: str
    why: str


@dataclass(frozen=True, config=STRICT)
class Plan:
    """Requests, and what they were worked out from. `through` is the last trade date wanted."""

    made_at: dt.datetime
    through: dt.date
    requests: tuple[Request, ...]
    held: tuple[Holding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    free_bytes: int | None = None
    """Free room on the drive; None where no drive is mounted."""
    estimate_source: str = ""
    """Where the figures of estimated requests come from."""

    def __post_init__(self) -> None:
        if self.made_at.tzinfo is None:
            raise ValueError("made_at has no time zone")
        ids = [request.request_id for request in self.requests]
        if len(ids) != len(set(ids)):
            raise ValueError("two requests ask for the same")

    @property
    def plan_hash(self) -> str:
        """sha256 of the canonical JSON of its requests in full."""
        return canonical_sha256(_PLAN.dump_python(self, mode="json")["requests"])

    @property
    def cost_usd(self) -> float | None:
        """The requests' cost together; None where one of them is not known."""
        known = [r.cost_usd for r in self.requests if r.cost_usd is not None]
        return math.fsum(known) if len(known) == len(self.requests) else None

    @property
    def records(self) -> int | None:
        """The requests' bars together; None where one of them is not known."""
        known = [r.records for r in self.requests if r.records is not None]
        return sum(known) if len(known) == len(self.requests) else None

    @property
    def bytes(self) -> int | None:
        """The requests' uncompressed size together; None where one of them is not known."""
        known = [r.bytes for r in self.requests if r.bytes is not None]
        return sum(known) if len(known) == len(self.requests) else None

    @property
    def basis(self) -> Basis:
        """`quoted` where the vendor quoted every request."""
        return "quoted" if all(r.basis == "quoted" for r in self.requests) else "estimated"

    def document(self) -> dict[str, Any]:
        """The plan as JSON values, with its hash and each request's id."""
        document: dict[str, Any] = _PLAN.dump_python(self, mode="json")
        for entry, request in zip(document["requests"], self.requests, strict=True):
            entry["request_id"] = request.request_id
        return {"plan_hash": self.plan_hash} | document

    def save(self, path: Path) -> None:
        """Write `document` to `path`, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan. Raises UsageError for one that is unreadable, or was edited by hand."""
        try:
            document = json.loads(path.read_bytes())
            told = document.pop("plan_hash")
            ids = [entry.pop("request_id") for entry in document["requests"]]
            plan: Plan = _PLAN.validate_python(document, strict=False)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}. `cbi plan` writes a plan.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{path}: not a plan: {where}: {first['msg']}. Run `cbi plan` again."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{path}: not a plan. Run `cbi plan` to write one.") from None
        if told != plan.plan_hash or ids != [r.request_id for r in plan.requests]:
            raise UsageError(
                f"{path}: edited since it was made: it says plan {str(told)[:12]}, its requests "
                f"are {plan.plan_hash[:12]}. Run `cbi plan` again."
            )
        return plan


_PLAN: Final = TypeAdapter(Plan)
