"""matrix_is_point_in_time: a matrix that knows only the past passes, one that knows more fails."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Project, open_session
from cbi_assets.tables import CHECK_RESULTS, DAILY_ML_MATRIX, MACRO_OBSERVATIONS, RAW, SESSIONS
from cbi_assets.verbs import build, check
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, copy_home, load_once, open_warehouse, paste, run_check
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

DAYS = [dt.date(2025, 1, day) for day in (6, 7, 8, 9)]


CLOSES = ("12.000000000", "11.000000000", "10.000000000", "13.000000000")
LINES = [
    *(record(24 * n, close=close) for n, close in enumerate(CLOSES)),
    *(record(24 * n, "ZS.v.0") for n in range(4)),
]

FAILED_BEFORE = (
    f"UPDATE `{CHECK_RESULTS.id}` SET passed = FALSE WHERE partition_key = 'ZL|1h' "
    "AND check_name = 'ohlc_is_consistent'"
)


@pytest.fixture(scope="module")
def new_home(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that each test gets a copy of: four bars of ZL and of ZS, and their matrix."""
    project, drive = copy_home(new_home, tmp_path_factory.mktemp("built"))
    put_lines(drive, LINES)
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
    return project.home.root


@pytest.fixture(autouse=True)
def _file(drive: Path) -> None:
    put_lines(drive, LINES)


def run(project: Project, *spoil: str, day: int = 10) -> dict[str, CheckResult]:
    """Spoil the tables, and check on a day of January 2025, which is the seed."""
    with open_session(project, now=NOW.replace(day=day)) as session:
        session.warehouse.transact([Statement(sql) for sql in spoil])
        results = run_check(session, "matrix_is_point_in_time", ["ZL", "ZS"])
    return {result.root: result for result in results}


def set_matrix(column: str, value: str, day: dt.date) -> str:
    where = f"symbol = 'ZL' AND data_date = DATE '{day}'"
    return f"UPDATE `{DAILY_ML_MATRIX.id}` SET {column} = {value} WHERE {where}"


def test_check_passes_on_a_matrix_that_knows_only_the_past(project: Project) -> None:
    results = run(project)
    assert {root: result.passed for root, result in results.items()} == {"ZL": True, "ZS": True}
    assert results["ZL"].severity == "ERROR"


def test_days_check_reads_the_earlier_sessions_of_legs(project: Project, drive: Path) -> None:
    """ZL's correlation with ES in January is of thirty days; then a bar of ZL alone is loaded."""

    def load_and_build(lines: list[str], job: str) -> None:
        put_lines(drive, lines, f"{job}.json", job=job)
        load_once(project)
        with open_session(project, now=NOW) as session:
            build(session)

    def check_a_day() -> CheckResult:
        with open_session(project, now=NOW) as session:
            results = run_check(session, "matrix_is_point_in_time", ["ZL", "ZS", "ES"], full=False)
        assert all(result.passed for result in results)
        return results[0]

    days = [n for n in range(-60, 4) if (DAYS[0] + dt.timedelta(days=n)).weekday() < 5]
    earlier = [record(24 * n, close=CLOSES[n % 3]) for n in days if n < 0]
    other = [record(24 * n, "ES.v.0", close=CLOSES[n % 4]) for n in days]
    load_and_build([*earlier, *other], LATER_JOB)
    check_a_day()
    load_and_build([record(73)], "GLBX-20250113-DDDDDDDDDD")
    with open_session(project, now=NOW) as session:
        known = f"SELECT COUNT(relations.correlation_es_30) FROM `{DAILY_ML_MATRIX.id}`"
        where = "WHERE symbol = 'ZL' AND data_date >= '2025-01-06'"
        assert session.warehouse.query(f"{known} {where}").item() == 4
    assert check_a_day().expected.startswith("none as of 2025-01-")


def test_roots_are_compared_whose_bars_pass_their_checks_now(project: Project) -> None:
    def compared(*spoil: str) -> list[str]:
        with open_session(project, now=NOW) as session:
            session.warehouse.transact([Statement(sql) for sql in spoil])
            found = check(session, full=True)
        return [result.root for result in found if result.name == "matrix_is_point_in_time"]

    assert compared(FAILED_BEFORE) == ["ZL", "ZS"]
    assert compared(f"UPDATE `{RAW['1h'].id}` SET volume = -1 WHERE root = 'ZL'") == ["ZS"]


@pytest.mark.full
def test_dates_are_drawn_by_day_and_stated(project: Project) -> None:
    stated = [run(project, day=day)["ZL"].expected for day in range(1, 13)]
    # 4 dates, 3 of them drawn: 4 ways to leave one out
    assert len({text.partition(" (")[0] for text in stated}) == 4
    assert stated[4].endswith(" (seed 20250105)")
    assert run(project, day=5)["ZL"].expected == stated[4]


@pytest.mark.full
def test_all_dates_but_one_are_those_that_most_roots_have(project: Project, drive: Path) -> None:
    """ZL alone has about forty more trade dates; at most one of them is drawn."""
    old = [record(-24 * n) for n in range(1, 60)]
    put_lines(drive, old, "old.json", job="GLBX-20250112-CCCCCCCCCC")
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
    for day in range(1, 7):
        dates = re.findall(r"\d{4}-\d\d-\d\d", run(project, day=day)["ZS"].expected)
        assert sum(dt.date.fromisoformat(date) in DAYS for date in dates) >= 2


def test_check_fails_if_a_row_knows_tomorrows_close(project: Project) -> None:
    """Tuesday's pivots from Wednesday: a leak of one day, seen as of dates before Wednesday."""
    leak = (
        "STRUCT(12.5 AS P, 1.0 AS R1, 1.0 AS R2, 1.0 AS S1, 1.0 AS S2, 1.0 AS distance_to_P, "
        "1.0 AS distance_to_nearest_pivot, CAST(NULL AS FLOAT64) AS weekly_pivot_distance, "
        "TRUE AS price_above_P)"
    )
    results = run(project, set_matrix("pivots", leak, DAYS[1]))
    assert results["ZL"].failed
    assert results["ZS"].passed
    assert {row["column"] for row in results["ZL"].sample} == {"pivots"}
    assert {row["data_date"] for row in results["ZL"].sample} == {DAYS[1]}
    assert "12.5" in results["ZL"].sample[0]["stored"]
    pasted = paste(project, results["ZL"].sql)
    assert pasted.filter(data_date=DAYS[1])["pivots"].struct.field("P").to_list() == [12.5]


@pytest.mark.full
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("regime_name", "NULL"),
        ("timestamp", "TIMESTAMP_ADD(timestamp, INTERVAL 1 HOUR)"),
        ("golden_zone", "NULL"),
    ],
)
def test_check_compares_every_column(project: Project, column: str, value: str) -> None:
    results = run(project, set_matrix(column, value, DAYS[0]))
    is_unchanged = column == "golden_zone"  # it is NULL already
    assert results["ZL"].passed == is_unchanged


def test_check_fails_if_a_row_is_missing(project: Project) -> None:
    gone = f"DELETE FROM `{DAILY_ML_MATRIX.id}` WHERE symbol = 'ZL' AND data_date = '2025-01-07'"
    results = run(project, gone)
    assert results["ZL"].failed
    assert {row["column"] for row in results["ZL"].sample} == {"symbol"}


@pytest.mark.full
def test_check_rebuilds_the_stored_sessions_too(project: Project) -> None:
    """It finds a spoilt session that the matrix was built from."""
    with open_warehouse(project) as warehouse:
        spoil = f"UPDATE `{SESSIONS.id}` SET high = 99.0 WHERE root = 'ZL'"
        warehouse.transact([Statement(spoil)])
    with open_session(project, now=NOW) as session:
        outcome = build(session)
    assert outcome.sessions_built == 0
    assert run(project)["ZL"].failed


@pytest.mark.full
def test_check_suggests_a_build_if_bars_were_loaded_later(project: Project, drive: Path) -> None:
    put_lines(drive, [record(1, high="20.000000000")], "late.json")
    load_once(project)
    result = run(project)["ZL"]
    assert result.failed
    assert "run `cbi build`" in result.actual


@pytest.mark.full
def test_days_check_rebuilds_only_months_that_changed_since_they_passed(
    project: Project, drive: Path
) -> None:
    """January passes; then three days of October are loaded, and a row of each month is spoiled."""

    def check_a_day() -> CheckResult:
        with open_session(project, now=NOW) as session:
            return run_check(session, "matrix_is_point_in_time", ["ZL"], full=False)[0]

    assert check_a_day().expected.startswith("none as of 2025-01-")
    assert check_a_day().expected.startswith("none as of any date")
    october = dt.date(2024, 10, 18)  # 80 days before January 6
    late = [record(-24 * n) for n in (80, 81, 82)]
    put_lines(drive, late, "late.json", "GLBX-20250112-CCCCCCCCCC")
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
        for day in (october, DAYS[1]):
            spoil = set_matrix("regime_name", "'none'", day)
            session.warehouse.transact([Statement(spoil)])
    for found in (check_a_day(), check_a_day()):  # a month that failed is owed
        assert {row["data_date"] for row in found.sample} == {october}


@pytest.mark.full
def test_late_observation_owes_the_months_in_which_it_may_be_used(
    project: Project, drive: Path
) -> None:
    """October and January pass; then a yield is loaded that came out on January 7 at 15:00 UTC."""
    late = [record(-24 * n) for n in (80, 81, 82)]
    put_lines(drive, late, "late.json", "GLBX-20250112-CCCCCCCCCC")
    load_once(project)

    def check_a_day() -> CheckResult:
        with open_session(project, now=NOW) as session:
            return run_check(session, "matrix_is_point_in_time", ["ZL"], full=False)[0]

    def build_all() -> None:
        with open_session(project, now=NOW) as session:
            build(session)

    build_all()
    assert check_a_day().passed
    assert check_a_day().expected.startswith("none as of any date")
    insert = (
        f"INSERT INTO `{MACRO_OBSERVATIONS.id}` "
        "(source, series_id, reference_date, available_at, value, source_file_id, load_id) "
        "VALUES ('x', 'ten_year_treasury', '2025-01-06', TIMESTAMP '2025-01-07 15:00:00+00', "
        "4.5, 'f', 'L9')"
    )
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(insert)])
    found = check_a_day()
    assert found.failed
    # of January 7, 8 and 9 those up to the dates drawn; the row of the 6th closed before
    assert {row["column"] for row in found.sample} == {"macro"}
    assert {row["data_date"] for row in found.sample} <= set(DAYS[1:])
    build_all()
    found = check_a_day()
    assert found.passed
    assert found.expected.startswith("none as of 2025-01-")
    assert check_a_day().expected.startswith("none as of any date")


@pytest.mark.full
def test_rows_of_a_root_whose_bars_failed_a_check_are_not_compared(project: Project) -> None:
    old = set_matrix("data_date", "DATE '2024-12-31'", DAYS[0])
    assert not run(project, old)["ZL"].passed
    assert list(run(project, FAILED_BEFORE)) == ["ZS"]
