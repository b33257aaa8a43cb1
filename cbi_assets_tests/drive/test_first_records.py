"""The first records decide together what a file is; no single one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.drive.first_records import (
    FIRST_RECORDS,
    FirstRecord,
    consensus,
    first_record,
    is_decided,
)
from cbi_assets.drive.formats import FileFormat, Rejected, sniff
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    text_file,
)

BAR = {"rtype": 34, "publisher_id": 1, "close": "1.25", "ts_event": "2025-01-06T15:00:00Z"}
TEXTS = {encoding: text_file(bars(4), encoding) for encoding in ("json", "csv")}
HEADERS = {
    "json": b'"rtype":34,"publisher_id":1,',
    "csv": b",34,1,",
}


@pytest.mark.parametrize("encoding", ["json", "csv"])
@pytest.mark.parametrize(("rtype", "publisher"), [("33", "1"), ("0", "1"), ("34", "2")])
def test_sniff_follows_most_records_if_the_first_one_differs(
    encoding: str, rtype: str, publisher: str
) -> None:
    header = HEADERS[encoding]
    other = header.replace(b"34", rtype.encode()).replace(b"1,", publisher.encode() + b",")
    found = sniff(TEXTS[encoding].replace(header, other, 1))
    assert isinstance(found, FileFormat)
    assert (found.schema, found.publisher_id) == ("ohlcv-1h", 1)


def test_sniff_returns_another_schema_if_most_records_are_of_it() -> None:
    data = TEXTS["json"].replace(HEADERS["json"], b'"rtype":32,"publisher_id":1,', 3)
    found = sniff(data)
    assert isinstance(found, Rejected)
    assert (found.verdict, found.schema) == ("foreign", "ohlcv-1s")


@pytest.mark.parametrize("zstd", [True, False])
def test_dbn_is_refused_if_its_header_denies_that_its_records_are_bars(zstd: bool) -> None:
    found = sniff(dbn_file(bars(4), "trades", zstd=zstd))
    assert isinstance(found, Rejected)
    assert (found.verdict, found.reason) == (
        "refused",
        "damaged DBN: its header says trades, its records are of ohlcv-1h. "
        "Download the file again.",
    )


@pytest.mark.parametrize(("count", "rtype"), [(0, 34), (4, 32), (4, 0)])
def test_dbn_is_foreign_if_its_records_are_no_bars_either(count: int, rtype: int) -> None:
    records = bars(4)[:count]
    records["rtype"] = rtype
    found = sniff(dbn_file(records, "trades", zstd=False))
    assert isinstance(found, Rejected)
    assert found.verdict == "foreign"


def test_consensus_is_a_bar_if_two_headers_are_equally_common() -> None:
    trade = first_record(BAR | {"rtype": 0})
    assert consensus([trade, first_record(BAR)]).rtype == 34
    assert consensus([trade, trade, first_record(BAR)]).rtype == 0


def test_consensus_ignores_prices_that_disagree() -> None:
    mixed = first_record(BAR | {"open": "1"})
    raw = first_record(BAR | {"close": "1250000000"})
    assert mixed.pretty_px is None
    assert consensus([mixed, raw]).pretty_px is False
    assert consensus([mixed]).pretty_px is None


@pytest.mark.parametrize("field", ["rtype", "publisher_id"])
@pytest.mark.parametrize("value", ["４５", "1e2", True, None, "", 256.0, -1])
def test_first_record_raises_if_its_header_is_no_number(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        first_record(BAR | {field: value})


@pytest.mark.full
def test_all_but_a_first_record_of_another_schema_load(project: Project, drive: Path) -> None:
    data = TEXTS["json"].replace(b'"rtype":34', b'"rtype":0', 1)
    (drive / f"{NAME}.ohlcv-1h.json").write_bytes(data)
    outcome = load_once(project)
    assert published(project) == expected_rows(bars(4))[1:]
    [file] = outcome.quarantined
    assert (file.quarantined, file.record_no) == (1, 1)


flags = st.booleans()
any_record = st.builds(
    FirstRecord,
    rtype=st.sampled_from([33, 34]),
    publisher_id=st.sampled_from([1, 2]),
    pretty_px=st.none() | flags,
    pretty_ts=flags,
    has_symbol=flags,
    is_frame=flags,
)


@given(any_record, st.integers(0, FIRST_RECORDS), st.lists(any_record, max_size=FIRST_RECORDS))
def test_consensus_is_that_of_all_first_records_once_it_is_decided(
    alike: FirstRecord, count: int, others: list[FirstRecord]
) -> None:
    every = [*[alike] * count, *others][:FIRST_RECORDS]
    decided = next((n for n in range(len(every) + 1) if is_decided(every[:n])), None)
    if decided is not None:
        assert consensus(every[:decided]) == consensus(every)


def test_consensus_is_decided_by_more_than_half_of_the_records_tried() -> None:
    pretty = FirstRecord(34, 1, pretty_px=True, pretty_ts=True, has_symbol=True)
    unknown = FirstRecord(34, 1, pretty_px=None, pretty_ts=True, has_symbol=True)
    # FIRST_RECORDS is 20
    assert not is_decided([pretty] * 10)
    assert is_decided([pretty] * 11)
    assert not is_decided([unknown] * 11)  # the others may say how prices are written
    assert not is_decided([unknown] + [pretty] * 10)
