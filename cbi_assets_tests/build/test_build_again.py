"""A build after changes writes only the rows that changed, and equals a full rebuild."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.build.build import BuildOutcome
from cbi_assets.errors import CbiError
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.tables import CONTINUOUS, DAILY_ML_MATRIX, ROLL_CALENDAR, SESSIONS
from cbi_assets.verbs import build, check, unload
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, put_symbology, record

MON, TUE, WED, THU = (dt.date(2025, 1, day) for day in (6, 7, 8, 9))
LATER = NOW + dt.timedelta(days=1)
BUILT = (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)


def run(project: Project, now: dt.datetime = NOW, **options: object) -> BuildOutcome:
    with open_session(project, now=now) as session:
        return build(session, **options)  # type: ignore[arg-type]


def tables(project: Project) -> dict[str, pl.DataFrame]:
    """Return the built tables, sorted by key, without the time of their build."""
    return {
        spec.id: query(project, f"SELECT * FROM `{spec.id}`")
        .sort(spec.key)
        .drop("ingestion_ts", strict=False)
        for spec in BUILT
    }


def written_and_removed(outcome: BuildOutcome) -> dict[str, tuple[int, int]]:
    return {item.spec.name: (item.written, item.removed) for item in outcome.replaced}


def hours(*places: int, symbol: str = "ZL.v.0", **change: object) -> list[str]:
    """Return bars that start so many hours after Monday, 15:00 UTC."""
    return [record(place, symbol, **change) for place in places]


@pytest.mark.full
def test_build_writes_only_the_new_day(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 1, 24) + hours(0, 24, symbol="ZS.v.0"))
    load_once(project)
    run(project)
    put_lines(drive, hours(48, 49), job=LATER_JOB)
    load_once(project)
    outcome = run(project, LATER)
    assert outcome.sessions_built == 1
    assert written_and_removed(outcome) == {
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
    rebuild = run(project, LATER, whole=True)
    assert rebuild.sessions_built == 5
    assert set(written_and_removed(rebuild).values()) == {(0, 0)}
    assert all(tables(project)[name].equals(rows) for name, rows in before.items())


@pytest.mark.full
def test_late_bar_changes_only_the_rows_that_depend_on_it(
    project: Project, drive: Path, make_project: MakeProject
) -> None:
    """Monday's late bar changes Monday's session and Tuesday's pivots. Wednesday's pivots depend on
    Tuesday and on the week before, so its row stays."""
    put_lines(drive, hours(0, 24, 48))
    load_once(project)
    run(project)
    put_lines(drive, hours(1, high="14.000000000"), job=LATER_JOB)
    load_once(project)
    outcome = run(project, LATER)
    assert outcome.sessions_built == 1
    rows = query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("data_date")
    assert rows.filter(pl.col("ingestion_ts") == LATER)["data_date"].to_list() == [MON, TUE]
    # Tuesday's P is (high + low + close) / 3 of Monday
    assert rows.row(1, named=True)["pivots"]["P"] == pytest.approx((14 + 9 + 12) / 3)
    rebuilt = make_project("rebuilt")
    load_once(rebuilt)
    run(rebuilt)
    ids = ("load_ids", "source")  # each home's loads have their own IDs
    expected = tables(rebuilt)
    for name, found in tables(project).items():
        assert found.drop(ids, strict=False).equals(expected[name].drop(ids, strict=False)), name


@pytest.mark.full
def test_pivots_on_the_day_of_a_vendors_roll_appear_once_the_contracts_are_named(
    project: Project, drive: Path
) -> None:
    """ZL.v.0 is of id 10 on Monday and of id 11 on Tuesday; id 11 traded on Monday as ZLK5."""
    of_k = {"high": "14.000000000", "low": "8.000000000", "close": "11.000000000"}
    monday = [record(0), record(0, "ZLK5", instrument_id=11, **of_k)]
    put_lines(drive, [*monday, record(24, instrument_id=11)])
    load_once(project)
    run(project)

    def tuesday() -> dict[str, Any]:
        rows = query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`")
        return rows.filter(data_date=TUE).row(0, named=True)

    assert tuesday()["source"]["active_contract"] == "ZL.v.0"
    assert tuesday()["pivots"]["P"] is None
    put_symbology(drive, {"ZLH5": [(10, MON, THU)], "ZLK5": [(11, MON, THU)]})
    assert load_once(project).renamed == {("ZL", "1h"): 2}
    assert run(project, LATER).sessions_built == 2
    assert tuesday()["source"]["active_contract"] == "ZLK2025"
    levels = {name: tuesday()["pivots"][name] for name in ("P", "R1", "R2", "S1", "S2")}
    # of ZLK5's Monday: P = (14 + 8 + 11) / 3 = 11, R1 = 22 - 8, R2 = 11 + 6, S1 = 22 - 14,
    # S2 = 11 - 6
    assert levels == {"P": 11.0, "R1": 14.0, "R2": 17.0, "S1": 8.0, "S2": 5.0}
    assert tuesday()["pivots"]["distance_to_P"] == 1.0  # it closed at 12
    series = query(project, f"SELECT * FROM `{CONTINUOUS.id}` WHERE method = 'none' ORDER BY date")
    assert series.select("active_contract", "roll_flag").rows() == [
        ("ZLH2025", False),
        ("ZLK2025", True),
    ]
    adjusted = f"SELECT * FROM `{CONTINUOUS.id}` WHERE method = 'difference' ORDER BY date"
    # on Monday ZLH5 closed at 12 and ZLK5 at 11, so 1 is added to Tuesday's 12
    assert query(project, adjusted).select("back_adj", "close").rows() == [(0.0, 12.0), (1.0, 13.0)]


@pytest.mark.full
def test_build_replaces_the_session_of_a_corrected_bar(project: Project, drive: Path) -> None:
    """Its file is unloaded and another loaded, with as many bars and volume but other prices."""
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


@pytest.mark.full
def test_build_removes_rows_of_unloaded_dates(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 24))
    last = put_lines(drive, hours(48), job=LATER_JOB)
    load_once(project)
    run(project)
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, "file", last))
    outcome = run(project, LATER)
    assert written_and_removed(outcome)["daily_ml_matrix"] == (0, 1)
    assert written_and_removed(outcome)["futures_sessions_1d"] == (0, 1)
    assert set(tables(project)[DAILY_ML_MATRIX.id]["data_date"]) == {MON, TUE}


@pytest.mark.full
def test_build_recomputes_a_session_if_a_part_was_unloaded(project: Project, drive: Path) -> None:
    """Both files are of one load, so the session's load IDs do not change: only its bars do."""
    put_lines(drive, hours(0))
    second = put_lines(drive, hours(1), "b.json")
    load_once(project)
    run(project)
    with open_session(project, now=NOW) as session:
        unload(session, plan_unload(session, "file", second))
    assert run(project, LATER).sessions_built == 1
    assert tables(project)[SESSIONS.id]["bars"].to_list() == [1]


@pytest.mark.full
def test_preview_returns_the_newest_rows_and_publishes_nothing(
    project: Project, drive: Path
) -> None:
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


@pytest.mark.full
def test_preview_reports_failed_checks(project: Project, drive: Path) -> None:
    put_lines(drive, hours(0, 24))
    load_once(project)
    with open_warehouse(project) as warehouse:
        # now the rows' load is not in the books
        warehouse.transact([Statement("UPDATE `ops.loads` SET load_id = 'X' WHERE TRUE")])
    outcome = run(project, limit=1)
    assert outcome.has_failures
    failed = [result.name for result in outcome.checks if not result.passed]
    assert failed == ["prices_come_from_databento"]


@pytest.mark.full
@pytest.mark.both_warehouses
def test_session_is_built_from_minutes_and_else_from_hours(project: Project, drive: Path) -> None:
    """Two minutes of 15:00 UTC and one of 16:00 on Monday; the vendor's 1h bars of Tuesday."""
    minutes = [
        record(0, timeframe="1m", volume="1"),  # high, low, close: 13, 9, 12
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
    # sum of (high + low + close) / 3 · volume, over the volume
    weighted = (13 + 9 + 12) * 1 + (16 + 9 + 15) * 2 + (15 + 9 + 12) * 3
    assert monday["vwap"] == weighted / (3 * 6)
    # the hours go from open 10 to close 15, and on to close 12
    squares = math.log(15 / 10) ** 2 + math.log(12 / 15) ** 2
    assert monday["realized_vol_1h"] == pytest.approx(math.sqrt(squares))
    sources = tables(project)[DAILY_ML_MATRIX.id]["source"].struct["price_source"].to_list()
    assert [name[-3:] for name in sources] == ["_1m", "_1h"]


@pytest.mark.full
def test_build_fills_a_column_that_an_earlier_version_did_not_have(
    project: Project, drive: Path
) -> None:
    put_lines(drive, hours(0) + hours(24, close="11.000000000"))
    load_once(project)
    run(project)
    before = tables(project)[DAILY_ML_MATRIX.id]
    assert before["returns"].struct["days_1"].to_list() == [None, pytest.approx(11 / 12 - 1)]
    with open_warehouse(project) as warehouse:
        connection = warehouse._connection  # type: ignore[attr-defined]
        connection.execute(f"ALTER TABLE {DAILY_ML_MATRIX.id} DROP COLUMN returns")
        connection.execute("UPDATE ops.build_slices SET rule = 'earlier'")
    assert written_and_removed(run(project, LATER))["daily_ml_matrix"] == (2, 0)
    found = tables(project)[DAILY_ML_MATRIX.id].select(before.columns)
    assert found.equals(before)


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("DROP COLUMN macro.vix_index", "column macro lacks vix_index"),
        ("ADD COLUMN macro.old DOUBLE", "column macro has old"),
    ],
)
def test_matrix_with_other_fields_is_reported_and_not_written_to(
    project: Project, drive: Path, change: str, finding: str
) -> None:
    put_lines(drive, hours(0, 24))
    load_once(project)
    run(project)
    with open_warehouse(project) as warehouse:
        warehouse._connection.execute(f"ALTER TABLE {DAILY_ML_MATRIX.id} {change}")  # type: ignore[attr-defined]
    before = tables(project)
    with open_session(project, now=NOW) as session:
        failed = {result.name for result in check(session) if not result.passed}
    assert "table_matches_its_spec" in failed
    assert "matrix_is_point_in_time" not in failed  # no observation is loaded: null in any field
    put_lines(drive, hours(48), job=LATER_JOB)
    load_once(project)
    with pytest.raises(CbiError, match=finding) as raised:
        run(project)
    assert "Drop the table" in raised.value.remedy
    assert tables(project)[DAILY_ML_MATRIX.id].equals(before[DAILY_ML_MATRIX.id])
    with open_warehouse(project) as warehouse:
        warehouse._connection.execute(f"DROP TABLE {DAILY_ML_MATRIX.id}")  # type: ignore[attr-defined]
    assert run(project).rows == {"ZL": 3}
