"""One grammar holds for every value, whichever way its record is decoded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import databento
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbi_assets.config.universe import load_universe
from cbi_assets.drive.batch import Piece
from cbi_assets.drive.canonical import FileContext, Rules, canonicalise
from cbi_assets.drive.formats import FileFormat, sniff
from cbi_assets.drive.grammar import LIMITS, first_repeated
from cbi_assets.drive.records import decode
from cbi_assets.drive.text_records import decode_lines
from cbi_assets_tests.helpers import DATASET, START, bars, dbn_file, text_file

Form = tuple[str, bool | str]
"""The encoding, and whether prices and times are pretty, or which library wrote them."""


def frame_csv(writer: str, zone: str) -> bytes:
    """Return the CSV that pandas or Polars write of Databento's frame, in a time zone."""
    frame = databento.DBNStore.from_bytes(dbn_file(bars(4))).to_df(tz=zone)
    text = frame.to_csv() if writer == "pandas" else pl.from_pandas(frame.reset_index()).write_csv()
    return text.encode()


FILES: dict[Form, bytes] = {
    **{
        (encoding, pretty): text_file(bars(4), encoding, pretty_px=pretty, pretty_ts=pretty)
        for encoding in ("json", "csv")
        for pretty in (True, False)
    },
    ("csv", "pandas"): frame_csv("pandas", "America/Chicago"),
    ("csv", "polars"): frame_csv("polars", "UTC"),
}
FORMS = list(FILES)
FIELDS = (
    "ts_event", "rtype", "publisher_id", "instrument_id",
    "open", "high", "low", "close", "volume", "symbol",
)  # fmt: skip
RULES = Rules((DATASET,), load_universe().calendars(), load_universe().ticks())
Row = dict[str, Any]


def format_of(form: Form) -> FileFormat:
    found = sniff(FILES[form])
    assert isinstance(found, FileFormat)
    return found


def lines_of(form: Form) -> list[bytes]:
    return FILES[form].splitlines()[form[0] == "csv" :]


def with_token(form: Form, field: str, token: str) -> bytes:
    """Return the first record with one value replaced; in JSON, inside its quotes if it has any."""
    line = lines_of(form)[0]
    if form[0] == "csv":
        values = line.decode().split(",")
        values[FIELDS.index(field)] = token
        return ",".join(values).encode()
    record = json.loads(line)
    place = record["hd"] if field in record["hd"] else record
    quoted = isinstance(place[field], str)
    place[field] = "@"
    written = json.dumps(record, separators=(",", ":"))
    return written.replace('"@"', f'"{token}"' if quoted else token).encode()


def rows_of(form: Form, lines: Sequence[bytes], slow: bool = False) -> dict[int, Row]:
    """Return the landed rows of these lines by line number, without their raw text."""
    found = format_of(form)
    pieces = [Piece(1, 1, len(lines), b"\n".join(lines) + b"\n")]
    assert found.text is not None
    decoded = decode_lines(found.encoding, found.text, pieces) if slow else decode(found, pieces)
    frame = canonicalise(decoded, found.rtype, [FileContext(1, DATASET, None)], RULES)
    # A record without a root has no trade date of its own; it is quarantined anyway.
    frame = frame.with_columns(trade_date=pl.when(pl.col("root") != "").then("trade_date"))
    numbers = frame["record_no"].to_list()
    return dict(zip(numbers, frame.drop("record_no", "raw").to_dicts(), strict=True))


def refusals_of(form: Form, line: bytes, slow: bool) -> dict[int, str]:
    """Return why the file of one line is refused."""
    found, pieces = format_of(form), [Piece(1, 1, 1, line + b"\n")]
    assert found.text is not None
    decoded = decode_lines(found.encoding, found.text, pieces) if slow else decode(found, pieces)
    return {file_no: str(error) for file_no, error in decoded.refused.items()}


NUMERIC = st.text("0123456789.-+eExXnaif_ TZ:", max_size=22)
TOKENS = st.one_of(
    NUMERIC,
    st.from_regex(r"-?[0-9]{1,21}(\.[0-9]{0,11})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?"
        r"(Z|[+-]0[0-9]:?00)?",
        fullmatch=True,
    ),
    st.text(st.characters(codec="utf-8", exclude_characters='\n"\\'), max_size=8),
    st.from_regex(
        r"2025-0[1-9]-[0-3][0-9][ T][0-2][0-9]:00:00(\.[0-9]{0,10})?[+-][0-2][0-9]:?[0-6]0",
        fullmatch=True,
    ),
    st.sampled_from(["0x22", "1e3", "inf", "NaN", "null", "true", " 34", "34 ", "-0", "034"]),
)  # fmt: skip


VALUES = given(form=st.sampled_from(FORMS), field=st.sampled_from(FIELDS), token=TOKENS)


@pytest.mark.full
@settings(max_examples=60)
@VALUES
@example(form=("csv", True), field="instrument_id", token="0x0A")
@example(form=("csv", True), field="open", token="1e3")
@example(form=("json", False), field="volume", token="0x64")
@example(form=("json", True), field="ts_event", token="2025-01-06T15:00:00+06:00")
@example(form=("csv", "pandas"), field="ts_event", token="2025-01-06 15:00:00.000000001-23:59")
@example(form=("csv", "polars"), field="low", token="-5E-8")
def test_value_is_read_alike_alone_and_among_other_lines(
    form: Form, field: str, token: str
) -> None:
    assert_read_alike(form, field, token)


@pytest.mark.full
@settings(max_examples=2_000)
@VALUES
def test_any_value_is_read_alike_alone_and_among_other_lines(
    form: Form, field: str, token: str
) -> None:
    assert_read_alike(form, field, token)


def assert_read_alike(form: Form, field: str, token: str) -> None:
    """Decode a changed record line by line, alone, and at both ends of blocks of other lines."""
    changed, others = with_token(form, field, token), lines_of(form)[1:]
    expected = rows_of(form, [changed], slow=True)
    assert rows_of(form, [changed]) == expected
    for rest in (others, [*others, b"garbage"]):
        assert rows_of(form, [changed, *rest]).get(1) == expected.get(1)
        assert rows_of(form, [*rest, changed]).get(len(rest) + 1) == expected.get(1)


EDIT = st.tuples(
    st.integers(0, 400), st.integers(0, 2), st.sampled_from(b'"\\{}[]:,.-+ 0129TZnul\x00\x7f\xff')
)
"""Where bytes of a line change, how many of them are removed, and what is put in their place."""


def edited(line: bytes, edits: Sequence[tuple[int, int, int]]) -> bytes:
    for place, removed, byte in edits:
        at = place % len(line)
        line = line[:at] + bytes([byte]) * (byte < 255) + line[at + removed :]
    return line


@pytest.mark.full
@pytest.mark.parametrize("pretty", [True, False])
@settings(max_examples=60)
@given(edits=st.lists(EDIT, min_size=1, max_size=3), twice=st.booleans())
@example(edits=[(0, 0, 255)], twice=True)
def test_edited_json_line_is_read_or_refused_alike_alone_and_among_other_lines(
    pretty: bool, edits: Sequence[tuple[int, int, int]], twice: bool
) -> None:
    form = ("json", pretty)
    line = edited(lines_of(form)[0], edits)
    if twice:  # the symbol's value closes its string and goes on with a key that was there before
        line = line.replace(b'"symbol":"', b'"symbol":"ZL","close":"')
    assert rows_of(form, [line, *lines_of(form)]) == rows_of(
        form, [line, *lines_of(form)], slow=True
    )
    assert refusals_of(form, line, slow=False) == refusals_of(form, line, slow=True)


FORBIDDEN = [
    *(("rtype", token) for token in ("0x22", "34.0", "3.4e1", " 34", "34 ", "+34", "034", "256")),
    *(("instrument_id", token) for token in ("0x0A", "-10", "4294967296", "1e1", "10 ")),
    ("publisher_id", "65536"),
    *(("volume", token) for token in ("0x64", "1e2", "100.0", " 100", "1_000", "", "१", "1,0")),
    *(
        (price, token)
        for price in ("open", "close")
        for token in (
            "1e3", "1.0e400", "inf", "-Infinity", "nan", "0x2D", " 45.01", "45.01 ", "+45.01",
            ".5", "45.", "045.010000000", "45.0100000000001", "99999999999.0", "45,01", "--1.0",
        )
    ),
    *(
        ("ts_event", token)
        for token in (
            "2025-01-06T15:00:00.000000000", "2025-01-06T15:00:00+00:00",
            "2025-01-06T15:00:00-06:00", "2025-01-06 15:00:00Z", "2025-01-06",
            "2025-01-06T15:00Z", "2025-02-30T15:00:00Z", "2025-01-06T24:00:00Z",
            " 2025-01-06T15:00:00Z", "2025-01-06T15:00:00.0000000000Z",
            "9999-01-01T00:00:00Z", "0x18180000", "1.7e18", "",
        )
    ),
    *(("symbol", token) for token in (" ZL.v.0", "ZL.v.0 ", "ZL\tv", "ZL\x7f", "ZLé", "Z" * 72)),
]  # fmt: skip


# JSON allows blanks around a number.
IN_JSON = [(f, t.replace("\t", r"\t")) for f, t in FORBIDDEN if f not in LIMITS or t == t.strip()]


@pytest.mark.parametrize(
    ("form", "field", "token"),
    [
        (form, field, token)
        for form in FORMS
        for field, token in (IN_JSON if form[0] == "json" else FORBIDDEN)
    ],
    ids=str,
)
def test_value_outside_the_grammar_is_a_fault(form: Form, field: str, token: str) -> None:
    rows = rows_of(form, [with_token(form, field, token), *lines_of(form)[1:]])
    assert rows[1]["fault"]
    assert [rows[n]["fault"] for n in (2, 3, 4)] == [None] * 3


@pytest.mark.parametrize("symbol", ["", r"ZL.v.0\n", r"\u0000", " "])
def test_empty_symbol_and_control_characters_are_faults_in_json(symbol: str) -> None:
    rows = rows_of(("json", True), [with_token(("json", True), "symbol", symbol)])
    assert rows[1]["fault"] == f"symbol {json.loads(f'"{symbol}"')!r}"
    assert rows[1]["symbol"] == ""


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(
    "symbol", ["ESZ5", "CLM5-CLU6", "RB:HO G6-H6", "CL:BF Z4-M5-Z5", "UD:CL: GN 2540925", "BRK.B"]
)
def test_symbols_of_databento_are_accepted(form: Form, symbol: str) -> None:
    rows = rows_of(form, [with_token(form, "symbol", symbol)])
    assert (rows[1]["fault"], rows[1]["symbol"]) == (None, symbol)


@pytest.mark.parametrize("encoding", ["json", "csv"])
@pytest.mark.parametrize("price", ["6000", "-6000", "0", "6000000000000"])
def test_price_without_a_point_is_a_fault_in_a_pretty_file(encoding: str, price: str) -> None:
    form = (encoding, True)
    rows = rows_of(form, [*lines_of(form)[1:], with_token(form, "low", price)])
    assert rows[4]["fault"] == f"unreadable {encoding.upper()} record: price '{price}'"


@pytest.mark.parametrize("encoding", ["json", "csv"])
@pytest.mark.parametrize("price", ["45.010000000", "4501.000000"])
def test_price_with_a_point_is_a_fault_in_a_raw_file(encoding: str, price: str) -> None:
    """One damaged byte makes 45010000000 (45.01) 4501.000000, a hundred times as much."""
    form = (encoding, False)
    rows = rows_of(form, [*lines_of(form)[1:], with_token(form, "low", price)])
    assert rows[4]["fault"] == f"unreadable {encoding.upper()} record: '{price}' is no whole number"


def test_duplicate_key_among_very_many_is_found_in_linear_time() -> None:
    names = [*map(str, range(200_000)), "0"]
    assert first_repeated(names) == "0"
    assert first_repeated(["", "a", ""]) == ""
    assert first_repeated(names[:-1]) is None


@pytest.mark.parametrize(
    ("form", "field", "token", "column", "value"),
    [
        (("csv", "pandas"), "ts_event", "2025-01-06 09:00:00-06:00", "ts_event", START),
        (("csv", "pandas"), "ts_event", "2025-01-06 20:30:00.000000+05:30", "ts_event", START),
        (("csv", "polars"), "ts_event", "2025-01-06T09:00:00.000000000-0600", "ts_event", START),
        (("csv", "pandas"), "low", "5e-05", "low", 0.00005),
        (("csv", "polars"), "low", "-1.25e-7", "low", -0.000000125),
    ],
)
def test_times_and_prices_of_a_frame_are_read_as_its_library_writes_them(
    form: Form, field: str, token: str, column: str, value: Any
) -> None:
    rows = rows_of(form, [with_token(form, field, token), *lines_of(form)[1:]])
    assert (rows[1]["fault"], rows[1][column]) == (None, value)


@pytest.mark.parametrize(
    ("form", "field", "token"),
    [
        (("csv", "pandas"), "ts_event", "2025-01-06 15:00:00"),
        (("csv", "pandas"), "ts_event", "2025-01-06 15:00:00+24:00"),
        (("csv", "pandas"), "ts_event", "2025-01-06T15:00:00.000000000Z"),
        (("csv", "pandas"), "low", "1e-04"),
        (("csv", "pandas"), "low", "0e-05"),
        (("csv", True), "low", "5e-05"),
    ],
)
def test_value_that_no_library_writes_is_a_fault(form: Form, field: str, token: str) -> None:
    assert rows_of(form, [with_token(form, field, token), *lines_of(form)[1:]])[1]["fault"]


def test_fields_of_the_header_are_not_overridden_from_outside_it() -> None:
    form = ("json", True)
    line = lines_of(form)[0].replace(b'"open"', b'"instrument_id":99,"ts_event":"0","open"')
    assert rows_of(form, [line]) == rows_of(form, lines_of(form)[:1])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_databentos_own_records_take_the_fast_path(
    monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded line by line")

    expected = rows_of(form, lines_of(form), slow=True)
    monkeypatch.setattr("cbi_assets.drive.text_records.decode_lines", fail)
    assert rows_of(form, lines_of(form)) == expected
    assert rows_of(form, [line + b"\r" for line in lines_of(form)]) == expected
    no_symbol = with_token(form, "symbol", "").replace(b'"symbol":""', b'"symbol":null')
    assert rows_of(form, [no_symbol, *lines_of(form)[1:]])[1]["symbol"] == ""


@pytest.mark.parametrize(
    ("written", "column", "value"),
    [
        (b'"open":"-0.010000001"', "open", -0.010000001),
        (b'"open":"9007198.999999999"', "open", 9007198.999999999),
        (b'"open":null', "open", None),
        (b'"volume":"12345678901234567"', "volume", 12345678901234567),
        (b'"symbol":"UD:CL: GN 2540925"', "symbol", "UD:CL: GN 2540925"),
    ],
)
def test_template_reads_values_of_any_length_sign_and_null(
    monkeypatch: pytest.MonkeyPatch, written: bytes, column: str, value: Any
) -> None:
    form = ("json", True)
    key = written.partition(b":")[0]
    line = re.sub(key + b':"[^"]*"', written, lines_of(form)[1])
    monkeypatch.delattr("cbi_assets.drive.text_records.decode_lines")
    rows = rows_of(form, [lines_of(form)[0], line, *lines_of(form)[2:]])
    assert [rows[n]["fault"] for n in (1, 2, 3, 4)] == [None] * 4
    assert rows[2][column] == value
    assert rows[1] == rows_of(form, lines_of(form))[1]
