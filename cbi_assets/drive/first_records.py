"""Decide from a file's first records what all of them are, so that one bad record does not."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cbi_assets.drive.grammar import is_frame_timestamp, parse_id
from cbi_assets.market.bars import PRICES, RTYPES, timeframe_of

FIRST_RECORDS: Final = 20
"""How many records are tried for a readable one, so that one bad record does not decide."""


@dataclass(frozen=True)
class FirstRecord:
    """How a record is written.

    `pretty_px` is None if its prices disagree or it has none; `is_frame` as in TextFormat.
    """

    rtype: int
    publisher_id: int
    pretty_px: bool | None
    pretty_ts: bool
    has_symbol: bool
    is_frame: bool = False


def first_record(fields: Mapping[str, Any]) -> FirstRecord:
    """Describe a record by its fields, of which only the header is required.

    Raises KeyError or ValueError if rtype or publisher_id is missing or is not a number.
    """
    symbol, ts_event = fields.get("symbol"), str(fields.get("ts_event"))
    return FirstRecord(
        rtype=parse_id("rtype", fields["rtype"]),
        publisher_id=parse_id("publisher_id", fields["publisher_id"]),
        pretty_px=_is_pretty(fields.get(name) for name in PRICES),
        pretty_ts="T" in ts_event or is_frame_timestamp(ts_event),
        has_symbol=isinstance(symbol, str) and bool(symbol),
        is_frame=is_frame_timestamp(ts_event),
    )


def first_dbn_records(data: bytes) -> list[FirstRecord]:
    """Return the headers of the first DBN records of any schema, up to one of no length."""
    firsts: list[FirstRecord] = []
    at = 0
    while len(firsts) < FIRST_RECORDS and at + 4 <= len(data):
        words, rtype, publisher_id = struct.unpack_from("<BBH", data, at)
        if not words:
            break
        firsts.append(FirstRecord(rtype, publisher_id, None, pretty_ts=False, has_symbol=False))
        at += 4 * words
    return firsts


def consensus(records: Sequence[FirstRecord]) -> FirstRecord:
    """Return what most of the records agree on; there must be one.

    Of two headers that are equally common, a bar's wins: the other record is quarantined, while a
    file that is taken for another schema does not load.
    """
    headers = Counter((record.rtype, record.publisher_id) for record in records)
    header = max(headers, key=lambda h: (headers[h], schema_of_bars(h[0]) is not None))
    own = [record for record in records if (record.rtype, record.publisher_id) == header]
    forms = [record.pretty_px for record in own if record.pretty_px is not None]
    return FirstRecord(
        *header,
        pretty_px=_most(forms) if forms else None,
        pretty_ts=_most(record.pretty_ts for record in own),
        has_symbol=_most(record.has_symbol for record in own),
        is_frame=_most(record.is_frame for record in own),
    )


def is_decided(records: Sequence[FirstRecord]) -> bool:
    """Return whether more records, up to FIRST_RECORDS, would leave the consensus as it is.

    It is if more than half of FIRST_RECORDS have been read, and all of them are alike.
    """
    if len(records) <= FIRST_RECORDS // 2 or records[0].pretty_px is None:
        return False
    return all(record == records[0] for record in records)


def schema_of_bars(rtype: int) -> str | None:
    """Return the schema of bars that load, None for any other rtype."""
    schema = RTYPES.get(rtype)
    return schema if schema and timeframe_of(schema) else None


def _is_pretty(prices: Iterable[object]) -> bool | None:
    forms = {"." in str(price) for price in prices if price not in (None, "")}
    return forms.pop() if len(forms) == 1 else None


def _most(flags: Iterable[bool]) -> bool:
    """Whether at least half of the flags are true."""
    counts = Counter(flags)
    return counts[True] >= counts[False]
