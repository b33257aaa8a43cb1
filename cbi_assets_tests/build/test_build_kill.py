"""A build that is killed leaves what the next one completes: the tables of an undisturbed build."""

from __future__ import annotations

import datetime as dt
import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.session import Project, open_session
from cbi_assets.tables import BUILD_SLICES, BUILT, DERIVED, FOLDS, TRAINING, TRAINING_BUILDS
from cbi_assets.verbs import build, train
from cbi_assets_tests.helpers import NOW, load_once, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.processes import Moment, run_cbi

BARS_TABLE = "mes_training_prod_allhistory_1min"
DUCKDB = "cbi_assets.warehouse.duckdb:DuckDBWarehouse"

# The first transaction derives bars, the second builds the four tables; the training tables follow.
MOMENTS = [
    Moment(f"{DUCKDB}.stage_frame", "after"),
    Moment(f"{DUCKDB}.transact", "at statement 2", 1),
    Moment(f"{DUCKDB}.transact", "at commit", 1),
    Moment(f"{DUCKDB}.transact", "after", 1),
    Moment(f"{DUCKDB}.transact", "at statement 3", 2),
    Moment(f"{DUCKDB}.transact", "at commit", 2),
    Moment(f"{DUCKDB}.transact", "after", 2),
    Moment("cbi_assets.verbs:record_results"),
    Moment("cbi_assets.build.training_update:TrainingUpdate.daily"),
    Moment("cbi_assets.build.training_update:TrainingUpdate.daily", "after"),
    Moment("cbi_assets.build.training_update:TrainingUpdate.bars", "after"),
    Moment(f"{DUCKDB}.stage_frame", "before", 20),
    Moment("cbi_assets.build.training:publish_summaries"),
    Moment("cbi_assets.build.training:publish_summaries", "after"),
]


WHEN_BUILT = ("ingestion_ts", "built_at", "inputs")


def tables(project: Project) -> dict[str, pl.DataFrame]:
    """Return the built tables without the columns that say when they were built."""
    specs = (*BUILT, *DERIVED.values(), BUILD_SLICES, *TRAINING.values(), FOLDS, TRAINING_BUILDS)
    found = {
        spec.id: query(project, f"SELECT * FROM `{spec.id}`")
        .sort(spec.key)
        .drop(WHEN_BUILT, strict=False)
        for spec in specs
    }
    # the ledger of a training table is a hash that the times of the matrix' rows are in
    is_training = pl.col("table_id").str.starts_with("training.")
    ledger = pl.when(~is_training).then("ledger").alias("ledger")
    found[BUILD_SLICES.id] = found[BUILD_SLICES.id].with_columns(ledger)
    return found


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def home_and_drive(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home whose last build was before a day that changed a session and added one."""
    drive = tmp_path_factory.mktemp("drive")
    home = shutil.copytree(new_home, tmp_path_factory.mktemp("homes") / "home")
    project = open_project(home, drive)
    both = ("ZL.v.0", "MES.v.0")
    places = [1_440 * day + n for day in range(3) for n in (0, 7)]
    put_lines(drive, [record(n, symbol, "1m") for symbol in both for n in places])
    load_once(project)
    with open_session(project, now=NOW) as session:
        train(session, changed=build(session).changed_months)
    places = [2_881, 4_320]
    put_lines(drive, [record(n, symbol, "1m") for symbol in both for n in places], job=LATER_JOB)
    load_once(project)
    return home, drive


@pytest.fixture(scope="module")
def undisturbed(home_and_drive: tuple[Path, Path]) -> dict[str, pl.DataFrame]:
    home, drive = home_and_drive
    copy = open_project(shutil.copytree(home, home.with_name("undisturbed")), drive)
    # a training row is written again if the time of its matrix row is another
    with open_session(copy, now=NOW + dt.timedelta(days=1)) as session:
        built = build(session)
        assert built.sessions_built == 3  # equities did not trade on the 9th, a day of mourning
        assert train(session, changed=built.changed_months).written[BARS_TABLE] > 0
    return tables(copy)


@pytest.mark.full
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_next_build_completes_a_killed_one(
    moment: Moment,
    home_and_drive: tuple[Path, Path],
    undisturbed: dict[str, pl.DataFrame],
    tmp_path: Path,
) -> None:
    home, drive = home_and_drive
    home = shutil.copytree(home, tmp_path / "home")
    assert run_cbi("build", home=home, drive=drive, moment=moment) == -signal.SIGKILL
    assert run_cbi("build", home=home, drive=drive) in (0, 1)
    found = tables(open_project(home, drive))
    for name, frame in undisturbed.items():
        assert found[name].equals(frame), name
