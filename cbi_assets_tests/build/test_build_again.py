"""Building again: only what changed is touched, and the tables are those of a whole rebuild."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.build import BuildOutcome
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.tables import CONTINUOUS, DAILY_ML_MATRIX, ROLL_CALENDAR, SESSIONS
from cbi_assets.verbs import build, unload
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

MON, TUE, WED, THU = (dt.date(2025, 1, day) for day in (6, 7, 8, 9))
LATER = NOW + dt.timedelta(days=1)
BUILT = (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)


def run(project: Project, now: dt.datetime = NOW, **options: object) -> BuildOutcome:
    with open_session(project, now=now) as session:
        return build(session, **options)  # type: ignore[arg-type]


def tables(project: Project) -> dict[str, pl.DataFrame]:
    """The built tables, in order, without the clock."""
    return {
        spec.id: query(project, f"SELECT * FROM `{spec.id}`")
        .sort(spec.key)
        .drop("ingestion_ts", strict=False)
        for spec in BUILT
    }


def written(outcome: BuildOutcome) -> dict[str, tuple[int, int]]:
    return {item.spec.name: (item.written, item.removed) for item in outcome.replaced}


def hours(*places: int, symbol: str = "ZL.v.0", **change: object) -> list[str]:
    """Bars at 15:00 UTC and the hours after it on Monday, in hours from there."""
    return [record(place, symbol, **change) for place in places]


def test_a_new_day_touches_that_day(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 1, 24) + hours(0, 24, symbol="ZS.v.0"))
    load_once(project)
    run(project)
    put_lines(drive, hours(48, 49), job=LATER_JOB)
    load_once(project)
    outcome = run(project, LATER)
    assert outcome.sessions_built == 1
    assert written(outcome) == {
        "futures_sessions_1d": (1, 0),
        "roll_calendar": (0, 0),
        "databento_futures_continuous_1d": (1, 0),
        "daily_ml_matrix": (1, 0),
    }
    fresh = query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").filter(
        pl.col("ingestion_ts") == LATER
    )
    assert fresh.select("symbol", "data_date").rows() == [("ZL", WED)]
    before = tables(project)
    whole = run(project, LATER, whole=True)
    assert whole.sessions_built == 5
    assert set(written(whole).values()) == {(0, 0)}
    assert all(tables(project)[name].equals(rows) for name, rows in before.items())


def test_a_late_bar_recomputes_what_rests_on_it(
    project: Project, drive: Path, make_project: MakeProject
) -> None:
    """A late bar of Monday makes Monday's session, and Tuesday's pivots; Wednesday's weekly pivot
    stands on the week before, and its own on Tuesday: untouched."""
    put_lines(drive, hours(0, 24, 48))
    load_once(project)
    run(project)
    put_lines(drive, hours(1, high="14.000000000"), job=LATER_JOB)
    load_once(project)
    outcome = run(project, LATER)
    assert outcome.sessions_built == 1
    rows = query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("data_date")
    assert rows.filter(pl.col("ingestion_ts") == LATER)["data_date"].to_list() == [MON, TUE]
    # Tuesday's P rests on Monday's high 14, low 9, close 12
    assert rows.row(1, named=True)["pivots"]["P"] == pytest.approx(35 / 3)
    other = make_project("whole")
    load_once(other)
    run(other)
    ids = ("load_ids", "source")  # each home's loads have their own names
    for name, found in tables(project).items():
        assert found.drop(ids, strict=False).equals(tables(other)[name].drop(ids, strict=False)), (
            name
        )


def test_a_corrected_bar_is_taken_in(project: Project, drive: Path) -> None:
    """Its file is taken out and another comes in: as many bars, of as much volume, other prices."""
    put_lines(drive, hours(0, 24))
    wrong = put_lines(drive, hours(48), job=LATER_JOB)
    load_once(project)
    run(project)
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, "file", wrong))
    (drive / LATER_JOB / "a.json").unlink()
    put_lines(drive, hours(48, close="11.000000000"), "b.json", job=LATER_JOB)
    load_once(project)
    outcome = run(project, LATER)
    assert outcome.sessions_built == 1
    rows = query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("data_date")
    assert rows["market_data"].struct["close"].to_list() == [12.0, 12.0, 11.0]
    assert rows.filter(pl.col("ingestion_ts") == LATER)["data_date"].to_list() == [WED]


def test_what_is_unloaded_leaves_the_built_tables(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 24))
    last = put_lines(drive, hours(48), job=LATER_JOB)
    load_once(project)
    run(project)
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, "file", last))
    outcome = run(project, LATER)
    assert written(outcome)["daily_ml_matrix"] == (0, 1)
    assert written(outcome)["futures_sessions_1d"] == (0, 1)
    assert set(tables(project)[DAILY_ML_MATRIX.id]["data_date"]) == {MON, TUE}


def test_a_part_of_a_session_that_is_unloaded_is_noticed(project: Project, drive: Path) -> None:
    """Two files of one load give Monday's session; one of them goes, the load's name stays."""
    put_lines(drive, hours(0))
    second = put_lines(drive, hours(1), "b.json")
    load_once(project)
    run(project)
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, "file", second))
    assert run(project, LATER).sessions_built == 1
    assert tables(project)[SESSIONS.id]["bars"].to_list() == [1]


def test_ten_rows_are_shown_and_nothing_is_published(project: Project, drive: Path) -> None:
    put_lines(drive, hours(*range(0, 96, 24)) + hours(*range(0, 96, 24), symbol="ZS.v.0"))
    load_once(project)
    outcome = run(project, limit=3)
    assert outcome.preview is not None
    assert outcome.preview.select("symbol", "data_date").rows() == [
        ("ZL", THU),
        ("ZS", THU),
        ("ZL", WED),
    ]
    assert outcome.rows == {"ZL": 2, "ZS": 1}
    assert {(result.root, result.passed) for result in outcome.checks} == {
        ("ZL", True),
        ("ZS", True),
    }
    assert all(rows.is_empty() for rows in tables(project).values())


def test_a_row_of_the_preview_that_fails_a_check_is_told(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 24))
    load_once(project)
    with open_warehouse(project) as warehouse:
        # the books know the load no more
        warehouse.transact([Statement("UPDATE `ops.loads` SET load_id = 'X' WHERE TRUE")])
    outcome = run(project, limit=1)
    assert outcome.has_failures
    failed = [result.name for result in outcome.checks if not result.passed]
    assert failed == ["prices_come_from_databento"]


@pytest.mark.both_warehouses
def test_minutes_make_the_session_and_its_hours(project: Project, drive: Path) -> None:
    """Two minutes of 15:00 UTC and one of 16:00 on Monday; the vendor's 1h bars of Tuesday."""
    minutes = [
        record(0, timeframe="1m", volume="1"),  # typical (13+9+12)/3
        record(1, timeframe="1m", high="16.000000000", close="15.000000000", volume="2"),
        record(60, timeframe="1m", open="15.000000000", high="15.000000000", volume="3"),
    ]
    put_lines(drive, minutes, "minutes.json")
    put_lines(drive, hours(24), "hours.json")
    load_once(project)
    run(project)
    monday, tuesday = tables(project)[SESSIONS.id].to_dicts()
    assert (monday["built_from"], tuesday["built_from"]) == ("1m", "1h")
    assert (monday["open"], monday["high"], monday["low"], monday["close"]) == (10, 16, 9, 12)
    assert (monday["volume"], monday["bars"]) == (6, 3)
    # (34·1 + 40·2 + 36·3) / (3·6)
    assert monday["vwap"] == 222 / 18
    # hours of 10 → 15 and 15 → 12
    returns = (pl.Series([1.5, 0.8]).log() ** 2).sum() ** 0.5
    assert monday["realized_vol_1h"] == pytest.approx(returns)
    sources = tables(project)[DAILY_ML_MATRIX.id]["source"].struct["price_source"].to_list()
    assert [name[-3:] for name in sources] == ["_1m", "_1h"]
