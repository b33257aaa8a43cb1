"""A load that is killed or stopped publishes all bars or none, and the next load completes it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.ledger.books import books_by_file
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets_tests.helpers import open_warehouse, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.processes import Moment, quick_and_full, run_cbi

LANDING, CATALOG = "cbi_assets.drive.landing", "cbi_assets.drive.catalog"
VERBS, DUCKDB = "cbi_assets.verbs", "cbi_assets.warehouse.duckdb:DuckDBWarehouse"
NOTE = "cbi_assets.ledger.pending_events:PendingEvents"
TERMINAL, REPORTING = "cbi_assets.pipeline.terminal", "cbi_assets.pipeline.reporting"

# Two timeframes: the first two transactions are the canaries', the third publishes.
MOMENTS = [
    Moment(f"{LANDING}:pack_path"),  # the pack is written under a temporary name
    Moment(f"{LANDING}:write_pack", "after"),
    Moment(f"{LANDING}:write_pack", "after", 2),
    Moment(f"{CATALOG}:Catalog.record", "after"),
    Moment(f"{CATALOG}:Catalog.record", "before", 3),
    Moment(f"{DUCKDB}.create_tables", "after"),
    Moment(f"{DUCKDB}.stage_query", "after"),
    Moment(f"{NOTE}.add"),
    Moment(f"{NOTE}.add", "after"),
    Moment(f"{DUCKDB}.transact", "at statement 4", 3),
    Moment(f"{DUCKDB}.transact", "at statement 9", 3, is_quick=True),
    Moment(f"{DUCKDB}.transact", "at commit", 3),
    Moment(f"{DUCKDB}.transact", "after", 3),
    Moment(f"{VERBS}:record_results"),
    Moment(f"{DUCKDB}.transact", "at commit", 4),
    Moment(f"{TERMINAL}:open_instance"),
    Moment(f"{REPORTING}:metadata_by_partition", "before", 2),
    Moment(f"{NOTE}.remove"),
    Moment(f"{NOTE}.remove", "after"),
]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

TABLES = {
    **{RAW[timeframe].id: ["load_id", "loaded_at"] for timeframe in ("1h", "1m")},
    "ops.source_files": [],
    "ops.loads": ["load_id", "loaded_at"],
    "ops.quarantined_bars": ["load_id", "loaded_at"],
    "ops.bar_conflicts": ["load_id", "loaded_at"],
    "ops.check_results": ["checked_at"],
}
LOADED = {"ZL|1h", "ZS|1h", "ZL|1m"}


def contents(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Return every table's rows, without the columns that differ between two loads."""
    return {
        name: query(project, f"SELECT * FROM `{name}`")
        .drop(clock)
        .sort(pl.exclude("symbols", "version", "published"))
        .to_dicts()
        for name, clock in TABLES.items()
    }


def write_overlapping_jobs(drive: Path) -> None:
    """Write two jobs that overlap: a duplicate, a malformed bar, two other roots, and minutes."""
    put_lines(drive, [record(0), record(1), record(2, volume="-1"), record(0, "ZS.v.0")])
    put_lines(drive, [record(1), record(2), record(3), record(0, "XX.v.0")], "b.json", LATER_JOB)
    put_lines(drive, [record(n, timeframe="1m") for n in range(3)], "m.json", LATER_JOB)


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def drive_with_jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drive = tmp_path_factory.mktemp("drive")
    write_overlapping_jobs(drive)
    return drive


@pytest.fixture(scope="module")
def empty_home(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a Dagster instance, which takes longer to create than the load takes."""
    root = tmp_path_factory.mktemp("homes") / "empty"
    shutil.copytree(new_home / "dagster", root / "dagster")
    return root


@pytest.fixture(scope="module")
def uninterrupted(drive_with_jobs: Path, empty_home: Path) -> dict[str, list[dict[str, Any]]]:
    home = shutil.copytree(empty_home, empty_home.with_name("uninterrupted"))
    assert run_cbi("load", home=home, drive=drive_with_jobs) == 1  # one bar is quarantined
    found = contents(open_project(home, drive_with_jobs))
    assert [len(found[RAW[t].id]) for t in ("1h", "1m")] == [5, 3]
    return found


@pytest.mark.parametrize("moment", quick_and_full(MOMENTS), ids=str)
def test_next_load_completes_a_killed_one(
    moment: Moment,
    drive_with_jobs: Path,
    empty_home: Path,
    uninterrupted: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    home = shutil.copytree(empty_home, tmp_path / "home")
    assert run_cbi("load", home=home, drive=drive_with_jobs, moment=moment) == -signal.SIGKILL
    project = open_project(home, drive_with_jobs)
    published = {t: query(project, f"SELECT root FROM `{RAW[t].id}`").height for t in ("1h", "1m")}
    assert published in ({"1h": 0, "1m": 0}, {"1h": 5, "1m": 3})
    in_books = query(project, "SELECT SUM(published) AS bars FROM `ops.loads`")["bars"][0] or 0
    assert in_books == sum(published.values())

    assert run_cbi("load", home=home, drive=drive_with_jobs) in (0, 1)

    assert contents(project) == uninterrupted
    with open_warehouse(project) as warehouse:
        assert set(books_by_file(warehouse)["difference"]) == {0}
    assert_reported(project)


@pytest.mark.full
@pytest.mark.parametrize("moment", quick_and_full(MOMENTS), ids=str)
def test_load_that_a_signal_stops_ends_with_one_line_and_leaves_nothing(
    moment: Moment,
    drive_with_jobs: Path,
    empty_home: Path,
    uninterrupted: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    home, log = shutil.copytree(empty_home, tmp_path / "home"), tmp_path / "stderr"
    how = SIGNALS[MOMENTS.index(moment) % len(SIGNALS)]

    status = run_cbi("load", home=home, drive=drive_with_jobs, stderr=log, moment=moment, how=how)

    text = log.read_text()
    assert status == 128 + how, text
    assert [line for line in text.splitlines() if line.startswith("cbi: ")] == [
        f"cbi: stopped by {how.name}; what was not complete is rolled back. Retry."
    ]
    assert "Traceback" not in text
    assert not (home / "home.holder").exists()
    assert list((home / "tmp").iterdir()) + list(home.rglob("*.part")) == []
    assert run_cbi("load", home=home, drive=drive_with_jobs) in (0, 1)
    project = open_project(home, drive_with_jobs)
    assert contents(project) == uninterrupted
    assert_reported(project)


def assert_reported(project: Project) -> None:
    """Assert that Dagster shows each loaded partition as materialized, and nothing is pending."""
    assert not (project.home.root / "unreported.json").exists()
    with open_instance(project.home) as instance:
        assert instance.get_materialized_partitions(RAW_KEY) == LOADED
        for timeframe in ("1h", "1m"):
            loaded = {partition for partition in LOADED if partition.endswith(timeframe)}
            key = table_key(RAW[timeframe].id)
            assert instance.get_materialized_partitions(key) == loaded
