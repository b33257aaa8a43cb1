"""Values that the grammar of records forbids, and a few that it allows, one field at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

ABSENT: Final = object()
_HALF = "\ud800"
_INFINITE = float("inf")

_NO_NUMBER: Final = (
    "", " ", "0x2d", "1e3", "1E3", "Infinity", "-inf", "NaN", "+5", "--5", "5 ", " 5", "5\n",
    "\t5", "1_000", "5,0", "٤٥", "４５", "null", "None", "5;", "5.5.5", None, True, [5], {"a": 5},
    _INFINITE, _HALF,
)  # fmt: skip

VALUES: Final[dict[str, tuple[object, ...]]] = {
    "close": (
        *_NO_NUMBER, "45.", ".5", "45", "45030000000", "4.503e1", "1e400", "45.03000", "-45.03",
        "45.035000000", "45.0300000001", "99999999999999999999.01", "1e-400", 45.03, ABSENT,
    ),
    "volume": (*_NO_NUMBER, "-1", "5.0", str(2**63), str(2**64), "9" * 500, 5, ABSENT),
    "ts_event": (
        "", " ", None, True, [], {}, _INFINITE, _HALF, "2025-01-06T20:00:00.000000000",
        "2025-01-06T20:00:00Z\n", "2025-01-06T20:00:00.000000000+05:30",
        "2025-01-06T20:00:00.000000000-06:00", "2025-01-06 20:00:00.000000000Z", "2025-01-06",
        "2025-13-06T20:00:00.000000000Z", "2025-02-30T20:00:00.000000000Z",
        "2025-01-06T24:00:00.000000000Z", "2025-01-06T20:30:00.000000000Z",
        "2025-01-06T20:00:00.000000001Z", "9999-12-31T23:00:00.000000000Z",
        "0001-01-01T00:00:00.000000000Z", "1677-01-01T00:00:00.000000000Z",
        "2025-01-06t20:00:00.000000000z", "-1", "18446744073709551615", "1736193600000000000.0",
        "1e18", ABSENT,
    ),
    "rtype": (*_NO_NUMBER, "33", "35", "300", "-1", "34.0", str(2**70), 34, 34.0, 33, ABSENT),
    "publisher_id": (*_NO_NUMBER, "0", "2", "99999", "-1", "1.0", str(2**64), 1.5, 2, ABSENT),
    "instrument_id": (*_NO_NUMBER, "-10", "99", "10.0", str(2**32), str(2**64), -10, ABSENT),
    "symbol": (
        "", " ", "ZL.v.0\n", " ZL.v.0", "ZL.v.0 ", "ZL.v.0\t", "ZL\0", "\x1b[31mZL.v.0",
        "ZL\u202ev.0", "ZL\u00a0", _HALF, None, True, 5, ["ZL.v.0"], {"a": "ZL.v.0"}, _INFINITE,
        "ZL" * 5_000, ABSENT,
    ),
}  # fmt: skip
"""By field. `ABSENT` leaves the field out."""

_HEADER = ("ts_event", "rtype", "publisher_id", "instrument_id")


def json_line(line: bytes, field: str, value: object) -> bytes:
    """Return a JSON record with one field changed."""
    record: dict[str, Any] = json.loads(line)
    target = record["hd"] if field in _HEADER else record
    if value is ABSENT:
        del target[field]
    else:
        target[field] = value
    return (
        json.dumps(record)
        .replace("Infinity", "1e999" if value == _INFINITE else "Infinity")
        .encode()
    )


def csv_line(line: bytes, header: bytes, field: str, value: str) -> bytes:
    """Return a CSV record with one field changed, without quotes."""
    values = line.decode().split(",")
    values[header.decode().split(",").index(field)] = value
    return ",".join(values).encode(errors="surrogatepass")


def _shown(value: object) -> str:
    """Return a name for a value, without quotes, that a shell can be given between quotes."""
    if value is ABSENT:
        return "absent"
    kind = "text" if isinstance(value, str) else "value"
    return f"{kind} {ascii(value)[:40]}".replace("'", "")


def with_values(text: bytes, encoding: str, rng: Random) -> Iterator[tuple[str, bytes]]:
    """Yield the text with one record changed, in half of them beside a line that is no record.

    That line makes a reader decode its block line by line.
    """
    lines = text.splitlines()
    header = lines[0]
    for field, values in VALUES.items():
        for value in values:
            if encoding == "csv" and not isinstance(value, str):
                continue
            at = rng.randrange(1 if encoding == "csv" else 0, len(lines))
            if encoding == "csv":
                changed = csv_line(lines[at], header, field, str(value))
            else:
                changed = json_line(lines[at], field, value)
            after = [b"garbage"] if rng.random() < 0.5 else []
            mutated = [*lines[:at], changed, *lines[at + 1 :], *after]
            yield f"{field} {_shown(value)}", b"\n".join(mutated) + b"\n"


def odd_json(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield JSON lines that differ from Databento's as a whole or in one line's form."""
    lines = text.splitlines()

    def with_line(line: bytes) -> bytes:
        return b"\n".join([*lines[:7], line, *lines[8:]]) + b"\n"

    yield "a key twice", with_line(lines[7].replace(b'"volume":', b'"volume":"7","volume":', 1))
    yield "hd twice", with_line(lines[7].replace(b'{"hd":', b'{"hd":{},"hd":', 1))
    yield "a price twice, later", with_line(lines[7][:-1] + b',"close":"45.990000000"}')
    yield "an escaped key twice", with_line(lines[7][:-1] + b',"clos\\u0065":"45.990000000"}')
    yield (
        "a price inside hd",
        with_line(lines[7].replace(b'{"hd":{', b'{"hd":{"close":"1.000000000",', 1)),
    )
    yield "hd is a list", with_line(b'{"hd":[],"open":"1.0"}')
    yield "100,000 brackets in a line", with_line(b'{"hd":' + b"[" * 100_000)
    yield "two records in a line", with_line(lines[7] + lines[7])
    yield "a comma between records", text.replace(b"}\n{", b"},\n{")
    yield "an array", b"[" + text.strip().replace(b"\n", b",") + b"]"
    yield "one record over lines", json.dumps(json.loads(lines[0]), indent=2).encode()
    yield "carriage returns", text.replace(b"\n", b"\r\n")
    yield "line ends of old Macs", text.replace(b"\n", b"\r")
    yield "blank lines", text.replace(b"\n", b"\n\n")
    yield "a UTF-8 mark", b"\xef\xbb\xbf" + text
    yield "UTF-16", text.decode().encode("utf-16")
    yield "no records", b"\n\n"
    yield "an empty array", b"[]\n"


def odd_csv(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield CSV files that differ from Databento's as a whole."""
    lines = text.splitlines()
    columns = lines[0].split(b",")
    volume = columns.index(b"volume")

    def column(change: Any) -> bytes:
        return b"\n".join(b",".join(change(line.split(b","))) for line in lines) + b"\n"

    yield "a column twice", column(lambda v: [*v, v[volume]])
    yield "a column twice, differently", column(lambda v: [*v, b"volume" if v == columns else b"7"])
    yield "no volume", column(lambda v: v[:volume] + v[volume + 1 :])
    yield "columns reversed", column(lambda v: v[::-1])
    yield "columns of an index", column(lambda v: [b"" if v == columns else b"0", *v])
    yield (
        "a column more in one line",
        b"\n".join([*lines[:5], lines[5] + b",1", *lines[6:]]) + b"\n",
    )
    yield "header only", lines[0] + b"\n"
    yield "header without line end", lines[0]
    yield "no header", b"\n".join(lines[1:]) + b"\n"
    yield "the header twice", b"\n".join([lines[0], *lines]) + b"\n"
    yield "the header in capitals", b"\n".join([lines[0].upper(), *lines[1:]]) + b"\n"
    for label, separator in (("semicolons", b";"), ("tabs", b"\t"), ("pipes", b"|")):
        yield label, text.replace(b",", separator)
    yield "decimal commas", text.replace(b",", b";").replace(b".", b",")
    yield "everything quoted", column(lambda v: [b'"' + value + b'"' for value in v])
    yield "an open quote", b"\n".join([*lines[:5], b'"' + lines[5], *lines[6:]]) + b"\n"
    yield "carriage returns", text.replace(b"\n", b"\r\n")
    yield "line ends of old Macs", text.replace(b"\n", b"\r")
    yield "blank lines", text.replace(b"\n", b"\n\n")
    yield "spaces after commas", text.replace(b",", b", ")
    yield "a UTF-8 mark", b"\xef\xbb\xbf" + text
    yield "UTF-16", text.decode().encode("utf-16")
