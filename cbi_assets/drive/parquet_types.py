"""Check the types of a Parquet file's columns against those that Databento's client writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from cbi_assets.market.bars import PRICES


def wrong_type(types: pa.Schema, names: Iterable[str]) -> str | None:
    """Return why a column is not of a type that Databento writes, None if all are."""
    for name in names:
        dtype = types.field(name).type
        if not any(fits(dtype) for fits in _PARQUET_TYPES.get(name, (pa.types.is_integer,))):
            return f"column {name} of the Parquet is {dtype}, which is not Databento's"
    return None


def _is_utc(dtype: pa.DataType) -> bool:
    """Whether a type is a timestamp with a known zone, which Parquet stores as UTC.

    Without one it is somebody's local time.
    """
    if not pa.types.is_timestamp(dtype) or dtype.tz is None:
        return False
    try:
        return bool(_OFFSET.fullmatch(dtype.tz)) or ZoneInfo(dtype.tz) is not None
    except (KeyError, ValueError, OSError):  # An unknown zone is a KeyError.
        return False


def _is_text(dtype: pa.DataType) -> bool:
    if pa.types.is_dictionary(dtype):
        dtype = dtype.value_type
    is_string = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return pa.types.is_null(dtype) or any(fits(dtype) for fits in is_string)


_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}")
_NUMBERS = (pa.types.is_int64, pa.types.is_floating, pa.types.is_decimal)
_PARQUET_TYPES: dict[str, tuple[Callable[[Any], bool], ...]] = {
    "ts_event": (_is_utc, pa.types.is_integer),
    "symbol": (_is_text,),
    **dict.fromkeys(PRICES, _NUMBERS),
}
