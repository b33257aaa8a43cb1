"""Symbology: which raw symbols instrument IDs stood for.

Resolving costs nothing: databento.com/docs/api-historical/basics/symbology, "for no cost".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from cbi_assets.databento_api.client import Clients
from cbi_assets.drive.mappings import mappings_of_json
from cbi_assets.errors import ServiceError
from cbi_assets.formatting import plural

MAX_SYMBOLS: Final = 2_000
"""The most symbols that a request may have."""


def resolve_ids(
    clients: Clients, dataset: str, instrument_ids: Sequence[int], start: dt.date, end: dt.date
) -> dict[str, Any]:
    """Return Databento's answer: each ID's raw symbols, by intervals of UTC dates.

    Parameters
    ----------
    clients : Clients
        The account.
    dataset : str
        The dataset that the IDs are of.
    instrument_ids : Sequence[int]
        At most MAX_SYMBOLS.
    start, end : date
        UTC dates, half-open.

    Raises
    ------
    ServiceError
        If there is no answer, or it has no mappings.
    UsageError
        If Databento rejects the key.
    """
    action = f"resolve {plural(len(instrument_ids), 'instrument')} of {dataset}, {start} to {end}"
    answer: Any = clients.call(
        action,
        lambda: clients.symbology.resolve(
            dataset=dataset,
            symbols=list(instrument_ids),
            stype_in="instrument_id",
            stype_out="raw_symbol",
            start_date=start,
            end_date=end,
        ),
    )
    try:
        mappings_of_json(answer["result"])
        return dict(answer)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServiceError(
            f"symbology.resolve returned no mappings: {clients.mask(str(answer))[:120]}",
            subject="Databento",
            remedy="Retry later.",
        ) from None
