"""Records that are not bars, or not of their tick, are quarantined as they were read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.load.load import inventory
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import (
    NOW,
    bars,
    dbn_file,
    load_once,
    put_job,
    query,
    table,
)
from cbi_assets_tests.load.books import books
from cbi_assets_tests.load.lines import put_lines, record

MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"open": "14.000000000"}, "open or close lies outside low to high"),
    ({"open": "8.000000000"}, "open or close lies outside low to high"),
    ({"close": "14.000000000"}, "open or close lies outside low to high"),
    ({"close": "8.000000000"}, "open or close lies outside low to high"),
    ({"low": "14.000000000"}, "open or close lies outside low to high"),
    ({"open": None}, "undefined price"),
    ({"high": None}, "undefined price"),
    ({"ts_event": "2025-01-06T16:30:00.000000000Z"}, "not the start of a 1h bar"),
    ({"ts_event": "2025-01-06T16:00:00.000000001Z"}, "whole microsecond"),
    ({"ts_event": "1996-01-06T16:00:00.000000000Z"}, "ts_event is missing or out of range"),
    ({"volume": "-1"}, "volume is missing or negative"),
    ({"volume": ...}, "volume"),
    ({"volume": "9223372036854775808"}, "does not fit 64 bits"),
    ({"rtype": 33}, "rtype 33 among ohlcv-1h"),
    ({"publisher_id": ...}, "no field 'publisher_id'"),
    ({"instrument_id": ...}, "no field 'instrument_id'"),
    ({"publisher_id": 2}, "dataset XNAS.ITCH may not be published"),
    ({"publisher_id": 60000}, "dataset unknown may not be published"),
    ({"close": "twelve"}, "price 'twelve'"),
]


@pytest.mark.full
@pytest.mark.sampled(3)
@pytest.mark.parametrize(("change", "why"), MALFORMED, ids=lambda part: str(part)[:40])
def test_load_quarantines_a_malformed_bar_as_read(
    project: Project, drive: Path, change: dict[str, Any], why: str
) -> None:
    bad = record(1, **change)
    source = put_lines(drive, [record(0), bad, record(2)])
    outcome = load_once(project)

    (row,) = query(project, "SELECT * FROM `ops.quarantined_bars`").to_dicts()
    assert row["record"] == bad
    assert why in row["reason"]
    assert (row["source_file_id"], row["record_no"]) == (source, 2)
    assert (row["timeframe"], row["load_id"]) == ("1h", outcome.load_id)
    assert books(project) == {"a.json": (3, 2, 0, 1, 0, 0, 0)}
    assert [moment.hour for moment in table(project)["ts_event"]] == [15, 17]
    assert outcome.has_failures


@pytest.mark.full
def test_load_quarantines_a_dbn_record_with_an_undefined_price(
    project: Project, drive: Path
) -> None:
    records = bars(4)
    records["close"][2] = 2**63 - 1
    put_job(drive, {"a.dbn.zst": dbn_file(records)})
    load_once(project)
    (row,) = query(project, "SELECT record, reason FROM `ops.quarantined_bars`").to_dicts()
    assert row["reason"] == "undefined price"
    assert f'"ts_event": {records["ts_event"][2]}' in row["record"]
    assert '"close": 9223372036854775807' in row["record"]


@pytest.mark.full
def test_malformed_bar_is_no_conflict_with_a_valid_bar_of_its_key(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1"), record(1)])
    load_once(project)
    assert books(project) == {"a.json": (3, 2, 0, 1, 0, 0, 0)}


@pytest.mark.full
def test_load_quarantines_records_without_a_root(project: Project, drive: Path) -> None:
    lines = [record(0), record(1, None), "{ not a record"]
    put_lines(drive, lines)
    outcome = load_once(project)
    rows = query(project, "SELECT * FROM `ops.quarantined_bars` ORDER BY record_no").to_dicts()
    assert [row["record"] for row in rows] == lines[1:]
    assert [(row["root"], row["symbol"]) for row in rows] == [("", "")] * 2
    assert rows[0]["reason"] == "no symbol for instrument 99 on 2025-01-06 (UTC)"
    assert rows[1]["reason"].startswith("unreadable JSON record")
    assert outcome.unresolved == 2
    assert outcome.has_failures
    assert books(project) == {"a.json": (3, 1, 0, 2, 0, 0, 0)}


def prices(*values: str) -> dict[str, str]:
    """Return the fields open, high, low and close."""
    return dict(zip(("open", "high", "low", "close"), values, strict=True))


@pytest.mark.full
def test_bars_off_the_tick_are_quarantined_as_read(project: Project, drive: Path) -> None:
    lines = [
        record(0),
        record(1, close="12.005000000"),  # ZL's tick is 0.01
        record(2, **prices("10", "13", "9", "12")),
        record(3, "ZLH5-ZLK5", **prices("-0.005000000", "0.125000000", "-0.3", "0.0")),
        record(4, "ZLH5-ZLK5", **prices("0.0", "0.0", "-0.000000003", "0.0")),
        record(5, "ZLH5", **prices("45.010000000", "45.015000000", "45.0", "45.01")),
    ]
    put_lines(drive, lines)
    outcome = load_once(project)
    rows = query(project, "SELECT * FROM `ops.quarantined_bars` ORDER BY record_no").to_dicts()
    assert [(row["record"], row["reason"]) for row in rows] == [
        (lines[1], "a price is not a multiple of the tick 0.01"),
        (lines[2], "unreadable JSON record: price '10'"),
        (lines[4], "a price is below a hundredth of the tick 0.01"),
        (lines[5], "a price is not a multiple of the tick 0.01"),
    ]
    assert table(project, "1h").height == 2
    assert outcome.has_failures


@pytest.mark.full
def test_tick_of_the_bars_own_trade_date_counts(project: Project, drive: Path) -> None:
    """Palladium's is 0.1 up to 2020-12-04, a Friday, and 0.5 from Monday on."""
    day = {"open": "2350.1", "high": "2350.1", "low": "2350.1", "close": "2350.1"}
    times = [f"2020-12-0{n}T15:00:00.000000000Z" for n in (3, 4, 7, 8)]
    put_lines(drive, [record(0, "PA.v.0", ts_event=time, **day) for time in times])
    load_once(project)
    rows = query(project, "SELECT * FROM `ops.quarantined_bars` ORDER BY record_no").to_dicts()
    assert [row["record_no"] for row in rows] == [3, 4]
    assert {row["reason"] for row in rows} == {"a price is not a multiple of the tick 0.5"}
    assert table(project, "1h").height == 2


@pytest.mark.full
def test_record_of_a_bar_off_a_tick_changed_since_landing_is_in_its_file(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0, open="9.0", low="9.0", high="12.5", close="12.5"), record(1)])
    with open_session(project, now=NOW) as session:
        inventory(session)
    roots = project.universe.roots
    coarser = roots["ZL"].model_copy(update={"tick": 1.0})
    changed = project.universe.model_copy(update={"roots": {**roots, "ZL": coarser}})
    load_once(replace(project, universe=changed))
    (row,) = query(project, "SELECT * FROM `ops.quarantined_bars`").to_dicts()
    assert (row["record_no"], row["record"]) == (1, "(not kept: see the file)")
    assert row["reason"] == "a price is not a multiple of the tick 1.0"
