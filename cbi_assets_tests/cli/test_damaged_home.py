"""A home whose disk or files cannot be used: one line with the file and the way out, status 2."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from dagster import AssetKey

from cbi_assets.cli import main
from cbi_assets.config.settings import Home, Settings
from cbi_assets.doctor import diagnose
from cbi_assets.errors import HomeError
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project
from cbi_assets_tests.helpers import NOW, load_once, query
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.processes import run_cbi

Harm = Callable[[Path], object]


def flip(at: int, count: int) -> Harm:
    """Invert `count` bytes from offset `at`."""

    def harm(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at : at + count] = (byte ^ 255 for byte in content[at : at + count])
        path.write_bytes(content)

    return harm


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 2000)


def truncate(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def make_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder")


def spoil_details(path: Path) -> None:
    with closing(sqlite3.connect(path)) as catalog:
        catalog.execute("UPDATE contents SET facts = substr(facts, 5)")
        catalog.commit()


def write(text: str) -> Harm:
    return lambda path: path.write_text(text)


RESTORE = "Put its backup in its place"
READ_AGAIN = "Delete it: the next `cbi load` reads the drive again"
REPORT = "Delete it, then run `cbi check`"
MOVE = "Move that folder away"
AWAY = "Move it away"
UNUSED = "Delete it while nothing runs"

# file, harm, command that needs the file, doctor's finding, and the way out
DAMAGES: dict[str, tuple[str, Harm, str, str, str]] = {
    "warehouse-header": ("warehouse.duckdb", flip(12, 1), "approvals", "warehouse", RESTORE),
    "warehouse-block": ("warehouse.duckdb", flip(16288, 64), "approvals", "warehouse", RESTORE),
    "warehouse-garbage": ("warehouse.duckdb", garbage, "approvals", "warehouse", RESTORE),
    "warehouse-empty": ("warehouse.duckdb", truncate, "approvals", "warehouse", RESTORE),
    "warehouse-cut": ("warehouse.duckdb", cut, "check", "warehouse", RESTORE),
    "warehouse-folder": ("warehouse.duckdb", make_folder, "approvals", "warehouse", RESTORE),
    "log-garbage": ("warehouse.duckdb.wal", garbage, "approvals", "warehouse", AWAY),
    "catalog-garbage": ("catalog.sqlite", garbage, "inventory", "landing", READ_AGAIN),
    "catalog-cut": ("catalog.sqlite", cut, "inventory", "landing", READ_AGAIN),
    "catalog-folder": ("catalog.sqlite", make_folder, "inventory", "landing", READ_AGAIN),
    "catalog-json": ("catalog.sqlite", spoil_details, "inventory", "landing", READ_AGAIN),
    "landing-file": ("landing", make_file, "inventory", "warehouse", READ_AGAIN),
    "pending-garbage": ("unreported.json", garbage, "load", "landing", REPORT),
    "pending-types": ("unreported.json", write('{"ZL": 1}'), "load", "landing", REPORT),
    "pending-unknown": ("unreported.json", write('[["ZL", "2h"]]'), "load", "landing", REPORT),
    "pending-folder": ("unreported.json", make_folder, "load", "landing", REPORT),
    "lock-folder": ("home.lock", make_folder, "approvals", "warehouse", UNUSED),
    "dagster-file": ("dagster", make_file, "approvals", "warehouse", MOVE),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A loaded home and its drive."""
    folder = tmp_path_factory.mktemp("loaded")
    home, drive = folder / "home", folder / "drive"
    drive.mkdir()
    put_lines(drive, [record(0), record(1)])
    load_once(open_project(home, drive))
    (home / "unreported.json").unlink()  # no terminal reported the load
    return home, drive


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture
def home(loaded: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the loaded home."""
    root = shutil.copytree(loaded[0], tmp_path / "home")
    monkeypatch.setenv("CBI_HOME", str(root))
    monkeypatch.setenv("CBI_DRIVE", str(loaded[1]))
    monkeypatch.chdir(tmp_path)
    return Home(root)


def run(patch: pytest.MonkeyPatch, *arguments: str) -> object:
    patch.setattr(sys, "argv", ["cbi", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line_with_the_way_out(
    damage: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, harm, command, finding, remedy = DAMAGES[damage]
    harm(home.root / name)

    assert run(monkeypatch, command) == 2

    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cbi: {home.root / name}: ")
    assert remedy in line
    assert "another process" not in line
    found = next(f for f in diagnose(NOW) if f.name == finding)
    assert (found.verdict, found.status) == ("missing", 2)
    assert str(home.root / name) in found.found
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize("damage", ["catalog-cut", "landing-file"])
def test_what_can_be_deleted_is_rebuilt_and_nothing_is_published_twice(
    damage: str, home: Home, loaded: tuple[Path, Path]
) -> None:
    name, harm, *_ = DAMAGES[damage]
    harm(home.root / name)
    (home.root / name).unlink()
    project = open_project(home.root, loaded[1])

    assert load_once(project).published == 0

    bars = query(project, "SELECT COUNT(*) AS n FROM `market_data.databento_futures_ohlcv_1h`")
    assert bars["n"].to_list() == [2]


def test_a_home_that_is_a_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    monkeypatch.setenv("CBI_HOME", str(taken))
    monkeypatch.chdir(tmp_path)
    for command in ("check", "ui", "alert"):
        assert run(monkeypatch, command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"cbi: {taken}")
    by_name = {found.name: found for found in diagnose(NOW)}
    assert by_name["home"].status == 2


@pytest.mark.full
@pytest.mark.parametrize("database", ["runs.db", "runs/index.db"])
def test_a_damaged_dagster_database_names_the_folder_to_move_away(
    database: str, home: Home
) -> None:
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
    garbage(home.dagster / "history" / database)
    with pytest.raises(HomeError, match=rf"^{home.dagster}: damaged .*{MOVE}"):
        read_runs_and_events(home)
    dagster = next(found for found in diagnose(NOW) if found.name == "Dagster")
    assert (dagster.verdict, dagster.status) == ("missing", 2)
    assert dagster.remedy.startswith(MOVE)


def read_runs_and_events(home: Home) -> None:
    with open_instance(home) as instance:
        instance.get_runs_count()
        instance.fetch_materializations(AssetKey("any"), limit=1)


# Bytes that a file may have: the warehouse, the catalog and Dagster's databases exceed them.
LIMITS = [8_000, pytest.param(40_000, marks=pytest.mark.full), 100_000]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("limit", LIMITS)
def test_next_load_completes_one_that_could_not_write(
    limit: int, loaded: tuple[Path, Path], tmp_path: Path
) -> None:
    """A limit on the size of files fails the same calls as a full disk, with another errno."""
    home, log = tmp_path / "home", tmp_path / "stderr"
    drive = loaded[1]

    status = run_cbi("load", home=home, drive=drive, stderr=log, file_limit=limit)

    *_, line = log.read_text().splitlines()
    assert (status, line[:5]) == (2, "cbi: "), log.read_text()
    assert f"cbi: {home}" in line
    assert "then run the command again" in line
    assert run_cbi("load", home=home, drive=drive) == 0
    project = open_project(home, drive)
    books = query(project, "SELECT SUM(published) AS bars FROM `ops.loads`")
    assert books["bars"].to_list() == [2]
    assert list(home.rglob("*.part")) == []
