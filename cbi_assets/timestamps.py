"""Conversions between UTC timestamps and microseconds since 1970-01-01."""

from __future__ import annotations

import datetime as dt
from typing import Final, overload

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@overload
def utc_from_micros(micros: int) -> dt.datetime: ...
@overload
def utc_from_micros(micros: None) -> None: ...
def utc_from_micros(micros: int | None) -> dt.datetime | None:
    """Return the UTC time `micros` microseconds after 1970-01-01, exactly; None for None."""
    return None if micros is None else EPOCH + dt.timedelta(microseconds=micros)
