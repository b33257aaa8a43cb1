"""Read JSON records that are written byte for byte as Databento's encoder writes them.

All lines of a block are read at once, as columns of eight bytes each. Between two values each line
must have the same fixed text, so that no key can be missing, repeated or in another place. A block
with any other line raises TemplateError, and is read line by line under the same grammar.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.drive.formats import TextFormat
from cbi_assets.drive.grammar import LIMITS, MAX_INT64, MAX_SYMBOL, is_symbol
from cbi_assets.market.bars import PRICES, UNDEFINED_PRICE, prices_from_raw

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_u: Final = np.uint64

_LINES: Final = 8_192
"""How many lines are read at once: their columns fit a processor's cache."""

_PADDING: Final = bytes(128)
"""Follows a block, because the last line's columns of eight bytes reach beyond its end."""

_EXACT_BELOW: Final = 9_007_199
"""Prices up to this are exact in units of 1e-9 as float64, so that one division rounds once."""

_DIGITS: Final = 0x3030303030303030
_ABOVE_NINE: Final = 0x7676767676767676
_HIGH_BITS: Final = 0x8080808080808080
_TEN_TO: Final = 10 ** np.arange(20, dtype=np.uint64)
_FIRST_YEAR, _LAST_YEAR = 1970, 2261  # nanoseconds of whole years that fit 64 bits
_MONTH_STARTS: Final = (
    np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
    .astype("datetime64[D]")
    .astype(np.int64)
)
"""Days since 1970 at which each month starts."""


class TemplateError(Exception):
    """A line is not written as Databento's encoder writes it."""


def _require(condition: bool | np.bool) -> None:
    if not condition:
        raise TemplateError


def read_records(block: bytes, count: int, text: TextFormat) -> dict[str, Any]:
    """Return the columns of DECODED that `count` lines of ASCII have. Raises TemplateError."""
    padded = np.frombuffer(block + _PADDING, dtype=np.uint8)
    words: Words = np.ndarray((padded.size - 7,), "<u8", padded, strides=(1,))
    ends = np.flatnonzero(padded == ord("\n"))
    _require(ends.size == count > 0 and block.endswith(b"\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    try:
        parts = _read(words, starts, ends, text, has_null=False)
    except TemplateError:
        parts = _read(words, starts, ends, text, has_null=True)
    columns: dict[str, Any] = {
        name: pl.Series(np.concatenate([part[name] for part in parts])) for name in parts[0]
    }
    for name in PRICES:
        columns[name] = prices_from_raw(columns[name].to_numpy())
    if text.has_symbol:
        places = [columns.pop(name).to_numpy() for name in ("start", "length")]
        columns["symbol"] = _symbols(words, block, *places)
    return columns


def _read(
    words: Words, starts: Numbers, ends: Numbers, text: TextFormat, has_null: bool
) -> list[dict[str, Numbers]]:
    chunks = [slice(first, first + _LINES) for first in range(0, starts.size, _LINES)]
    return [_Lines(words, starts[c], has_null).record(ends[c], text) for c in chunks]


class _Lines:
    """A position in each of several lines, which moves forward as their text is read.

    `has_null`: a price or a symbol may be null.
    """

    def __init__(self, words: Words, at: Numbers, has_null: bool) -> None:
        self._words = words
        self._at = at
        self._has_null = has_null
        self._expected = b""  # text to compare before the next value, in as few words as it takes
        self._word: Words | None = None  # at the position

    def record(self, ends: Numbers, text: TextFormat) -> dict[str, Numbers]:
        """Read whole records, of which the lines end at `ends`.

        Prices are in units of 1e-9, and a symbol is where it starts and how long it is.
        """
        self._expect('{"hd":{"ts_event":"')
        columns = {"ts_ns": self._time() if text.pretty_ts else self._integer()}
        self._expect('"')
        for name, limit in LIMITS.items():
            self._expect(f',"{name}":')
            columns[name] = self._unsigned()
            _require((columns[name] <= limit).all())
        self._expect("}")
        for name in PRICES:
            self._expect(f',"{name}":')
            columns[name] = self._price(text.pretty_px)
        self._expect(',"volume":"')
        columns["volume"] = self._integer()
        self._expect('"')
        if text.has_symbol:
            self._expect(',"symbol":')
            columns["start"], columns["length"] = self._symbol(ends - 1)
        self._expect("}\n")
        self._compare()
        _require((self._at == ends + 1).all())
        return columns

    def _expect(self, text: str) -> None:
        self._expected += text.encode()

    def _compare(self) -> None:
        """Move past the expected text. Raises TemplateError if a line has another."""
        text, self._expected = self._expected, b""
        for start in range(0, len(text), 8):
            part = text[start : start + 8]
            mask = (1 << 8 * len(part)) - 1
            differs = (self._next(start) ^ _u(int.from_bytes(part, "little"))) & mask
            _require(not differs.any())
        self._move(len(text))

    def _move(self, nbytes: int | Numbers) -> None:
        self._at = self._at + nbytes
        self._word = None

    def _next(self, offset: int = 0) -> Words:
        """Return the eight bytes of each line at `offset` from the position."""
        if self._expected:
            self._compare()
        if offset:
            return self._words[self._at + offset]
        if self._word is None:
            self._word = self._words[self._at]
        return self._word

    def _unsigned(self) -> Numbers:
        """Read whole numbers without leading zeros, which fit 64 bits with a sign."""
        word = self._next()
        total, length = _leading_number(word)
        _require((length > 0).all() and not ((length > 1) & (word & 0xFF == ord("0"))).any())
        found = length
        for offset in (8, 16):
            goes_on = found == 8
            if not goes_on.any():
                break
            more, found = _leading_number(np.where(goes_on, self._next(offset), 0))
            length = length + found
            _require((length < 20).all())
            total = total * _TEN_TO[found] + more
        _require((total <= MAX_INT64).all())
        self._move(length)
        return total.view(np.int64)

    def _sign(self) -> npt.NDArray[np.bool] | None:
        """Skip minus signs. Return which lines have one, None if no line has."""
        is_negative: npt.NDArray[np.bool] = self._next() & _u(0xFF) == ord("-")
        if not is_negative.any():
            return None
        self._move(is_negative.astype(np.int64))
        return is_negative

    def _integer(self) -> Numbers:
        is_negative = self._sign()
        number = self._unsigned()
        return number if is_negative is None else np.where(is_negative, -number, number)

    def _price(self, is_pretty: bool) -> Numbers:
        """Read prices in units of 1e-9, UNDEFINED_PRICE for null."""
        if not self._has_null:
            self._expect('"')
            prices = self._decimal() if is_pretty else self._integer()
            self._expect('"')
            return prices
        is_null = self._is_null()
        every = np.full(is_null.size, UNDEFINED_PRICE, dtype=np.int64)
        others = _Lines(self._words, self._at[~is_null], has_null=False)
        every[~is_null] = others._price(is_pretty)
        others._compare()
        self._move(4 * is_null)
        self._at[~is_null] = others._at
        return every

    def _is_null(self) -> npt.NDArray[np.bool]:
        is_null: npt.NDArray[np.bool] = self._next() & _u(0xFFFFFFFF) == _u(
            int.from_bytes(b"null", "little")
        )
        return is_null

    def _decimal(self) -> Numbers:
        """Read decimals of nine digits after the point, in units of 1e-9."""
        is_negative = self._sign()
        whole = self._unsigned()
        point = self._next()
        first, length = _leading_number(point >> _u(8))
        last, more = _leading_number(self._next(8) & _u(0xFFFF))
        _require((point & 0xFF == ord(".")).all() and (whole < _EXACT_BELOW).all())
        _require((length == 7).all() and (more == 2).all())
        self._move(10)
        number = whole * 10**9 + (first * 100 + last).view(np.int64)
        if is_negative is None:
            return number
        _require(not (is_negative & (number == 0)).any())  # float64 has a zero of each sign
        return np.where(is_negative, -number, number)

    def _time(self) -> Numbers:
        """Read times like 2025-01-06T15:00:00.000000000Z as nanoseconds since 1970, UTC."""
        months, clock, rest = self._next(), self._next(8), self._next(16)
        days = clock & _u(0xFFFFFF)
        changes = np.flatnonzero((months[1:] != months[:-1]) | (days[1:] != days[:-1])) + 1
        first = np.concatenate([[0], changes])
        dates = np.repeat(_days(months[first], days[first]), np.diff(first, append=months.size))
        clock = _in_places(clock >> _u(24), "00:00")
        second = _two_digits(_in_places(rest & _u(0xFFFFFF), ":00"), 1)
        hour, minute = _two_digits(clock, 0), _two_digits(clock, 3)
        _require(((hour < 24) & (minute < 60) & (second < 60)).all())
        self._move(19)
        self._expect(".000000000Z")  # no bar starts within a second
        return (((dates * 24 + hour) * 60 + minute) * 60 + second) * 10**9

    def _symbol(self, ends: Numbers) -> tuple[Numbers, Numbers]:
        """Return where symbols start that end at `ends`, with their quotes, and their lengths."""
        self._compare()
        starts, self._at = self._at, ends
        return starts, ends - starts


def _symbols(words: Words, block: bytes, starts: Numbers, lengths: Numbers) -> pl.Series:
    """Return the symbols at these places; most lines repeat that of the line before."""
    _require(((lengths > 2) & (lengths <= MAX_SYMBOL + 2)).all())
    differs = np.ones(lengths.size, dtype=np.bool)
    differs[1:] = lengths[1:] != lengths[:-1]
    for offset in range(0, int(lengths.max()), 8):
        unused = np.clip(8 + offset - lengths, 0, 8).astype(np.uint64)
        word = words[starts + offset] << 8 * unused
        differs[1:] |= word[1:] != word[:-1]
    first = np.flatnonzero(differs)
    found = [block[n : n + m] for n, m in zip(starts[first], lengths[first], strict=True)]
    names = {text: _symbol_of(text) for text in set(found)}
    symbols = pl.Series([names[text] for text in found], dtype=pl.String)
    return symbols.gather(np.cumsum(differs) - 1)


def _symbol_of(text: bytes) -> str | None:
    if text == b"null":
        return None
    name = text[1:-1].decode()
    _require(text[:1] == text[-1:] == b'"' and is_symbol(name) and not {'"', "\\"} & set(name))
    return name


def _days(months: Words, days: Words) -> Numbers:
    """Return days since 1970 of dates like `2025-01-` and `06T`."""
    date = _in_places(months, "0000-00-")
    year = _two_digits(date, 0) * 100 + _two_digits(date, 2)
    month, day = _two_digits(date, 5), _two_digits(_in_places(days, "00T"), 0)
    _require(((year >= _FIRST_YEAR) & (year <= _LAST_YEAR)).all())
    _require(((month >= 1) & (month <= 12) & (day >= 1)).all())
    place = (year - _FIRST_YEAR) * 12 + month - 1
    _require((day <= _MONTH_STARTS[place + 1] - _MONTH_STARTS[place]).all())
    days_before: Numbers = _MONTH_STARTS[place]
    return days_before + day - 1


def _leading_number(word: Words) -> tuple[Words, Numbers]:
    """Return the number that each word's leading digits are, and how many there are."""
    digits = word ^ _u(_DIGITS)
    beyond = (digits + _ABOVE_NINE | digits) & _HIGH_BITS
    # All bits below the lowest high bit: those of the bytes before it, and seven of its own.
    length = np.bitwise_count((beyond & (~beyond + 1)) - 1) >> 3
    return _number(digits << _u(8) * (_u(8) - length.astype(np.uint64))), length.astype(np.int64)


def _number(digits: Words) -> Words:
    """Return the number that eight digits are, one a byte and the first in the lowest."""
    digits = (digits * _u(2561) >> _u(8)) & _u(0x00FF00FF00FF00FF)
    digits = (digits * _u(6553601) >> _u(16)) & _u(0x0000FFFF0000FFFF)
    return digits * _u(42949672960001) >> _u(32)


def _in_places(word: Words, pattern: str) -> Words:
    """Return the digits of each word, where `pattern` has a zero, and zero elsewhere.

    Raises TemplateError unless what is elsewhere is the pattern's.
    """
    digits = word ^ _u(int.from_bytes(pattern.encode(), "little"))
    above = bytes(0x76 if character == "0" else 0x7F for character in pattern)
    beyond = digits + _u(int.from_bytes(above, "little")) | digits
    _require(not (beyond & _HIGH_BITS).any())
    return digits


def _two_digits(digits: Words, place: int) -> Numbers:
    tens, ones = (digits >> _u(8 * n) & 0xFF for n in (place, place + 1))
    return (tens * 10 + ones).view(np.int64)
