"""Records that are not bars are quarantined as they were read, and all others are published."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.config.universe import load_universe
from cbi_assets.drive.canonical import FileContext, Rules, canonicalise
from cbi_assets.drive.formats import FileFormat, sniff
from cbi_assets.drive.pieces import pieces_of
from cbi_assets.drive.records import decode
from cbi_assets.drive.streams import SourceStream
from cbi_assets.market.bars import UNDEFINED_PRICE
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    DATASET,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    query,
    refusals,
    text_file,
)

RECORDS = bars(24)
ROWS = expected_rows(RECORDS)
FORMS = {
    (encoding, pretty): text_file(RECORDS, encoding, pretty_px=pretty, pretty_ts=pretty)
    for encoding in ("json", "csv")
    for pretty in (True, False)
}


def quarantined(project: Project) -> list[tuple[int, str, str]]:
    frame = query(project, "SELECT record_no, record, reason FROM `ops.quarantined_bars`")
    return frame.sort("record_no").rows()


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("pretty", [True, False])
@pytest.mark.parametrize("encoding", ["json", "csv"])
def test_last_record_is_quarantined_if_cut(
    project: Project, drive: Path, encoding: str, pretty: bool
) -> None:
    data = FORMS[encoding, pretty]
    cut = data[: data.rindex(b"\n", 0, -1) + 30]
    (drive / f"{NAME}.{encoding}").write_bytes(cut)
    outcome = load_once(project)
    [(record_no, record, reason)] = quarantined(project)
    assert record_no == (24 if encoding == "json" else 25)  # a CSV's first line is its header
    assert record == cut.splitlines()[-1].decode()
    assert reason.startswith(f"unreadable {encoding.upper()} record: ")
    assert published(project) == ROWS[:23]
    assert (outcome.unresolved, outcome.published, outcome.has_failures) == (1, 23, True)


@pytest.mark.full
def test_garbage_lines_are_quarantined_and_the_rest_published(
    project: Project, drive: Path
) -> None:
    lines = FORMS["json", True].splitlines()
    lines[4] = b'{"hd":{"ts_event":"2025-01-06T19:00:00.000000000Z","rtype":34,\xff\x00'
    lines[9] = lines[9].replace(b'"low":"', b'"low":"x')
    (drive / f"{NAME}.json").write_bytes(b"\n".join(lines))
    load_once(project)
    found = quarantined(project)
    assert [row[0] for row in found] == [5, 10]
    assert found[0][1] == lines[4].decode("utf-8", "backslashreplace")
    assert found[1][1] == lines[9].decode()
    assert found[1][2] == "unreadable JSON record: price 'x45.070000000'"
    assert published(project) == [row for n, row in enumerate(ROWS) if n not in (4, 9)]


@pytest.mark.full
def test_csv_line_is_quarantined_if_its_column_count_differs(project: Project, drive: Path) -> None:
    lines = FORMS["csv", False].splitlines()
    lines[3] = lines[3].rpartition(b",")[0]
    lines[7] += b",1"
    (drive / f"{NAME}.csv").write_bytes(b"\n".join(lines))
    load_once(project)
    reason = "unreadable CSV record: {} columns where the header has 10"
    assert quarantined(project) == [
        (4, lines[3].decode(), reason.format(9)),
        (8, lines[7].decode(), reason.format(11)),
    ]
    assert published(project) == [row for n, row in enumerate(ROWS) if n not in (2, 6)]


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("encoding", ["json", "csv", "dbn"])
def test_malformed_values_are_quarantined_in_every_encoding(
    project: Project, drive: Path, encoding: str
) -> None:
    records = RECORDS.copy()
    records["high"][0] = records["low"][0] - 1
    records["close"][1] = UNDEFINED_PRICE
    records["ts_event"][2] += 60 * 10**9
    records["ts_event"][3] += 1
    records["rtype"][4] = 33
    is_text = encoding != "dbn"
    if is_text:  # The encoder refuses a record of another type.
        records["rtype"][4] = 34
    data = text_file(records, encoding) if is_text else dbn_file(records, zstd=False)
    (drive / f"{NAME}.{encoding}").write_bytes(data)
    load_once(project)
    found = {
        record_no - (encoding == "csv"): reason for record_no, _, reason in quarantined(project)
    }
    reasons = {
        1: "open or close lies outside low to high",
        2: "undefined price",
        3: "ts_event is not the start of a 1h bar",
        4: "ts_event is not on a whole microsecond",
        5: "rtype 33 among ohlcv-1h",
    }
    assert found == {n: reason for n, reason in reasons.items() if n < 5 or not is_text}
    assert published(project) == ROWS[4 if is_text else 5 :]
    for record_no, record, _ in quarantined(project):
        if is_text:
            assert record == data.splitlines()[record_no - 1].decode()
        else:
            shown = json.loads(record)
            assert {name: shown[name] for name in ("ts_event", "close", "volume")} == {
                name: int(records[name][record_no - 1]) for name in ("ts_event", "close", "volume")
            }


@pytest.mark.full
def test_windows_line_ends_and_blank_lines_are_accepted(project: Project, drive: Path) -> None:
    for (encoding, pretty), data in FORMS.items():
        blank = b"\n\n" if encoding == "json" else b""
        changed = data.replace(b"\n", b"\r\n") + blank + b"\r\n  \n"
        (drive / f"{NAME}-{pretty}.{encoding}").write_bytes(changed)
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert quarantined(project) == []
    assert published(project) == ROWS
    found = {c.path: (c.records, c.blank_lines) for c in outcome.survey.contents.values()}
    assert found == {
        f"{NAME}-{pretty}.{encoding}": (24, 4 if encoding == "json" else 2)
        for encoding, pretty in FORMS
    }


def read(data: bytes) -> pl.DataFrame:
    """Return the landed rows of a file with these bytes."""
    source = SourceStream(io.BytesIO(data), len(data))
    file_format = sniff(source.head())
    assert isinstance(file_format, FileFormat)
    parts = list(pieces_of(file_format, FileContext(1, DATASET, None), source))
    decoded = decode(file_format, [part.piece for part in parts])
    context = [part.context for part in parts][:1]
    universe = load_universe()
    rules = Rules((DATASET,), universe.calendars(), universe.ticks())
    return canonicalise(decoded, file_format.rtype, context, rules)


REQUIRED = ("fault", "root", "rtype", "trade_date", "open", "high", "low", "close", "volume")


def is_valid(row: dict[str, object]) -> bool:
    """Whether the audit could publish the row: nothing is missing, and it has no fault."""
    return row["fault"] is None and all(row[name] not in (None, "") for name in REQUIRED[1:])


# Never a record: the start of one, or anything after an exclamation mark.
GARBAGE = st.one_of(
    st.tuples(st.integers(0, 23), st.integers(1, 60)).map(lambda cut: cut),
    st.binary(max_size=60).map(lambda tail: b"!" + tail.replace(b"\n", b"")),
    st.sampled_from(
        [b"[]", b"{}", b"null", b'"x"', b"3", b'{"hd":1}', b'{"hd":{}}', b"[" * 3000, b",,,,,,,,,"]
    ),
)
LINES = st.lists(
    st.one_of(
        st.integers(0, 23).map(lambda n: ("good", n)),
        st.sampled_from([b"", b" ", b"\r", b"\t \r"]).map(lambda line: ("blank", line)),
        GARBAGE.map(lambda line: ("garbage", line)),
    ),
    max_size=30,
)


ANY_LINES = {"lines": LINES, "form": st.sampled_from(list(FORMS)), "ends": st.booleans()}


@settings(max_examples=30)
@given(**ANY_LINES)
def test_every_line_becomes_a_row_or_a_fault_unless_blank(**file: Any) -> None:
    assert_every_line_counts(**file)


@pytest.mark.full
@settings(max_examples=150)
@given(**ANY_LINES)
def test_every_line_becomes_a_row_or_a_fault_in_150_files(**file: Any) -> None:
    assert_every_line_counts(**file)


def assert_every_line_counts(
    lines: list[tuple[str, object]], form: tuple[str, bool], ends: bool
) -> None:
    """Each line is a row, a fault with its text, or blank; none is lost or invented."""
    intact = FORMS[form].splitlines()
    head, records = (intact[:1], intact[1:]) if form[0] == "csv" else ([], intact)
    # A valid first record, by which the format is detected.
    texts, kinds = [*head, records[0]], ["header"] * len(head) + ["good"]
    wanted = [ROWS[0]]
    for kind, value in lines:
        if kind == "good":
            texts.append(records[value])
            wanted.append(ROWS[value])
        elif isinstance(value, tuple):
            texts.append(records[value[0]][: value[1]])
        else:
            texts.append(value)
        kinds.append(kind)
    if not ends and kinds[-1] == "blank":
        ends = True
    rows = read(b"\n".join(texts) + b"\n" * ends).to_dicts()

    assert len(rows) + kinds.count("blank") + len(head) == len(texts)
    numbered = {row["record_no"]: row for row in rows}
    assert len(numbered) == len(rows)
    for number, (kind, text) in enumerate(zip(kinds, texts, strict=True), start=1):
        if kind in ("blank", "header"):
            assert number not in numbered
        elif kind == "garbage":
            assert not is_valid(numbered[number])
            assert numbered[number]["raw"] == text.rstrip(b"\r").decode("utf-8", "backslashreplace")
        else:
            row = numbered[number]
            expected = wanted.pop(0)
            assert {name: row[name] for name in expected} == expected
            assert is_valid(row)
            assert row["raw"] is None
    assert wanted == []


ANY_BYTE = {
    "form": st.sampled_from(list(FORMS)),
    "at": st.integers(0, 10_000),
    "byte": st.integers(0, 255).filter(lambda byte: byte != ord("\n")),
    "record": st.integers(1, 23),
}


@pytest.mark.full
@settings(max_examples=40)
@given(**ANY_BYTE)
def test_changed_byte_changes_no_other_line(**change: Any) -> None:
    assert_no_other_line_changes(**change)


@pytest.mark.full
@settings(max_examples=300)
@given(**ANY_BYTE)
def test_changed_byte_changes_no_other_line_in_300_files(**change: Any) -> None:
    assert_no_other_line_changes(**change)


def assert_no_other_line_changes(form: tuple[str, bool], at: int, byte: int, record: int) -> None:
    lines = FORMS[form].splitlines()
    first = 1 if form[0] == "csv" else 0
    line = bytearray(lines[first + record])
    line[at % len(line)] = byte
    lines[first + record] = bytes(line)
    rows = read(b"\n".join(lines)).to_dicts()
    assert [row["record_no"] for row in rows] == list(range(first + 1, first + 25))
    others = [
        (row, want) for n, (row, want) in enumerate(zip(rows, ROWS, strict=True)) if n != record
    ]
    assert all({name: row[name] for name in want} == want for row, want in others)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("rtype", "99999", "rtype '99999'"),
        ("instrument_id", "99999999999999999999", "instrument_id '99999999999999999999'"),
        ("volume", '"1_000"', "'1_000' is no whole number"),
        ("volume", '"１２"', "'１２' is no whole number"),
        ("open", '"nan"', "price 'nan'"),
        ("open", '"inf"', "price 'inf'"),
        ("ts_event", '"9999-01-01T00:00:00.000000000Z"', "does not fit 64 bits"),
        ("ts_event", '"2025-13-01T00:00:00.000000000Z"', "Month out of range"),
        ("ts_event", '"yesterday"', "ts_event 'yesterday'"),
        ("symbol", r'"\ud800"', "surrogates not allowed"),
    ],
)
def test_record_has_fault_if_value_is_impossible(field: str, value: str, reason: str) -> None:
    lines = FORMS["json", True].decode().splitlines()
    record = json.loads(lines[1])
    (record["hd"] if field in record["hd"] else record)[field] = "@"
    lines[1] = json.dumps(record).replace('"@"', value)
    rows = read("\n".join(lines).encode()).to_dicts()
    assert rows[1]["fault"].startswith("unreadable JSON record: ")
    assert reason in rows[1]["fault"]
    assert rows[1]["raw"] == lines[1]
    assert [row["fault"] for row in rows[:1] + rows[2:]] == [None] * 23


@pytest.mark.parametrize("encoding", ["json", "csv"])
def test_price_format_is_detected_despite_a_bad_first_record(encoding: str) -> None:
    """Raw prices read as pretty ones would be 1e9 times too high."""
    lines = FORMS[encoding, False].splitlines()
    first = 1 if encoding == "csv" else 0
    for bad in (
        lines[first].replace(b"45010000000", b"4501.000000"),
        lines[first].replace(b"45010000000", b""),
        lines[first].replace(b"45010000000", b"").replace(b"45060000000", b"0."),
    ):
        rows = read(b"\n".join([*lines[:first], bad, *lines[first + 1 :]])).to_dicts()
        assert [row["open"] for row in rows[1:]] == [row["open"] for row in ROWS[1:]]


@pytest.mark.parametrize("encoding", ["json", "csv"])
def test_price_without_a_point_among_pretty_ones_is_quarantined(encoding: str) -> None:
    """A spreadsheet writes 6000.000000000 as 6000, which as a raw price would be 0.000006."""
    lines = FORMS[encoding, True].splitlines()
    last = lines[-1].replace(f"{ROWS[-1]['open']:.9f}".encode(), b"6000")
    assert last != lines[-1]
    rows = read(b"\n".join([*lines[:-1], last])).to_dicts()
    assert rows[-1]["fault"] == f"unreadable {encoding.upper()} record: price '6000'"
    assert rows[-1]["raw"] == last.decode()
    assert [row["open"] for row in rows[:-1]] == [row["open"] for row in ROWS[:-1]]
