"""How the audit writes numbers, dates and plurals, the same in every document."""

from __future__ import annotations

import datetime as dt


def number(value: float | None) -> str:
    """A count with thousands separators, `unknown` for None."""
    return "unknown" if value is None else f"{value:,}"


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def span(first: dt.date | None, last: dt.date | None) -> str:
    """`2025-01-02 to 2025-03-31`, one date where both are one, empty where there is none."""
    if first is None or last is None:
        return ""
    return f"{first}" if first == last else f"{first} to {last}"


def size(value: int | None) -> str:
    """Bytes as kB, MB or GB (powers of ten), `unknown` for None."""
    if value is None:
        return "unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:,.1f} {unit}"
    return f"{value} bytes"


def instant(value: dt.datetime | None) -> str:
    """To the minute, UTC; empty for None."""
    return "" if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def price(value: float | None) -> str:
    """A price to at most six decimals, without trailing zeros; `unknown` for None."""
    return "unknown" if value is None else f"{value:,.6f}".rstrip("0").rstrip(".")


def dollars(value: float | None) -> str:
    """US dollars to the cent, `unknown` for None."""
    return "unknown" if value is None else f"{value:,.2f} USD"


def percent(part: int, whole: int) -> str:
    """A share in whole percent that is 0 or 100 only where nothing or all is there."""
    if whole == 0:
        return "–"
    if part in (0, whole):
        return "0%" if part == 0 else "100%"
    return f"{min(max(round(100 * part / whole), 1), 99)}%"


def level(name: str) -> str:
    """A level's name as people write it: `retrace_236` as `23.6%`, `swing_high` as `swing high`."""
    kind, _, digits = name.rpartition("_")
    if kind not in ("retrace", "fib"):
        return name.replace("_", " ")
    return f"{digits[:2]}.{digits[2:]}%".replace(".%", "%")
