"""A load decides on every record: published, duplicate, quarantined, in conflict, or outside."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.errors import UsageError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.load.load import LoadOutcome, choose_partitions
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    JOB,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    open_warehouse,
    published,
    put_job,
    query,
    table,
)
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

BOOKS = ("records", "published", "duplicates", "quarantined", "conflicts", "outside_universe",
         "not_loaded")  # fmt: skip


def books(project: Project) -> dict[str, tuple[int, ...]]:
    """Each file's books by its name, in the order of BOOKS; they must balance."""
    with open_warehouse(project) as warehouse:
        rows = books_by_file(warehouse)
    assert set(rows["difference"]) <= {0}
    return {row["path"].split("/")[-1]: tuple(row[c] for c in BOOKS) for row in rows.to_dicts()}


def failed_checks(outcome: LoadOutcome) -> set[tuple[str, str]]:
    return {(r.name, r.partition) for r in outcome.checks if r.failed}


def test_duplicates_within_a_file_are_dropped_and_counted(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1), record(0), record(2), record(1)])
    outcome = load_once(project)
    assert books(project) == {"a.json": (5, 3, 2, 0, 0, 0, 0)}
    assert table(project).height == 3
    assert not outcome.has_failures


def test_duplicates_within_a_load_stay_with_the_first_file(project: Project, drive: Path) -> None:
    first = put_lines(drive, [record(0), record(1)])
    second = put_lines(drive, [record(1), record(2)], "b.json")
    load_once(project)
    assert books(project) == {"a.json": (2, 2, 0, 0, 0, 0, 0), "b.json": (2, 1, 1, 0, 0, 0, 0)}
    assert table(project)["source_file_id"].to_list() == [first, first, second]


def test_duplicates_of_published_bars_are_dropped(project: Project, drive: Path) -> None:
    first = put_lines(drive, [record(0), record(1)], "z.json")
    load_once(project)
    # the name sorts before the first file's: what is published stays all the same
    second = put_lines(drive, [record(0), record(1), record(2)], "a.json")
    outcome = load_once(project)
    assert books(project) == {"z.json": (2, 2, 0, 0, 0, 0, 0), "a.json": (3, 1, 2, 0, 0, 0, 0)}
    assert table(project)["source_file_id"].to_list() == [first, first, second]
    (part,) = outcome.partitions
    assert (part.rows_before, part.rows_after) == (2, 3)
    assert (part.records, part.published, part.duplicates) == (3, 1, 2)


def test_the_same_file_twice_is_one_source(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    put_lines(drive, [record(0)], job=LATER_JOB)
    load_once(project)
    assert books(project) == {"a.json": (1, 1, 0, 0, 0, 0, 0)}


DIFFERENT: list[dict[str, Any]] = [
    {"open": "10.250000000"},
    {"high": "13.250000000"},
    {"low": "8.750000000"},
    {"close": "12.000000001"},
    {"volume": "6"},
    {"instrument_id": 11},
]


@pytest.mark.parametrize("change", DIFFERENT, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("at_once", [True, False], ids=["within a load", "against the table"])
def test_a_bar_that_disagrees_is_kept_with_the_published_one(
    project: Project, drive: Path, change: dict[str, Any], at_once: bool
) -> None:
    first = put_lines(drive, [record(0), record(1)])
    if not at_once:
        load_once(project)
    second = put_lines(drive, [record(2), record(1, **change)], "b.json")
    outcome = load_once(project)

    (conflict,) = query(project, "SELECT * FROM `ops.bar_conflicts`").to_dicts()
    plain = {"open": 10.0, "high": 13.0, "low": 9.0, "close": 12.0, "volume": 5,
             "instrument_id": 10}  # fmt: skip
    told = {name: type(plain[name])(value) for name, value in change.items()}
    assert conflict["published"] == plain
    assert conflict["version"] == plain | told
    assert (conflict["source_file_id"], conflict["record_no"]) == (second, 2)
    assert conflict["published_file_id"] == first
    assert (conflict["symbol"], conflict["root"], conflict["timeframe"]) == ("ZL.v.0", "ZL", "1h")
    assert conflict["ts_event"] == dt.datetime(2025, 1, 6, 16, tzinfo=dt.UTC)
    assert conflict["load_id"] == outcome.load_id

    held = table(project)
    assert held["source_file_id"].to_list() == [first, first, second]
    assert held.select(plain.keys()).row(1, named=True) == plain
    assert books(project)["b.json"] == (2, 1, 0, 0, 1, 0, 0)
    assert failed_checks(outcome) == {("no_overlapping_loads_disagree", "ZL|1h")}
    assert outcome.has_failures


def test_a_conflict_within_one_file_keeps_the_first_record(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, volume="7"), record(0), record(0, volume="7")])
    load_once(project)
    assert books(project) == {"a.json": (4, 1, 1, 0, 2, 0, 0)}
    assert table(project)["volume"].to_list() == [5]


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
    ({"publisher_id": ...}, "dataset unknown may not be published"),
    ({"instrument_id": ...}, "instrument_id or"),
    ({"publisher_id": 2}, "dataset XNAS.ITCH may not be published"),
    ({"publisher_id": 60000}, "dataset unknown may not be published"),
    ({"close": "twelve"}, "price 'twelve'"),
]


@pytest.mark.parametrize(("change", "why"), MALFORMED, ids=lambda part: str(part)[:40])
def test_a_malformed_bar_is_set_aside_as_it_was_read(
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


def test_an_undefined_price_of_a_dbn_record_is_set_aside(project: Project, drive: Path) -> None:
    records = bars(4)
    records["close"][2] = 2**63 - 1
    put_job(drive, {"a.dbn.zst": dbn_file(records)})
    load_once(project)
    (row,) = query(project, "SELECT record, reason FROM `ops.quarantined_bars`").to_dicts()
    assert row["reason"] == "undefined price"
    assert f'"ts_event": {records["ts_event"][2]}' in row["record"]
    assert '"close": 9223372036854775807' in row["record"]


def test_a_malformed_bar_beside_a_sound_one_of_its_key_is_no_conflict(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1"), record(1)])
    load_once(project)
    assert books(project) == {"a.json": (3, 2, 0, 1, 0, 0, 0)}


def test_a_negative_price_is_sound(project: Project, drive: Path) -> None:
    prices = {"open": "-37.000000000", "high": "-36.500000000", "low": "-40.320000000",
              "close": "-37.630000000"}  # fmt: skip
    put_lines(drive, [record(0, **prices)])
    assert not load_once(project).has_failures
    assert table(project)["low"].to_list() == [-40.32]


def test_a_second_load_publishes_nothing(project: Project, drive: Path) -> None:
    put_job(drive, {"a.dbn.zst": dbn_file(bars(24))})
    assert load_once(project).published == 24
    before = query(project, "SELECT * FROM `market_data.databento_futures_ohlcv_1h`")
    again = load_once(project)
    assert (again.published, again.load_id, again.partitions) == (0, None, [])
    assert again.survey.read == 0
    assert not again.has_failures
    after = query(project, "SELECT * FROM `market_data.databento_futures_ohlcv_1h`")
    assert after.sort("ts_event").equals(before.sort("ts_event"))


def test_chosen_partitions_load_alone_and_the_rest_later(project: Project, drive: Path) -> None:
    lines = [record(n, symbol) for n in range(3) for symbol in ("ZL.v.0", "ZS.v.0", "XX.v.0")]
    put_lines(drive, lines)
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    first = load_once(project, partitions=choose_partitions(project.universe, ("ZL",), ("1h",)))
    assert [part.key for part in first.partitions] == ["ZL|1h"]
    assert books(project) == {"a.json": (9, 3, 0, 0, 0, 3, 3), "m.json": (1, 0, 0, 0, 0, 0, 1)}
    status = "SELECT status FROM `ops.source_files` ORDER BY path"
    assert query(project, status)["status"].to_list() == ["partial", "partial"]

    rest = load_once(project)
    assert [part.key for part in rest.partitions] == ["ZS|1h", "ZL|1m"]
    assert books(project) == {"a.json": (9, 6, 0, 0, 0, 3, 0), "m.json": (1, 1, 0, 0, 0, 0, 0)}
    assert query(project, status)["status"].to_list() == ["loaded", "loaded"]
    assert set(table(project)["root"]) == {"ZL", "ZS"}


def test_partitions_are_named_by_roots_and_timeframes_of_the_universe(project: Project) -> None:
    universe = project.universe
    assert choose_partitions(universe) is None
    assert choose_partitions(universe, ("ZL",)) == [("ZL", "1d"), ("ZL", "1h"), ("ZL", "1m")]
    assert len(choose_partitions(universe, (), ("1d",)) or ()) == 32
    with pytest.raises(UsageError, match="--symbol XX"):
        choose_partitions(universe, ("XX",))
    with pytest.raises(UsageError, match="--timeframe 2h"):
        choose_partitions(universe, (), ("2h",))


def test_roots_outside_the_universe_are_counted_and_left_out(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "XX.v.0"), record(1, "XX.v.0")])
    outcome = load_once(project)
    assert books(project) == {"a.json": (3, 1, 0, 0, 0, 2, 0)}
    assert table(project)["root"].to_list() == ["ZL"]
    assert not outcome.has_failures
    assert load_once(project).load_id is None


def test_a_file_of_other_roots_alone_is_in_the_books(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0, "XX.v.0"), record(1, "XX.v.0")])
    load_once(project)
    assert books(project) == {"a.json": (2, 0, 0, 0, 0, 2, 0)}
    assert load_once(project).load_id is None


def test_records_that_name_no_root_are_set_aside(project: Project, drive: Path) -> None:
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


def test_the_canary_keeps_a_rotten_file_out_of_an_empty_table(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0, volume="-1"), record(1, volume="-1")])
    put_lines(drive, [record(2)], "b.json")
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    outcome = load_once(project)
    assert list(outcome.stopped) == ["1h"]
    assert "a.json: the canary found no valid bar in its 2 records" in outcome.stopped["1h"]
    assert outcome.has_failures
    assert table(project, "1h").is_empty()
    assert table(project, "1m").height == 1
    assert query(project, "SELECT * FROM `ops.quarantined_bars`").is_empty()
    assert books(project)["a.json"] == (2, 0, 0, 0, 0, 0, 2)


def test_the_canary_flies_no_more_once_the_table_holds_bars(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)], "z.json")
    load_once(project)
    put_lines(drive, [record(1, volume="-1")])
    outcome = load_once(project)
    assert not outcome.stopped
    assert books(project)["a.json"] == (1, 0, 0, 1, 0, 0, 0)


def test_jobs_that_cover_the_same_dates_are_named(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1), record(2)])
    put_lines(drive, [record(1), record(2), record(3)], job=LATER_JOB)
    (overlap,) = load_once(project).overlaps
    assert {overlap.job, overlap.other_job} == {JOB, LATER_JOB}
    assert (overlap.root, overlap.timeframe) == ("ZL", "1h")
    assert (overlap.first.hour, overlap.last.hour) == (16, 17)


def test_jobs_one_after_the_other_do_not_overlap(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    put_lines(drive, [record(2), record(3)], job=LATER_JOB)
    put_lines(drive, [record(1, "ZS.v.0")], "s.json", job=LATER_JOB)
    assert load_once(project).overlaps == []


def test_what_is_loaded_later_overlaps_what_is_in_the_table(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    put_lines(drive, [record(1), record(2)], job=LATER_JOB)
    (overlap,) = load_once(project).overlaps
    assert (overlap.job, overlap.other_job) == (LATER_JOB, JOB)


def test_every_row_traces_to_the_bytes_of_its_file(project: Project, drive: Path) -> None:
    first = put_lines(drive, [record(0), record(1, volume="-1")])
    second = put_lines(drive, [record(1), record(0, "ZS.v.0")], "b.json", LATER_JOB)
    load_once(project)
    entered = query(project, "SELECT id, path FROM `ops.source_files` ORDER BY path").rows()
    assert entered == [(first, f"{JOB}/a.json"), (second, f"{LATER_JOB}/b.json")]
    assert set(table(project)["source_file_id"]) == {first, second}
    bad = query(project, "SELECT source_file_id, record FROM `ops.quarantined_bars`")
    assert bad.rows() == [(first, record(1, volume="-1"))]


def test_what_is_published_is_what_went_in(project: Project, drive: Path) -> None:
    records = bars(48)
    put_job(drive, {"a.dbn.zst": dbn_file(records)})
    load_once(project)
    assert published(project) == expected_rows(records)
