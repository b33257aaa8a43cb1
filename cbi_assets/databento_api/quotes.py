"""What Databento's metadata API says about a request before it is bought. Costs nothing."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cbi_assets.databento_api.batch_request import BatchRequest
from cbi_assets.databento_api.client import Clients
from cbi_assets.drive.conditions import DayCondition, parse_conditions
from cbi_assets.errors import ServiceError


@dataclass(frozen=True)
class Quote:
    """Bars, uncompressed bytes and US dollars of one request."""

    records: int
    bytes: int
    cost_usd: float


def get_quote(clients: Clients, request: BatchRequest) -> Quote:
    """Return all three figures. Raises ServiceError for an answer that is not a number."""
    action = f"count the bars of {request}"
    records = clients.call(action, lambda: clients.metadata.get_record_count(**request.range))
    return Quote(
        int(_number(clients, records, f"get_record_count of {request}")),
        get_size(clients, request),
        get_cost(clients, request),
    )


def get_cost(clients: Clients, request: BatchRequest) -> float:
    """Return the current price in US dollars."""
    answer = clients.call(f"quote {request}", lambda: clients.metadata.get_cost(**request.range))
    return _number(clients, answer, f"get_cost of {request}")


def get_size(clients: Clients, request: BatchRequest) -> int:
    """Return the size in uncompressed bytes."""
    answer = clients.call(
        f"get the size of {request}", lambda: clients.metadata.get_billable_size(**request.range)
    )
    return int(_number(clients, answer, f"get_billable_size of {request}"))


def available_until(clients: Clients, dataset: str, schemas: Collection[str]) -> dt.datetime:
    """Return the UTC time before which the account can download every one of `schemas`.

    Raises ServiceError if the answer has no such time.
    """
    answer: Any = clients.call(
        f"get the available range of {dataset}",
        lambda: clients.metadata.get_dataset_range(dataset=dataset),
    )
    try:
        by_schema = answer.get("schema") or {}
        ends = [by_schema[name]["end"] for name in schemas if name in by_schema]
        return min(_utc(end) for end in [answer["end"], *ends])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServiceError(
            f"metadata.get_dataset_range of {dataset} returned no end: "
            f"{clients.mask(str(answer))[:120]}",
            subject="Databento",
            remedy="Retry later.",
        ) from None


def get_conditions(
    clients: Clients, dataset: str, first: dt.date, last: dt.date
) -> list[DayCondition]:
    """Return the current condition of each UTC day from `first` to `last`.

    Raises ServiceError if the answer is not a list of days.
    """
    answer: Any = clients.call(
        f"get the condition of {dataset}",
        lambda: clients.metadata.get_dataset_condition(dataset, first, last),
    )
    try:
        return parse_conditions(answer)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServiceError(
            f"metadata.get_dataset_condition of {dataset} returned no list of days: "
            f"{clients.mask(str(answer))[:120]}",
            subject="Databento",
            remedy="Retry later.",
        ) from None


def _utc(text: str) -> dt.datetime:
    # Databento writes nine decimals, datetime takes six.
    seconds, _, decimals = text.removesuffix("Z").partition(".")
    parsed = dt.datetime.fromisoformat(seconds + (f".{decimals[:6]}" if decimals else ""))
    return parsed.replace(tzinfo=dt.UTC) if parsed.tzinfo is None else parsed.astimezone(dt.UTC)


def _number(clients: Clients, answer: Any, name: str) -> float:
    is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
    if not is_number or not math.isfinite(answer) or answer < 0:
        raise ServiceError(
            f"{name} returned {clients.mask(str(answer))[:80]}, which is not an amount",
            subject="Databento",
            remedy="Retry later.",
        )
    return float(answer)
