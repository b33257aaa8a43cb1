"""A load killed at any step on BigQuery publishes all or nothing; the next load completes it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.ledger.books import books_by_file
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.helpers import open_warehouse
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.processes import Moment, run_cbi

pytestmark = [pytest.mark.bigquery, pytest.mark.full]

WAREHOUSE = "cbi_assets.warehouse.bigquery.bigquery_warehouse:BigQueryWarehouse"
JOBS = "cbi_assets.warehouse.bigquery.query_jobs:Jobs"
VERBS = "cbi_assets.verbs"
BARS = 3

# The first transaction is the canary's, the second publishes, the third records the checks' results
# and the fourth the costs.
MOMENTS = [
    Moment(f"{WAREHOUSE}.create_tables", "after"),
    Moment(f"{JOBS}._submit_load", "after"),  # a load job runs on without the load
    Moment(f"{WAREHOUSE}.stage_parquet", "after", 2),
    Moment(f"{WAREHOUSE}.stage_query", "after", 6),
    Moment(f"{WAREHOUSE}.transact", "before", 2),
    Moment(f"{JOBS}._submit", "after", 2),  # the transaction runs on without the load
    Moment(f"{WAREHOUSE}.transact", "after", 2),
    Moment(f"{VERBS}:record_results"),
    Moment(f"{WAREHOUSE}.transact", "before", 4),
]

TABLES = {
    RAW["1h"].id: ["load_id", "loaded_at"],
    "ops.source_files": [],
    "ops.loads": ["load_id", "loaded_at"],
    "ops.quarantined_bars": ["load_id", "loaded_at"],
    "ops.bar_conflicts": ["load_id", "loaded_at"],
    "ops.check_results": ["checked_at"],
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drive with one file: three bars, one of them twice, and a malformed one."""
    drive = tmp_path_factory.mktemp("drive")
    lines = [record(0), record(1), record(2), record(1), record(3, volume="-1")]
    put_lines(drive, lines)
    return drive


@pytest.fixture(scope="module")
def empty_home(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a Dagster instance."""
    root = tmp_path_factory.mktemp("homes") / "empty"
    shutil.copytree(new_home / "dagster", root / "dagster")
    return root


@pytest.fixture(scope="module")
def undisturbed(emulator: Emulator, filled: Path, empty_home: Path) -> dict[str, Any]:
    settings = emulator.empty_project("cbi-tests")
    home = shutil.copytree(empty_home, empty_home.with_name("undisturbed"))
    # a malformed bar was quarantined: exit status 1
    assert run_cbi("load", home=home, drive=filled, settings=settings) == 1
    found = contents(open_project(home, filled, settings))
    assert len(found[RAW["1h"].id]) == BARS
    assert len(found["ops.quarantined_bars"]) == 1
    assert found["ops.check_results"]
    return found


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_killed_load_is_completed_by_the_next(
    moment: Moment,
    undisturbed: dict[str, Any],
    emulator: Emulator,
    filled: Path,
    empty_home: Path,
    tmp_path: Path,
) -> None:
    settings = emulator.empty_project("cbi-tests")
    home = shutil.copytree(empty_home, tmp_path / "home")
    killed = run_cbi("load", home=home, drive=filled, moment=moment, settings=settings)
    assert killed == -signal.SIGKILL
    project = open_project(home, filled, settings)
    with open_warehouse(project) as warehouse:
        # one statement, because the killed load's transaction may commit between two
        ((bars, in_books),) = warehouse.query(
            f"SELECT (SELECT COUNT(*) FROM `{RAW['1h'].id}`) AS bars, "
            "(SELECT COALESCE(SUM(published), 0) FROM `ops.loads`) AS entered"
        ).rows()
    assert bars in (0, BARS)
    assert in_books == bars
    assert_staging_expires(emulator)

    assert run_cbi("load", home=home, drive=filled, settings=settings) in (0, 1)

    assert contents(project) == undisturbed


def contents(project: Project) -> dict[str, Any]:
    """Return every table without load IDs and times; assert that the books balance."""
    with open_warehouse(project) as warehouse:
        assert set(books_by_file(warehouse)["difference"]) == {0}
        return {
            name: warehouse.query(f"SELECT * FROM `{name}`")
            .drop(clock)
            .sort(pl.exclude("symbols", "version", "published"))
            .to_dicts()
            for name, clock in TABLES.items()
        }


def assert_staging_expires(emulator: Emulator) -> None:
    """Staging tables of a killed load expire without a cleanup."""
    with emulator.client("cbi-tests") as client:
        datasets = [dataset.dataset_id for dataset in client.list_datasets()]
        if "ops_staging" in datasets:
            left = list(client.list_tables("ops_staging"))
            assert [table.table_id for table in left if table.expires is None] == []


def open_project(home: Path, drive: Path, settings: dict[str, Any]) -> Project:
    mine = {"cbi_home": home, "cbi_drive": drive}
    return Project(Settings(_env_file=None, **settings | mine))  # type: ignore[call-arg]
