"""A build that is killed leaves what the next one completes: the tables of an undisturbed build."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.session import Project, open_session
from cbi_assets.tables import BUILD_SLICES, BUILT, DERIVED
from cbi_assets.verbs import build
from cbi_assets_tests.helpers import NOW, load_once, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.processes import Moment, run_cbi

DUCKDB = "cbi_assets.warehouse.duckdb:DuckDBWarehouse"

# The first transaction derives bars, the second builds the four tables.
MOMENTS = [
    Moment(f"{DUCKDB}.stage_frame", "after"),
    Moment(f"{DUCKDB}.transact", "at statement 2", 1),
    Moment(f"{DUCKDB}.transact", "at commit", 1),
    Moment(f"{DUCKDB}.transact", "after", 1),
    Moment(f"{DUCKDB}.transact", "at statement 3", 2),
    Moment(f"{DUCKDB}.transact", "at commit", 2),
    Moment(f"{DUCKDB}.transact", "after", 2),
]


def tables(project: Project) -> dict[str, pl.DataFrame]:
    specs = (*BUILT, *DERIVED.values(), BUILD_SLICES)
    return {
        spec.id: query(project, f"SELECT * FROM `{spec.id}`")
        .sort(spec.key)
        .drop("ingestion_ts", strict=False)
        for spec in specs
    }


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def home_and_drive(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home whose last build was before a day that changed a session and added one."""
    drive = tmp_path_factory.mktemp("drive")
    home = shutil.copytree(new_home, tmp_path_factory.mktemp("homes") / "home")
    project = open_project(home, drive)
    put_lines(drive, [record(1_440 * day + n, timeframe="1m") for day in range(3) for n in (0, 7)])
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
    put_lines(drive, [record(n, timeframe="1m") for n in (2_881, 4_320)], job=LATER_JOB)
    load_once(project)
    return home, drive


@pytest.fixture(scope="module")
def undisturbed(home_and_drive: tuple[Path, Path]) -> dict[str, pl.DataFrame]:
    home, drive = home_and_drive
    copy = open_project(shutil.copytree(home, home.with_name("undisturbed")), drive)
    with open_session(copy, now=NOW) as session:
        assert build(session).sessions_built == 2
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
