"""Format numbers, dates and tables for people, the same in every message and document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from unicodedata import category

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return text with control, bidirectional and half-surrogate characters escaped, as `\\n`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if category(char) in _UNPRINTABLE else char
        for char in text
    )


def shorten(text: str, limit: int) -> str:
    """Return text of at most `limit` characters; of a longer one, its start and its length."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text):,} characters)"


def number(value: float | None) -> str:
    """Return a count with thousands separators, `unknown` for None."""
    return "unknown" if value is None else f"{value:,}"


def plural(count: int, noun: str, many: str = "") -> str:
    """Return `1 file`, `2 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def span(first: dt.date | None, last: dt.date | None) -> str:
    """Return `2025-01-02 to 2025-03-31`, one date if they are equal, "" if one is None."""
    if first is None or last is None:
        return ""
    return f"{first}" if first == last else f"{first} to {last}"


def size(value: float | None) -> str:
    """Return bytes as kB, MB or GB (powers of ten), `unknown` for None."""
    if value is None:
        return "unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:,.1f} {unit}"
    return f"{value:.0f} bytes"


def instant(value: dt.datetime | None) -> str:
    """Return a timestamp in UTC, to the minute; "" for None."""
    return "" if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def price(value: float | None) -> str:
    """Return a price with up to six decimals, without trailing zeros; `unknown` for None."""
    return "unknown" if value is None else f"{value:,.6f}".rstrip("0").rstrip(".")


def dollars(value: float | None) -> str:
    """Return US dollars to the cent, `<0.01 USD` for less, `unknown` for None."""
    if value is None:
        return "unknown"
    return "<0.01 USD" if 0 < value < 0.005 else f"{value:,.2f} USD"


def percent(part: int, whole: int) -> str:
    """Return a share in whole percent: 0% only for nothing, 100% only for all."""
    if whole == 0:
        return "–"
    if part in (0, whole):
        return "0%" if part == 0 else "100%"
    return f"{min(max(round(100 * part / whole), 1), 99)}%"


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> str:
    """Return a Markdown table, with the columns named in `right` right-aligned.

    Pipes and line breaks in cells are escaped; any other markup is left as it is.
    """
    rule = "|" + "|".join(" ---: " if name in right else " --- " for name in columns) + "|"
    header, *lines = (
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        for cells in (columns, *rows)
    )
    return "\n".join([header, rule, *lines])
