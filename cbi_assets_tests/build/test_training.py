"""Training tables have the matrix' features and rolled targets; each kind of leak fails a check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.training import TrainingOutcome
from cbi_assets.checks import CHECKS, CheckContext, run_checks
from cbi_assets.checks.training_rows import read_rows
from cbi_assets.config.settings import Settings
from cbi_assets.config.training import parse_training
from cbi_assets.session import Project, open_session
from cbi_assets.tables import (
    BUILD_SLICES,
    CHECK_SLICES,
    DAILY_ML_MATRIX,
    DAILY_ML_MATRIX_FLAT,
    FOLDS,
    TRAINING,
    TRAINING_BUILDS,
)
from cbi_assets.verbs import build, train
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import copy_home, load_once, open_warehouse, query, run_check
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

DAILY, HOURLY = "mes_training_prod_allhistory_1d", "mes_training_prod_allhistory_1hr"
ONLY = parse_training(
    "folds: {train: 4, valid: 2, test: 2}\n"
    f"tables: {{{DAILY}: {{root: MES, horizon: 1}}, {HOURLY}: {{root: MES, horizon: 1, bar: 1h}}}}"
)
NOW = dt.datetime(2025, 1, 25, 12, tzinfo=dt.UTC)
DAYS = [dt.date(2025, 1, day) for day in (6, 7, 8, 10, 13, 14, 15, 16, 17, 21, 22, 23)]
"""The trade dates with bars: the 9th was a day of mourning, the 20th Martin Luther King's."""


def hours(days: Iterable[dt.date], first: int = 0) -> list[str]:
    """Return two bars per trade date, from 15:00 UTC. The n-th date closes at 13 + n/4, the hour
    before at 12 + n/4."""
    lines = []
    for number, day in enumerate(days, first):
        for hour, close in enumerate((12 + number / 4, 13 + number / 4)):
            place = (day - DAYS[0]).days * 24 + hour
            lines.append(record(place, "MES.v.0", open="12.0", high="20.0", close=f"{close}"))
    return lines


def run(project: Project, now: dt.datetime = NOW, whole: bool = False) -> TrainingOutcome:
    with open_session(project, now=now) as session:
        built = build(session, whole=whole)
        return train(session, changed=built.changed_months)


def rows(project: Project, name: str) -> pl.DataFrame:
    return query(project, f"SELECT * FROM `{TRAINING[name].id}`").sort(TRAINING[name].key)


def make_home(project: Project, drive: Path) -> Project:
    put_lines(drive, hours(DAYS))
    load_once(project, now=NOW)
    return replace(project, training=ONLY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose training tables are built."""
    root = tmp_path_factory.mktemp("trained")
    (root / "drive").mkdir()
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    run(make_home(Project(settings), root / "drive"))
    return root / "home"


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Project:
    return replace(copy_home(trained, tmp_path / "copy")[0], training=ONLY)


@pytest.mark.full
def test_daily_rows_have_the_matrix_features_and_the_next_dates_return(home: Project) -> None:
    found = rows(home, DAILY)
    flat = query(home, f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}`").sort("data_date")
    assert found["data_date"].to_list() == DAYS
    assert found.select(flat.columns).equals(flat)
    row = found.row(0, named=True)
    assert row["target"] == pytest.approx(13.25 / 13 - 1)
    assert row["target_known_at"] == dt.datetime(2025, 1, 7, 22, tzinfo=dt.UTC)
    assert (row["training_weight"], row["horizon"]) == (400.0, 1)  # of trump_anticipation_2024
    # the next date of Friday the 17th is Tuesday
    assert found.row(8, named=True)["target_date"] == DAYS[9]
    assert found["target_missing"].to_list() == [None] * 11 + ["not yet"]


def test_rows_of_bars_have_the_newest_row_known_by_their_end(home: Project) -> None:
    found = rows(home, HOURLY)
    assert found["bar_end"].to_list()[:2] == [
        dt.datetime(2025, 1, 6, hour, tzinfo=dt.UTC) for hour in (16, 17)
    ]
    assert found["data_date"].to_list()[:6] == [None, None, DAYS[0], DAYS[0], DAYS[1], DAYS[1]]
    assert found["market_data_close"].to_list()[2:5] == [13.0, 13.0, 13.25]
    assert found["close"].to_list()[:4] == [12.0, 13.0, 12.25, 13.25]
    assert found["target"].to_list()[:3] == [pytest.approx(1 / 12), None, pytest.approx(1 / 12.25)]
    assert found["target_missing"].to_list()[1] == "session break on 2025-01-06"
    assert found["target_missing"].to_list()[-1] == "not yet"


def test_summary_and_folds_describe_the_tables(home: Project) -> None:
    summary = query(home, f"SELECT * FROM `{TRAINING_BUILDS.id}`").sort("table").to_dicts()
    counts = ("row_count", "targets", "not_yet", "roll_unknown", "gaps", "other_missing", "folds")
    assert {row["table"]: tuple(row[name] for name in counts) for row in summary} == {
        DAILY: (12, 11, 1, 0, 0, 0, 1),
        HOURLY: (24, 12, 1, 0, 11, 0, 1),
    }
    # trains on dates 0 to 3, validates on 5 and 6, tests on 8 and 9
    folds = query(home, f"SELECT * FROM `{FOLDS.id}`").filter(table=DAILY).sort("from_date")
    assert folds.select("fold", "role", "from_date", "to_date").rows() == [
        (1, "train", DAYS[0], DAYS[3]),
        (1, "valid", DAYS[5], DAYS[6]),
        (1, "test", DAYS[8], DAYS[9]),
    ]


def test_a_second_build_writes_nothing(home: Project) -> None:
    before = {name: rows(home, name) for name in ONLY.tables}
    outcome = run(home, NOW + dt.timedelta(hours=1))
    assert outcome.written == {DAILY: 0, HOURLY: 0}
    assert all(rows(home, name).equals(before[name]) for name in ONLY.tables)


@pytest.mark.full
def test_a_new_date_writes_its_rows_and_those_it_gives_a_target(
    home: Project, tmp_path: Path
) -> None:
    new = dt.date(2025, 1, 24)
    put_lines(tmp_path / "copy" / "drive", hours([new], first=12), "b.json", job=LATER_JOB)
    load_once(home, now=NOW)
    outcome = run(home)
    # the newest date so far has its target now; its last bar was followed by none
    assert outcome.written == {DAILY: 2, HOURLY: 4}
    assert outcome.removed == {DAILY: 0, HOURLY: 0}
    assert rows(home, DAILY)["target"][11] == pytest.approx((13 + 12 / 4) / (13 + 11 / 4) - 1)
    assert rows(home, HOURLY)["target_missing"][23] == "session break on 2025-01-23"


def test_rows_of_deleted_bars_are_removed(home: Project) -> None:
    with open_warehouse(home, now=NOW) as warehouse:
        table = "market_data.databento_futures_ohlcv_1h"
        warehouse.transact([Statement(f"DELETE FROM `{table}` WHERE trade_date > '2025-01-15'")])
    run(home, whole=True)  # the ledger knows nothing of it
    assert rows(home, DAILY)["data_date"].to_list() == DAYS[:7]
    assert rows(home, HOURLY)["trade_date"].unique().sort().to_list() == DAYS[:7]
    assert rows(home, DAILY)["target_missing"][6] == "not yet"


CONSISTENT = "targets_are_roll_consistent"
LEAKS = {
    "a feature shifted by one": (
        "targets_do_not_leak",
        f"UPDATE `training.{DAILY}` AS t SET pivots_P = later.pivots_P "
        f"FROM (SELECT pivots_P, data_date FROM `{DAILY_ML_MATRIX_FLAT.id}`) AS later "
        "WHERE later.data_date = DATE_ADD(t.data_date, INTERVAL 1 DAY)",
        "pivots_P is not the matrix row's",
    ),
    "a target dated too early": (
        "targets_do_not_leak",
        f"UPDATE `training.{DAILY}` SET target_known_at = "
        "TIMESTAMP_SUB(target_known_at, INTERVAL 24 HOUR) WHERE TRUE",
        "dated before its last close",
    ),
    "a target on the unadjusted series": (
        "targets_are_roll_consistent",
        f"UPDATE `training.{DAILY}` SET target = target + 0.01 WHERE TRUE",
        "recomputed",
    ),
    "a fold without embargo": (
        "folds_are_purged",
        f"UPDATE `{FOLDS.id}` SET from_date = DATE '2025-01-16' WHERE role = 'test'",
        "a test row is within the horizon after validation",
    ),
    "a fold without purge": (
        "folds_are_purged",
        f"UPDATE `{FOLDS.id}` SET to_date = DATE '2025-01-13' WHERE role = 'train'",
        "a training window touches validation",
    ),
    "a bar's row of a session that closes later": (
        "targets_do_not_leak",
        f"UPDATE `training.{HOURLY}` SET data_date = trade_date WHERE TRUE",
        "not known by bar_end",
    ),
    "a bar's target over a session break": (
        "targets_are_roll_consistent",
        f"UPDATE `training.{HOURLY}` SET target = 0.5, target_missing = NULL "
        "WHERE target_missing IS NOT NULL",
        "recomputed",
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_fails_its_check(home: Project, leak: str) -> None:
    name, sql, words = LEAKS[leak]
    with open_session(home, now=NOW) as session:
        assert {result.passed for result in run_check(session, name)} == {True}
        session.warehouse.transact([Statement(sql)])
        failed = [result for result in run_check(session, name) if not result.passed]
    assert [result.root for result in failed] in (["MES"], ["MES", "MES"])
    assert words in str(failed[0].sample)


@pytest.mark.parametrize("leak", [leak for leak in LEAKS if leak.startswith("a fold")])
def test_folds_that_changed_are_compared_with_rows_that_did_not(home: Project, leak: str) -> None:
    """What the rows' targets see is stored with the months that passed."""
    name, sql, words = LEAKS[leak]
    checks = [check for check in CHECKS if check.name == name]
    with open_session(home, now=NOW) as session:
        assert run_checks(CheckContext(session, full=False), checks)[0].passed
        session.warehouse.transact([Statement(sql)])
        samples = [
            run_checks(CheckContext(session, full=full), checks)[0].sample for full in (False, True)
        ]
    assert words in str(samples[0])
    assert samples[0] == samples[1]


@pytest.mark.full
def test_days_checks_read_only_what_has_changed_since_it_passed(
    home: Project, tmp_path: Path
) -> None:
    """The build's own checks passed; then a target is spoiled, and two dates of bars are loaded."""
    checks = [check for check in CHECKS if check.table in (TRAINING[DAILY], TRAINING[HOURLY])]

    def run_all(*, full: bool, name: str = CONSISTENT) -> dict[str, str]:
        with open_session(home, now=NOW) as session:
            results = run_checks(CheckContext(session, full=full), checks)
        return {r.table_id: r.actual for r in results if r.name == name}

    daily, hourly = (f"training.{name}" for name in (DAILY, HOURLY))
    with open_warehouse(home, now=NOW) as warehouse:
        spoil = f"UPDATE `training.{DAILY}` SET target = target + 0.01 WHERE TRUE"
        warehouse.transact([Statement(spoil)])
    assert run_all(full=False)[daily].endswith("and no change since")
    assert run_all(full=True)[daily].startswith("11 ")
    new, now = [dt.date(2025, 1, 24), dt.date(2025, 2, 3)], NOW.replace(month=2)
    put_lines(tmp_path / "copy" / "drive", hours(new, first=12), "b.json", job=LATER_JOB)
    load_once(home, now=now)
    outcome = run(home, now)
    assert not outcome.has_failures
    assert outcome.written[DAILY] == 14  # January is compared, and its targets were spoiled
    assert all(actual.endswith("and no change since") for actual in run_all(full=False).values())
    with open_warehouse(home, now=NOW) as warehouse:
        later = f"UPDATE `{BUILD_SLICES.id}` SET ledger = 'x' WHERE table_id = 'training.{HOURLY}'"
        warehouse.transact([Statement(later)])
    found = run_all(full=False)
    assert found[daily].endswith("and no change since")
    assert found[hourly].startswith("0 ")
    assert not found[hourly].endswith("and no change since")
    with open_warehouse(home, now=NOW) as warehouse:
        spoil = f"UPDATE `training.{DAILY}` SET pivots_P = -1.0 WHERE TRUE"
        owe = (
            f"DELETE FROM `{CHECK_SLICES.id}` "
            f"WHERE table_id = 'training.{DAILY}' AND month = '2025-02-01'"
        )
        warehouse.transact([Statement(spoil), Statement(owe)])
    leaks = "targets_do_not_leak"
    assert run_all(full=False, name=leaks)[daily].startswith("1 ")
    assert run_all(full=False, name=leaks)[daily].startswith("1 ")  # it failed, so it is owed
    assert run_all(full=True, name=leaks)[daily].startswith("14 ")


def test_check_of_a_table_without_rows_names_no_row_to_look_up(home: Project) -> None:
    checks = [check for check in CHECKS if check.table is TRAINING[HOURLY]]
    with open_session(home, now=NOW) as session:
        session.warehouse.transact([Statement(f"DELETE FROM `training.{HOURLY}` WHERE TRUE")])
        results = run_checks(CheckContext(session, full=True), checks)
    assert [result.offenders for result in results] == [0] * len(checks)
    assert not any("bar_end" in result.sql for result in results)


@pytest.mark.parametrize(
    ("months", "dates"),
    [(None, 12), ({dt.date(2025, 1, 1)}, 5), ({dt.date(2025, 2, 1)}, 0), ([], 0)],
)
def test_rows_of_bars_are_drawn_from_the_months_that_changed(
    home: Project, months: set[dt.date] | None, dates: int
) -> None:
    with open_session(home, now=NOW) as session:
        wanted = {HOURLY: (ONLY.tables[HOURLY], months)}
        found = read_rows(CheckContext(session), wanted)[HOURLY]
    assert found.rows["trade_date"].n_unique() == dates
    assert found.rows.height == 2 * dates


@pytest.mark.both_warehouses(quick=True)
def test_tables_are_built_and_pass_their_checks(make_project: MakeProject, drive: Path) -> None:
    project = make_home(make_project(), drive)
    with open_session(project, now=NOW) as session:
        build(session)
        outcome = train(session)
    first_target = rows(project, DAILY)["target"][0]
    with open_session(project, now=NOW) as session:
        delete = f"DELETE FROM `{DAILY_ML_MATRIX.id}` WHERE data_date = '2025-01-23'"
        session.warehouse.transact([Statement(delete)])
        shorter = train(session, changed={"MES": [dt.date(2025, 1, 1)]})
    assert outcome.written == {DAILY: 12, HOURLY: 24}
    assert {result.name: result.passed for result in outcome.checks} == dict.fromkeys(
        ("targets_do_not_leak", "targets_are_roll_consistent", "folds_are_purged"), True
    )
    assert first_target == pytest.approx(13.25 / 13 - 1)
    assert shorter.removed == {DAILY: 1, HOURLY: 0}
