"""What Databento's metadata API says of a request before it is bought: bars, bytes, US dollars."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection
from typing import Any

from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.estimate import Figures
from cbi_assets.downloads.plan_model import Request
from cbi_assets.errors import ServiceError


def quote(clients: Clients, request: Request) -> Figures:
    """Three questions that cost nothing. Raises ServiceError for an answer that is no figure."""
    asked: dict[str, Any] = {
        "dataset": request.dataset,
        "symbols": list(request.symbols),
        "schema": request.schema,
        "stype_in": request.stype_in,
        "start": request.start.isoformat(),
        "end": request.end.isoformat(),
    }
    name = f"{request.root} {request.schema} {request.start} to {request.end}"
    metadata = clients.metadata
    records = clients.ask(f"count {name}", lambda: metadata.get_record_count(**asked))
    size = clients.ask(f"size {name}", lambda: metadata.get_billable_size(**asked))
    cost = clients.ask(f"price {name}", lambda: metadata.get_cost(**asked))
    return Figures(
        int(_figure(clients, records, f"{name}: get_record_count")),
        int(_figure(clients, size, f"{name}: get_billable_size")),
        float(_figure(clients, cost, f"{name}: get_cost")),
    )


def available_until(clients: Clients, dataset: str, schemas: Collection[str]) -> dt.datetime:
    """The instant (UTC) up to which the account may ask for every one of `schemas`.

    Raises ServiceError where the vendor's answer has no such instant.
    """
    answer: Any = clients.ask(
        f"ask for the range of {dataset}",
        lambda: clients.metadata.get_dataset_range(dataset=dataset),
    )
    try:
        by_schema = answer.get("schema") or {}
        ends = [by_schema[name]["end"] for name in schemas if name in by_schema]
        return min(_instant(end) for end in [answer["end"], *ends])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServiceError(
            f"Databento: metadata.get_dataset_range of {dataset} answered "
            f"{clients.mask(str(answer))[:120]}, which tells no end. Run this again later."
        ) from None


def _instant(text: str) -> dt.datetime:
    # nine decimals, of which datetime takes six
    whole, _, rest = text.removesuffix("Z").partition(".")
    found = dt.datetime.fromisoformat(whole + (f".{rest[:6]}" if rest else ""))
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def _figure(clients: Clients, answer: Any, name: str) -> float:
    sound = isinstance(answer, int | float) and not isinstance(answer, bool)
    if not sound or not math.isfinite(answer) or answer < 0:
        raise ServiceError(
            f"Databento: {name} answered {clients.mask(str(answer))[:80]}, which is no figure. "
            "Run this again later."
        )
    return float(answer)
