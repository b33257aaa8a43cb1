"""hourly_rebuilds_daily and minute_rebuilds_hourly, on bars that agree and bars that differ."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import NOW, START, load_once, paste, run_check
from cbi_assets_tests.load.lines import put_lines, record

NAMES: dict[Timeframe, str] = {"1d": "hourly_rebuilds_daily", "1h": "minute_rebuilds_hourly"}


def rebuild(project: Project, drive: Path, timeframe: Timeframe, lines: list[str]) -> CheckResult:
    """Load the lines, one file per record type, and run the check."""
    for rtype in (33, 34, 35):
        own = [line for line in lines if json.loads(line)["hd"]["rtype"] == rtype]
        put_lines(drive, own, f"{rtype}.json")
    load_once(project)
    with open_session(project, now=NOW) as session:
        (result,) = run_check(session, NAMES[timeframe], ["ZL"])
    return result


HOURLY_JOB = "GLBX-20250109-HHHHHHHHHH"

# Monday's hours at 15:00 and 16:00 UTC: open 10, high 14, low 8, close 11, volume 5 + 7
HOURS = [
    record(0, low="8.000000000"),
    record(1, high="14.000000000", close="11.000000000", volume="7"),
]
DAY = {
    "timeframe": "1d",
    "high": "14.000000000",
    "low": "8.000000000",
    "close": "11.000000000",
    "volume": "12",
}


@pytest.mark.full
def test_check_passes_if_the_hours_make_the_day(project: Project, drive: Path) -> None:
    result = rebuild(project, drive, "1d", [*HOURS, record(0, **DAY)])
    assert result.passed
    assert result.name == "hourly_rebuilds_daily"
    assert result.partition == "ZL|1d"
    assert result.actual == "0 mismatched bars of 1 compared"


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "change",
    [
        {"open": "10.010000000"},
        {"high": "14.010000000"},
        {"low": "7.990000000"},
        {"close": "11.010000000"},
        {"volume": "13"},
    ],
)
def test_check_fails_if_a_tick_or_a_lot_differs(
    project: Project, drive: Path, change: dict[str, str]
) -> None:
    result = rebuild(project, drive, "1d", [*HOURS, record(0, **{**DAY, **change})])
    assert result.failed
    assert result.actual == "1 mismatched bar of 1 compared"
    (row,) = result.sample
    assert paste(project, result.sql).drop("offenders").to_dicts() == [row]
    (name,) = change
    assert row[f"stated_{name}"] == float(change[name])
    assert row[f"stated_{name}"] != row[f"rebuilt_{name}"]


@pytest.mark.full
def test_days_in_only_one_table_are_not_compared(project: Project, drive: Path) -> None:
    lines = [*HOURS, record(0, **DAY), record(1, timeframe="1d", volume="99"), record(48)]
    result = rebuild(project, drive, "1d", lines)
    assert result.passed
    assert result.actual == "0 mismatched bars of 1 compared"


def test_check_fails_if_one_hour_of_a_day_has_no_minutes(project: Project, drive: Path) -> None:
    lines = [record(0), record(1), record(0, timeframe="1m")]
    result = rebuild(project, drive, "1h", lines)
    assert result.failed
    assert result.name == "minute_rebuilds_hourly"
    assert result.actual == "1 mismatched bar of 2 compared"
    assert result.sample[0]["rebuilt_volume"] is None


def test_check_fails_if_minutes_have_no_hour(project: Project, drive: Path) -> None:
    lines = [record(0), record(0, timeframe="1m"), record(60, timeframe="1m")]
    result = rebuild(project, drive, "1h", lines)
    assert result.failed
    assert result.sample[0]["stated_volume"] is None


@pytest.mark.full
def test_minutes_count_toward_their_own_hour(project: Project, drive: Path) -> None:
    lines = [
        record(0, high="15.000000000", close="9.000000000", volume="9"),
        record(0, timeframe="1m", volume="4"),
        record(59, timeframe="1m", high="15.000000000", close="9.000000000"),
        record(1),
        record(60, timeframe="1m"),
    ]
    result = rebuild(project, drive, "1h", lines)
    assert result.passed
    assert result.actual == "0 mismatched bars of 2 compared"


@pytest.mark.full
def test_bars_of_two_instruments_are_not_compared(project: Project, drive: Path) -> None:
    lines = [*HOURS, record(0, "ZLH5", **DAY, instrument_id=11)]
    assert rebuild(project, drive, "1d", lines).actual == "0 mismatched bars"


@pytest.mark.full
def test_hours_of_a_continuous_symbol_meet_the_day_of_its_outright(
    project: Project, drive: Path
) -> None:
    """ZL.v.0 has the id 10, and so has ZLH5 on that day, in another file and encoding."""
    lines = [*HOURS, record(0, "ZLH5", **{**DAY, "volume": "13"}, instrument_id=10)]
    result = rebuild(project, drive, "1d", lines)
    assert result.failed
    assert result.actual == "1 mismatched bar of 1 compared"
    (row,) = result.sample
    assert (row["symbol"], row["finer_symbol"], row["instrument_id"]) == ("ZLH5", "ZL.v.0", 10)
    assert (row["stated_volume"], row["rebuilt_volume"]) == (13, 12)


@pytest.mark.full
def test_each_symbol_of_a_day_is_compared_with_each_of_its_hours(
    project: Project, drive: Path
) -> None:
    """Two symbols a side are four pairs; the outright's second hour lost a lot (5 + 6)."""
    of_outright = [json.loads(line) | {"symbol": "ZLH5"} for line in HOURS]
    of_outright[1]["volume"] = "6"
    days = [record(0, symbol, **DAY, instrument_id=10) for symbol in ("ZL.v.0", "ZLH5")]
    result = rebuild(project, drive, "1d", [*HOURS, *map(json.dumps, of_outright), *days])
    assert result.actual == "2 mismatched bars of 4 compared"
    assert [(row["symbol"], row["finer_symbol"]) for row in result.sample] == [
        ("ZL.v.0", "ZLH5"),
        ("ZLH5", "ZLH5"),
    ]


@pytest.mark.full
def test_an_id_that_another_instrument_has_the_next_day_is_not_compared_across_days(
    project: Project, drive: Path
) -> None:
    lines = [*HOURS, record(1, "ZLH5", **DAY, instrument_id=10)]
    assert rebuild(project, drive, "1d", lines).actual == "0 mismatched bars"


@pytest.mark.full
def test_an_hour_without_volume_needs_no_minutes(project: Project, drive: Path) -> None:
    """Its prices, far from the trades, do not enter the day either."""
    quiet = {"open": "99.000000000", "high": "99.000000000", "low": "1.000000000"}
    idle = record(1, **quiet, close="99.000000000", volume="0")
    minutes = {"timeframe": "1m"}
    day = record(0, timeframe="1d")  # equals the first hour
    lines = [record(0), idle, record(0, **minutes), day]
    assert rebuild(project, drive, "1h", lines).actual == "0 mismatched bars of 2 compared"
    with open_session(project, now=NOW) as session:
        (of_day,) = run_check(session, NAMES["1d"], ["ZL"])
    assert of_day.actual == "0 mismatched bars of 1 compared"


@pytest.mark.full
def test_a_day_in_which_a_file_of_hours_begins_is_not_compared(
    project: Project, drive: Path
) -> None:
    """The job's hours were requested from 15:30 on Monday; Tuesday's, to midnight, are whole."""
    begin = START.replace(hour=15, minute=30)
    end = START.replace(hour=0) + dt.timedelta(days=2)
    asked = {name: int(at.timestamp()) * 10**9 for name, at in (("start", begin), ("end", end))}
    metadata = {"job_id": HOURLY_JOB, "query": {"dataset": "GLBX.MDP3", **asked}}
    put_lines(drive, [record(1), record(24)], job=HOURLY_JOB)
    (drive / HOURLY_JOB / "metadata.json").write_text(json.dumps(metadata))
    put_lines(drive, [record(0, timeframe="1d", volume="9"), record(1, timeframe="1d")])
    load_once(project)
    with open_session(project, now=NOW) as session:
        (result,) = run_check(session, NAMES["1d"], ["ZL"])
    assert result.actual == "0 mismatched bars of 1 compared"
