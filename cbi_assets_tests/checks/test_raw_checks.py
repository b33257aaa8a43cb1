"""Raw and matrix checks: each passes on valid rows, and fails on spoilt ones with the offender."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.checks import Check, checks_run_by
from cbi_assets.checks.built_checks import run_matrix
from cbi_assets.checks.raw_checks import run_raw
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import build
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import (
    NOW,
    copy_home,
    load_once,
    open_warehouse,
    paste,
    run_check,
)
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

TABLE = "market_data.databento_futures_ohlcv_1h"
MATRIX = "features.daily_ml_matrix"
FIRST = dt.datetime(2025, 1, 6, 15, tzinfo=dt.UTC)
ONE = "root = 'ZL' AND ts_event = TIMESTAMP '2025-01-06 15:00:00+00'"
COLUMNS = (
    "trade_date, root, symbol, kind, contract, instrument_id, publisher_id, open, high, low, "
    "close, volume, dataset, source_file_id, load_id, loaded_at"
)
RAW_CHECKS = checks_run_by(run_raw, "1h")
NOUNS = {check.name: check.noun for check in (*RAW_CHECKS, *checks_run_by(run_matrix))}


LINES = [record(n, symbol) for n in range(4) for symbol in ("ZL.v.0", "ZS.v.0")]


@pytest.fixture(scope="module")
def new_home(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that each test gets a copy of: four bars of ZL and of ZS on 2025-01-06."""
    project, drive = copy_home(new_home, tmp_path_factory.mktemp("loaded"))
    put_lines(drive, LINES)
    load_once(project)
    return project.home.root


@pytest.fixture(autouse=True)
def file_id(drive: Path) -> str:
    """Write the loaded file and return its id."""
    return put_lines(drive, LINES)


def change(project: Project, *statements: str) -> None:
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(sql) for sql in statements])


def run(project: Project, name: str, root: str = "ZL", as_of: dt.datetime = NOW) -> CheckResult:
    """One check on one root of two."""
    with open_session(project, now=as_of) as session:
        results = run_check(session, name, ["ZL", "ZS"], "1h")
    assert [result.root for result in results] == ["ZL", "ZS"]
    return next(result for result in results if result.root == root)


def later_bar(date: str) -> str:
    """SQL that inserts a valid bar of ZL on another date, a copy of the first one."""
    rest = COLUMNS.replace("trade_date, ", "")
    return (
        f"INSERT INTO `{TABLE}` (ts_event, {COLUMNS}) "
        f"SELECT TIMESTAMP '{date} 15:00:00+00', DATE '{date}', {rest} FROM `{TABLE}` WHERE {ONE}"
    )


@dataclass(frozen=True)
class Fault:
    """SQL that spoils the table or its ledger, and what the check must then find for ZL.

    By default that is one offending row.
    """

    check: str
    spoil: str
    sample: dict[str, Any]
    actual: str = ""
    expected: str = ""


def expected_texts(fault: Fault) -> tuple[str, str]:
    """`expected` and `actual` of the result."""
    return fault.expected or "none", fault.actual or f"1 {NOUNS[fault.check]}"


BAR = {"root": "ZL", "symbol": "ZL.v.0", "ts_event": FIRST}
FAULTS = [
    Fault(
        "row_count_matches_files",
        f"DELETE FROM `{TABLE}` WHERE {ONE}",
        {},
        "3 bars (1 file differs)",
        "4 bars (ops.loads)",
    ),
    Fault(
        "row_count_matches_files",
        "UPDATE `ops.loads` SET published = 5 WHERE root = 'ZL'",
        {},
        "4 bars (1 file differs)",
        "5 bars (ops.loads)",
    ),
    Fault(
        "row_count_matches_files",
        "DELETE FROM `ops.loads` WHERE root = 'ZL'",
        {},
        "4 bars (1 file differs)",
        "0 bars (ops.loads)",
    ),
    Fault(
        "no_duplicate_bars",
        f"INSERT INTO `{TABLE}` (ts_event, {COLUMNS}) "
        f"SELECT ts_event, {COLUMNS} FROM `{TABLE}` WHERE {ONE}",
        BAR | {"copies": 2},
    ),
    Fault(
        "source_is_databento",
        f"UPDATE `{TABLE}` SET dataset = 'YAHOO' WHERE {ONE}",
        {"root": "ZL", "dataset": "YAHOO", "bars": 1},
    ),
    Fault(
        "source_is_databento",
        f"UPDATE `{TABLE}` SET source_file_id = 'beef' WHERE {ONE}",
        {"root": "ZL", "source_file_id": "beef", "bars": 1},
    ),
    *(
        Fault("ohlc_is_consistent", f"UPDATE `{TABLE}` SET {spoil} WHERE {ONE}", BAR)
        for spoil in (
            "open = high + 1",
            "close = high + 1",
            "open = low - 1",
            "close = low - 1",
            "volume = -1",
            *(f"{price} = NULL" for price in ("open", "high", "low", "close")),
        )
    ),
    *(
        Fault(
            "prices_are_on_tick", f"UPDATE `{TABLE}` SET {spoil} WHERE {ONE}", BAR | {"tick": 0.01}
        )
        for spoil in (
            *(f"{price} = {price} + 0.005" for price in ("open", "high", "low", "close")),
            "high = CAST('inf' AS FLOAT64)",
            "high = 1e10",  # beyond 64 bits in units of 1e-9
        )
    ),
    # The next close is 12.00, and 1.5 x 7.99 = 11.985; 2/3 x 18.01 = 12.0067.
    *(
        Fault(
            "prices_are_plausible",
            f"UPDATE `{TABLE}` SET close = {close} WHERE {ONE}",
            {"ts_event": FIRST + dt.timedelta(hours=1), "close": 12.0, "previous_close": close},
        )
        for close in (7.99, 18.01, -12.0)
    ),
    *(
        Fault(
            "schema_matches_timeframe",
            f"UPDATE `{TABLE}` SET ts_event = TIMESTAMP_ADD(ts_event, INTERVAL {by}) WHERE {ONE}",
            {"root": "ZL", "symbol": "ZL.v.0", "schema": "ohlcv-1h"},
        )
        for by in ("30 MINUTE", "1 SECOND", "400 MILLISECOND")
    ),
    Fault(
        "schema_matches_timeframe",
        "UPDATE `ops.source_files` SET schema = 'ohlcv-1m' WHERE TRUE",
        BAR | {"schema": "ohlcv-1m"},
        "4 wrong-timeframe bars",
    ),
    Fault(
        "no_unexplained_gaps",
        later_bar("2025-01-08"),
        {"root": "ZL", "series": "ZL.v.0", "trade_date": dt.date(2025, 1, 7)},
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.check}: {fault.spoil[:40]}")
def test_check_fails_and_names_the_offender_on_spoilt_rows(project: Project, fault: Fault) -> None:
    change(project, fault.spoil)
    result = run(project, fault.check)
    assert not result.passed
    assert (result.expected, result.actual) == expected_texts(fault)
    assert fault.sample.items() <= result.sample[0].items()
    assert paste(project, result.sql).drop("offenders").to_dicts() == result.sample
    assert result.failed == (result.severity == "ERROR")


def test_price_that_is_not_a_number_is_off_the_tick(project: Project) -> None:
    change(project, f"UPDATE `{TABLE}` SET close = CAST('nan' AS FLOAT64) WHERE {ONE}")
    assert run(project, "prices_are_on_tick").actual == "1 off-tick bar"


@pytest.mark.parametrize("check", RAW_CHECKS, ids=lambda check: check.name)
def test_check_passes_on_valid_bars(project: Project, check: Check) -> None:
    # ZL's 1h bars are wanted from 2010 on, ZS's are not
    result = run(project, check.name, "ZS")
    assert result.passed
    assert not result.failed
    assert result.expected
    assert result.actual
    assert result.sample == []
    assert not any(paste(project, result.sql)["offenders"])
    assert result.partition == "ZS|1h"


@pytest.mark.parametrize("fault", FAULTS[3:9], ids=lambda fault: fault.check)
def test_check_passes_for_the_other_root(project: Project, fault: Fault) -> None:
    change(project, fault.spoil)
    assert run(project, fault.check, "ZS").passed


@pytest.mark.full
def test_row_count_fails_if_only_the_sum_over_files_agrees(
    project: Project, drive: Path, file_id: str
) -> None:
    second = put_lines(drive, [record(4)], "b.json")
    load_once(project)
    change(project, f"UPDATE `{TABLE}` SET source_file_id = '{second}' WHERE {ONE}")
    result = run(project, "row_count_matches_files")
    assert (result.expected, result.actual) == ("5 bars (ops.loads)", "5 bars (2 files differ)")
    assert not result.passed
    assert result.sample[0]["first_file_that_differs"] == min(file_id, second)


@pytest.mark.full
def test_row_count_check_fails_if_a_file_lost_all_of_its_bars(
    project: Project, drive: Path
) -> None:
    second = put_lines(drive, [record(4)], "b.json")
    load_once(project)
    change(project, f"DELETE FROM `{TABLE}` WHERE source_file_id = '{second}'")
    result = run(project, "row_count_matches_files")
    assert (result.expected, result.actual) == ("5 bars (ops.loads)", "4 bars (1 file differs)")
    assert result.sample[0]["first_file_that_differs"] == second


def test_row_count_names_the_file_that_differs(project: Project, file_id: str) -> None:
    change(project, f"DELETE FROM `{TABLE}` WHERE {ONE}")
    (row,) = run(project, "row_count_matches_files").sample
    assert row["first_file_that_differs"] == file_id


@pytest.mark.full
def test_overlap_check_fails_if_files_disagree(project: Project, drive: Path, file_id: str) -> None:
    other = put_lines(drive, [record(1, close="11.000000000")], job=LATER_JOB)
    load_once(project)
    result = run(project, "no_overlapping_loads_disagree")
    (row,) = result.sample
    assert result.failed
    assert (row["source_file_id"], row["published_file_id"]) == (other, file_id)
    assert (row["close"], row["published_close"]) == (11.0, 12.0)
    assert run(project, "no_overlapping_loads_disagree", "ZS").passed


@pytest.mark.full
def test_sample_has_20_rows_if_there_are_more_offenders(project: Project, drive: Path) -> None:
    put_lines(drive, [record(n) for n in range(4, 40)], "b.json")
    load_once(project)
    change(project, f"UPDATE `{TABLE}` SET volume = -1 WHERE root = 'ZL'")
    result = run(project, "ohlc_is_consistent")
    assert result.actual == "40 inconsistent bars"
    assert len(result.sample) == 20


@pytest.mark.full
def test_gap_check_passes_if_the_vendor_is_known_to_lack_the_day(project: Project) -> None:
    # the vendor lacks 2014-06-11 of the grains, and 2014-06-13 of CME, NYMEX and COMEX, not of CBOT
    moved = f"UPDATE `{TABLE}` SET trade_date = DATE '2014-06-10' WHERE root = 'ZL'"
    change(project, moved, later_bar("2014-06-12"))
    assert run(project, "no_unexplained_gaps").passed
    change(project, later_bar("2014-06-16"))
    assert not run(project, "no_unexplained_gaps").passed


@pytest.mark.full
def test_gap_check_finds_a_monday_but_no_weekend_or_holiday(project: Project) -> None:
    # Martin Luther King's day was the 20th
    change(project, later_bar("2025-01-07"), later_bar("2025-01-08"), later_bar("2025-01-09"))
    change(project, later_bar("2025-01-10"), later_bar("2025-01-14"), later_bar("2025-01-15"))
    change(project, later_bar("2025-01-16"), later_bar("2025-01-17"), later_bar("2025-01-21"))
    result = run(project, "no_unexplained_gaps", as_of=dt.datetime(2025, 1, 22, tzinfo=dt.UTC))
    assert [row["trade_date"] for row in result.sample] == [dt.date(2025, 1, 13)]


def test_gap_check_passes_if_the_job_says_the_day_is_missing(project: Project) -> None:
    change(project, later_bar("2025-01-08"))
    with open_session(project, now=NOW) as session:
        (result,) = run_check(
            session, "no_unexplained_gaps", ["ZL"], "1h", missing_days=[dt.date(2025, 1, 7)]
        )
    assert result.passed


@pytest.mark.full
def test_bars_are_fresh_for_five_trade_dates(project: Project) -> None:
    # closed by then: 6 to 10 January; and, past a weekend, 7 to 13 January
    fresh = run(project, "bars_are_fresh", as_of=dt.datetime(2025, 1, 11, 12, tzinfo=dt.UTC))
    stale = run(project, "bars_are_fresh", as_of=dt.datetime(2025, 1, 14, 12, tzinfo=dt.UTC))
    assert fresh.passed
    assert not stale.passed
    assert (stale.expected, stale.actual) == ("2025-01-07 or later", "newest bar 2025-01-06")
    assert not stale.failed  # it only warns


def test_coverage_warns_if_wanted_dates_are_missing(project: Project) -> None:
    result = run(project, "coverage_is_uniform")
    assert not result.passed
    assert result.expected == "2010-06-07 to 2025-01-06 or later"
    assert result.actual == "2025-01-06 to 2025-01-06"
    assert not result.failed  # it only warns


@pytest.mark.full
def test_coverage_may_end_one_trade_date_before_the_others(project: Project) -> None:
    change(project, later_bar("2025-01-07"))
    assert run(project, "coverage_is_uniform", "ZS").passed
    change(project, later_bar("2025-01-08"))
    result = run(project, "coverage_is_uniform", "ZS")
    assert not result.passed
    assert result.expected == "2025-01-06 to 2025-01-07 or later"
    assert result.actual == "2025-01-06 to 2025-01-06"


def build_all(project: Project) -> Any:
    with open_session(project, now=NOW) as session:
        return build(session)


def run_matrix(project: Project, name: str) -> dict[str, CheckResult]:
    with open_session(project, now=NOW) as session:
        results = run_check(session, name, ["ZL", "ZS"])
    return {result.root: result for result in results}


MATRIX_FAULTS = [
    Fault(
        "one_row_per_trade_date",
        f"INSERT INTO `{MATRIX}` SELECT * FROM `{MATRIX}` WHERE symbol = 'ZL'",
        {"data_date": dt.date(2025, 1, 6), "copies": 2},
    ),
    Fault(
        "prices_come_from_databento",
        f"UPDATE `{MATRIX}` SET source = STRUCT('yahoo' AS price_source, "
        "source.active_contract AS active_contract, source.roll_rule AS roll_rule, "
        "source.load_ids AS load_ids) WHERE symbol = 'ZL'",
        {"data_date": dt.date(2025, 1, 6), "price_source": "yahoo"},
    ),
    Fault(
        "prices_come_from_databento",
        f"UPDATE `{MATRIX}` SET source = STRUCT(source.price_source AS price_source, "
        "source.active_contract AS active_contract, source.roll_rule AS roll_rule, "
        "['L-unknown'] AS load_ids) WHERE symbol = 'ZL'",
        {"data_date": dt.date(2025, 1, 6), "price_source": TABLE},
    ),
    Fault(
        "regime_covers_every_row",
        f"UPDATE `{MATRIX}` SET regime_name = NULL WHERE symbol = 'ZL'",
        {"data_date": dt.date(2025, 1, 6)},
    ),
]


@pytest.mark.parametrize("fault", MATRIX_FAULTS, ids=lambda fault: fault.check)
def test_matrix_check_passes_then_fails_on_spoilt_rows(project: Project, fault: Fault) -> None:
    assert not build_all(project).has_failures
    assert run_matrix(project, fault.check)["ZL"].passed
    change(project, fault.spoil)
    results = run_matrix(project, fault.check)
    assert results["ZS"].passed
    assert results["ZL"].failed
    assert (results["ZL"].expected, results["ZL"].actual) == expected_texts(fault)
    assert fault.sample.items() <= results["ZL"].sample[0].items()
    pasted = paste(project, results["ZL"].sql)
    assert pasted.drop("offenders").to_dicts() == results["ZL"].sample
    assert results["ZL"].partition == "ZL"


def test_every_raw_and_matrix_check_is_tested_here() -> None:
    tried = {fault.check for fault in (*FAULTS, *MATRIX_FAULTS)}
    tried |= {"no_overlapping_loads_disagree", "bars_are_fresh", "coverage_is_uniform"}
    tried |= {"days_are_final"}  # in test_vendor_days.py
    assert tried == set(NOUNS)
