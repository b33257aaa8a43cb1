"""A log that a killed process left is replayed, or what is dropped of it is reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cbi_assets.errors import HomeError
from cbi_assets.tables import Column, TableSpec
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.write_ahead_log import log_of

NAMES = TableSpec("ops", "names", "names", (Column("name", "STRING", "a name"),), ("name",))
INSERT = Statement("INSERT INTO `ops.names` (name) VALUES ('a')")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse as a process leaves it that is killed after a commit and before the checkpoint:
    one row is in the file, and one in the log."""
    folder = tmp_path_factory.mktemp("killed")
    path, copy = folder / "warehouse.duckdb", folder / "copy" / "warehouse.duckdb"
    copy.parent.mkdir()
    with DuckDBWarehouse(path, folder / "tmp") as warehouse:
        warehouse.create_tables([NAMES])
        warehouse.transact([INSERT])
        assert not log_of(path).exists()
        warehouse._connection.execute("INSERT INTO ops.names VALUES ('b')")
        for file in (path, log_of(path)):
            shutil.copy(file, copy.with_name(file.name))
    return copy


@pytest.fixture
def left(killed: Path, tmp_path: Path) -> Path:
    """A copy of that warehouse."""
    for file in (killed, log_of(killed)):
        shutil.copy(file, tmp_path)
    return tmp_path / killed.name


def names(path: Path) -> list[str]:
    with DuckDBWarehouse(path, path.parent / "tmp") as warehouse:
        return warehouse.query("SELECT name FROM `ops.names` ORDER BY name")["name"].to_list()


def change(path: Path, harm: Callable[[bytes], bytes]) -> None:
    log_of(path).write_bytes(harm(log_of(path).read_bytes()))


def test_complete_log_is_replayed_without_a_warning(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert names(left) == ["a", "b"]
    assert caplog.records == []
    assert not log_of(left).exists()


@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.99])
def test_log_that_is_cut_off_is_a_warning(
    kept: float, left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    length = log_of(left).stat().st_size
    change(left, lambda log: log[: int(kept * length)])
    assert names(left) == ["a"]
    (warning,) = caplog.messages
    assert warning == (
        f"{log_of(left)}: its last {int(kept * length)} bytes were not a complete commit, and are "
        "dropped. A command was killed while it committed: run it again."
    )
    caplog.clear()
    assert names(left) == ["a"]
    assert caplog.messages == []


@pytest.mark.parametrize("content", [b"garbage" * 200, bytes(2000)], ids=["garbage", "zeros"])
def test_log_that_is_not_one_is_an_error_until_it_is_moved_away(content: bytes, left: Path) -> None:
    change(left, lambda log: content)
    for _ in range(2):
        with pytest.raises(HomeError, match=rf"^{log_of(left)}: damaged \(.*\)\. Move it away"):
            names(left)
    assert log_of(left).read_bytes() == content
    log_of(left).unlink()
    assert names(left) == ["a"]


def outcome(path: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Open the warehouse and return what a person learns: "error", "warning", or the names."""
    caplog.clear()
    try:
        found = names(path)
    except HomeError as error:
        moved = error.subject == str(log_of(path)) and error.remedy.startswith("Move it away")
        return "error" if moved else str(error)
    return "warning" if caplog.messages else ", ".join(found)


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 9))])
def test_no_damaged_byte_of_a_log_drops_a_row_silently(
    first: int, killed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = set()
    for place in range(first, log_of(killed).stat().st_size, 37):
        path = Path(shutil.copytree(killed.parent, tmp_path / str(place))) / killed.name
        log = log_of(path).read_bytes()
        inverted = bytes([log[place] ^ 255])
        log_of(path).write_bytes(log[:place] + inverted + log[place + 1 :])
        outcomes.add(outcome(path, caplog))
    assert outcomes <= {"error", "warning", "a, b"}
    assert "error" in outcomes
