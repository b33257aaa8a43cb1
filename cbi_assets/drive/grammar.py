"""The grammar of the values in a bar's record, written once for every way of reading them.

The patterns are in the syntax that Python's `re` and Polars share, so that a whole column and a
single value are held to the same rule. None of them allows a blank, a line break, an exponent, a
hexadecimal digit, infinity or NaN.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cbi_assets.formatting import shorten

UNSIGNED: Final = r"(?:0|[1-9][0-9]{0,18})"
"""A whole number without leading zeros."""

INTEGER: Final = f"-?{UNSIGNED}"

DECIMAL: Final = r"-?(?:0|[1-9][0-9]{0,9})\.[0-9]{1,9}"
"""A pretty price: at least one and at most nine digits after the point, ten before it."""

TIMESTAMP: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"
"""A pretty timestamp. Databento writes UTC as `Z` and no other offset."""

FRAME_DECIMAL: Final = rf"{DECIMAL}|-?[1-9](?:\.[0-9]{{1,9}})?[eE]-0?[5-9]"
"""A price in a CSV of a frame: float64 below 1e-4 has an exponent there."""

_DATE_AND_TIME = ("[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?")
FRAME_TIMESTAMP: Final = (
    rf"{_DATE_AND_TIME[0]}(?: {_DATE_AND_TIME[1]}[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]"
    rf"|T{_DATE_AND_TIME[1]}[+-](?:[01][0-9]|2[0-3])[0-5][0-9])"
)
"""A time in a CSV of a frame: pandas writes `2025-01-06 09:00:00-06:00`, Polars
`2025-01-06T09:00:00.000000000-0600`."""

MAX_SYMBOL: Final = 71
"""DBN's limit, in characters; 22 before version 2."""

SYMBOL: Final = rf"[!-~](?:[ -~]{{0,{MAX_SYMBOL - 2}}}[!-~])?"
"""1 to `MAX_SYMBOL` printable ASCII characters, with blanks only inside."""

LIMITS: Final = {"rtype": 2**8 - 1, "publisher_id": 2**16 - 1, "instrument_id": 2**32 - 1}
"""The largest value of each unsigned field of a record's header."""

MAX_INT64: Final = 2**63 - 1

_INTEGER, _DECIMAL, _TIMESTAMP, _FRAME_DECIMAL, _FRAME_TIMESTAMP, _SYMBOL = (
    re.compile(pattern)
    for pattern in (INTEGER, DECIMAL, TIMESTAMP, FRAME_DECIMAL, FRAME_TIMESTAMP, SYMBOL)
)
_MAX_QUOTED: Final = 100
_TIMESTAMP_PARTS = re.compile(r"(.{19})(?:\.([0-9]+))?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))")


class DuplicateKeyError(ValueError):
    """A JSON object has a key twice, so that its readers disagree about its value."""


def all_match(column: pl.Series, pattern: str) -> bool:
    """Whether every value of a string column matches a pattern from end to end; nulls pass."""
    return column.str.contains(rf"\A(?:{pattern})\z").all()


def is_symbol(text: str) -> bool:
    """Whether the text can be a symbol of Databento's."""
    return _SYMBOL.fullmatch(text) is not None


def cut_symbol(text: str) -> str:
    """Return a symbol cut to one character more than the grammar allows.

    So it stays invalid, and takes little memory, however many records have it.
    """
    return text[: MAX_SYMBOL + 1]


def cut_symbols(symbols: pa.Array) -> pa.Array:
    """Return `cut_symbol` of each string; of a dictionary, as plain strings."""
    values = symbols.dictionary if pa.types.is_dictionary(symbols.type) else symbols
    if pa.types.is_null(values.type):
        return symbols
    cut = pc.utf8_slice_codeunits(values.cast(pa.string()), 0, MAX_SYMBOL + 1)
    return cut if values is symbols else cut.take(symbols.indices)


def quoted(value: object) -> str:
    """Return a value in quotes, shortened if it is longer than any that the grammar allows."""
    return repr(shorten(str(value), _MAX_QUOTED))


def is_frame_timestamp(text: str) -> bool:
    """Whether a time is written as pandas or Polars write it."""
    return _FRAME_TIMESTAMP.fullmatch(text) is not None


def parse_json(text: str) -> Any:
    """Parse JSON with each number as its text. Raises DuplicateKeyError, or ValueError."""
    return json.loads(
        text,
        object_pairs_hook=unique_keys,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=_reject_constant,
    )


class _Number(str):
    """The text of a JSON number, which is not a JSON string."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, for `json.loads`. Raises DuplicateKeyError."""
    if (twice := first_repeated(name for name, _ in pairs)) is not None:
        raise DuplicateKeyError(f"the key {quoted(twice)} occurs twice")
    return dict(pairs)


def first_repeated(names: Iterable[str]) -> str | None:
    """Return the first name that was there before, in time that follows the number of names."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def parse_id(name: str, value: Any) -> int:
    """Return a field of a record's header. Raises ValueError unless it is within LIMITS."""
    text = str(value)
    if not _INTEGER.fullmatch(text) or not 0 <= int(text) <= LIMITS[name]:
        raise ValueError(f"{name} {quoted(text)}")
    return int(text)


def parse_int64(value: Any) -> int:
    """Return a whole number of 64 bits. Raises ValueError for anything else."""
    text = str(value)
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no whole number")
    number = int(text)
    if not -MAX_INT64 - 1 <= number <= MAX_INT64:
        raise ValueError(f"{number} does not fit 64 bits")
    return number


def parse_timestamp(value: Any, is_frame: bool = False) -> int:
    """Return nanoseconds since 1970, UTC, of a raw or a pretty timestamp. Raises ValueError.

    With `is_frame`, the pretty ones are those of a frame's CSV.
    """
    text = str(value)
    if _INTEGER.fullmatch(text):
        return parse_int64(text)
    if not (_FRAME_TIMESTAMP if is_frame else _TIMESTAMP).fullmatch(text):
        raise ValueError(f"ts_event {quoted(text)}")
    parts = _TIMESTAMP_PARTS.fullmatch(text)
    assert parts is not None
    local, fraction, sign, hours, minutes = parts.groups(default="0")  # no offset: 01 times 0
    offset = int(f"{sign}1") * (int(hours) * 60 + int(minutes))
    seconds = int(np.datetime64(local, "s").astype(np.int64)) - offset * 60
    number = seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))
    if abs(number) > MAX_INT64:
        raise ValueError(f"ts_event {text!r} does not fit 64 bits")
    return number


def parse_decimal(value: Any, is_frame: bool = False) -> float:
    """Return a pretty price, rounded to the nearest float64. Raises ValueError."""
    text = str(value)
    if not (_FRAME_DECIMAL if is_frame else _DECIMAL).fullmatch(text):
        raise ValueError(f"price {quoted(text)}")
    return float(text)


def parse_symbol(value: Any) -> str | None:
    """Return a symbol, not yet held to SYMBOL but cut. Raises ValueError if it is not a string."""
    if value is not None and type(value) is not str:
        raise ValueError(f"symbol {quoted(value)}")
    return None if value is None else cut_symbol(value)
