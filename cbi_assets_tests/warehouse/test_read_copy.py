"""Readers have a copy of their own: they and the commands never wait for each other."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Buffer, Callable, Iterator
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock, patch

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.errors import HomeBusyError
from cbi_assets.session import Project, open_session
from cbi_assets.warehouse import duckdb as duckdb_warehouse
from cbi_assets.warehouse import read_copy
from cbi_assets.warehouse.read_copy import _copy_differences
from cbi_assets.warehouse.write_ahead_log import log_of
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.processes import Moment, run_cbi

COUNT = "SELECT COUNT(*) FROM market_data.databento_futures_ohlcv_1h"

Open = Callable[[Path, bool], subprocess.Popen[str]]


def bars_in(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        (count,) = connection.execute(COUNT).fetchone() or (None,)
    return int(count or 0)


def open_elsewhere(path: Path, is_reader: bool) -> subprocess.Popen[str]:
    """Open a database in another process, until its standard input is closed."""
    program = (
        "import duckdb, sys\n"
        f"connection = duckdb.connect(sys.argv[1], read_only={is_reader})\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


@pytest.fixture
def other() -> Iterator[Open]:
    """Open a database in another process, which ends with the test at the latest."""
    opened: list[subprocess.Popen[str]] = []

    def start(path: Path, is_reader: bool) -> subprocess.Popen[str]:
        opened.append(open_elsewhere(path, is_reader))
        return opened[-1]

    yield start
    for process in opened:
        process.communicate()


def cannot_clone(original: object, part: Path) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def change_a_row(project: Project) -> None:
    """Change the warehouse by a row, without an update of the copy."""
    with duckdb.connect(str(project.home.warehouse)) as connection:
        connection.execute("UPDATE ops.ledger_version SET version = version + 1")


def run_a_command(project: Project) -> None:
    """Open the warehouse and close it, as every command does."""
    with open_warehouse(project) as warehouse:
        warehouse.query("SELECT 1 AS one")


@pytest.mark.full
def test_readers_keep_what_they_opened_while_a_load_replaces_their_copy(
    project: Project, drive: Path
) -> None:
    copy = project.home.read_copy
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    with duckdb.connect(str(copy), read_only=True) as reader:
        put_lines(drive, [record(2)], job=LATER_JOB)
        assert load_once(project).published == 1
        assert reader.execute(COUNT).fetchone() == (2,)
    assert bars_in(copy) == 3
    assert read_copy.is_current(project.home)
    assert copy.stat().st_mode & 0o222 == 0
    with_nothing_new = copy.stat().st_ino
    run_a_command(project)
    assert copy.stat().st_ino == with_nothing_new


def test_copy_is_replaced_without_the_log_of_a_program_that_wrote_to_it(project: Project) -> None:
    run_a_command(project)
    copy = project.home.read_copy
    copy.unlink()
    log_of(copy).write_bytes(b"of another copy")
    run_a_command(project)
    assert os.listdir(copy.parent) == [copy.name]
    assert bars_in(copy) == 0


def test_full_disk_leaves_the_load_published_and_the_copy_complete(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    needed = project.home.warehouse.stat().st_size + read_copy._MARGIN

    put_lines(drive, [record(1)], job=LATER_JOB)
    project.home.previous_read_copy.unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(read_copy, "_clone", cannot_clone)
        patch.setattr(
            read_copy.shutil, "disk_usage", lambda path: type("Disk", (), {"free": needed - 1})
        )
        assert load_once(project).published == 1
    assert bars_in(project.home.read_copy) == 1
    (warning,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert warning.startswith(f"{project.home.read_copy}: not updated (No space left on device); ")
    assert warning.endswith("Free some space, then run `cbi doctor`.")
    assert list(project.home.scratch.iterdir()) == []
    run_a_command(project)
    assert bars_in(project.home.read_copy) == 2


def test_third_copy_is_the_first_with_what_differs(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_copy, "_clone", cannot_clone)
    monkeypatch.setattr(read_copy, "_copy_differences", copied := Mock(wraps=_copy_differences))
    put_lines(drive, [record(0)])
    load_once(project)
    home = project.home
    home.previous_read_copy.unlink(missing_ok=True)
    inodes = [home.read_copy.stat().st_ino]
    copied.reset_mock()
    for updates in range(1, 4):
        change_a_row(project)
        read_copy.update_read_copy(home)
        inodes.append(home.read_copy.stat().st_ino)
        assert copied.call_count == updates - 1
        assert home.read_copy.read_bytes() == home.warehouse.read_bytes()
        assert home.read_copy.stat().st_mode & 0o222 == 0
        assert read_copy.is_current(home)
    assert inodes == [inodes[0], inodes[1], inodes[0], inodes[1]]
    assert list(home.scratch.iterdir()) == []


def change_and_copy_twice(project: Project) -> None:
    for _ in range(2):
        change_a_row(project)
        read_copy.update_read_copy(project.home)
        assert project.home.read_copy.read_bytes() == project.home.warehouse.read_bytes()


def test_programs_that_read_the_copy_before_the_last_keep_it(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_copy, "_clone", cannot_clone)
    put_lines(drive, [record(0)])
    load_once(project)
    copy = project.home.read_copy
    before = copy.read_bytes()
    with open(copy, "rb") as being_copied:
        change_and_copy_twice(project)
        assert being_copied.read() == before
    with duckdb.connect(str(copy), read_only=True) as reader:
        change_and_copy_twice(project)
        assert reader.execute("SELECT version FROM ops.ledger_version").fetchall() == [(3,)]


def test_current_copy_is_not_written_to_if_a_killed_process_left_it_a_second_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_copy, "_clone", cannot_clone)
    run_a_command(project)
    home = project.home
    home.previous_read_copy.unlink(missing_ok=True)
    os.link(home.read_copy, home.previous_read_copy)
    inode, before = home.read_copy.stat().st_ino, home.read_copy.read_bytes()
    change_a_row(project)
    read_copy.update_read_copy(home)
    assert home.read_copy.stat().st_ino != inode
    assert home.previous_read_copy.read_bytes() == before
    assert home.read_copy.read_bytes() == home.warehouse.read_bytes()


class Recorded(BytesIO):
    """A file in memory that counts the bytes written to it."""

    written = 0

    def write(self, data: Buffer, /) -> int:
        self.written += len(memoryview(data))
        return super().write(data)


@given(
    chunks=st.lists(st.sampled_from([b"aaaa", b"aaab", b"baaa", b"cccc"]), max_size=8),
    changes=st.lists(st.integers(0, 7), max_size=3),
    tail=st.sampled_from([b"", b"a", b"aab"]),
    earlier_size=st.integers(0, 40),
)
def test_differences_make_an_earlier_copy_equal(
    chunks: list[bytes], changes: list[int], tail: bytes, earlier_size: int
) -> None:
    original = b"".join(chunks) + tail
    earlier = bytearray((original + b"z" * 40)[:earlier_size])
    for place in changes:
        if place < len(earlier):
            earlier[place] ^= 1
    copied = Recorded(bytes(earlier))
    with patch.object(read_copy, "_CHUNK", 4):
        _copy_differences(BytesIO(original), copied)
    assert copied.getvalue() == original
    starts = range(0, len(original), 4)
    differing = [n for n in starts if original[n : n + 4] != earlier[n : n + 4]]
    assert copied.written <= 4 * len(differing) + len(tail)


@pytest.mark.parametrize(
    "moment",
    [
        Moment("cbi_assets.warehouse.read_copy:_clone_or_copy", "after"),
        pytest.param(
            Moment("cbi_assets.warehouse.read_copy:update_read_copy"), marks=pytest.mark.full
        ),
    ],
    ids=str,
)
def test_command_after_one_killed_while_copying_updates_the_copy(
    moment: Moment, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    put_lines(drive, [record(1)], job=LATER_JOB)
    assert run_cbi("load", home=project.home.root, drive=drive, moment=moment) < 0
    assert bars_in(project.home.read_copy) == 1
    run_a_command(project)
    assert bars_in(project.home.read_copy) == 2
    assert list(project.home.scratch.iterdir()) == []


@pytest.mark.parametrize("can_clone", [True, False])
def test_copy_on_macos_is_a_clone_or_else_has_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_clone: bool
) -> None:
    asked = []

    class Libc:
        def fclonefileat(self, source: int, folder: int, target: bytes, flags: int) -> int:
            asked.append((os.pread(source, 9, 0), flags))
            if can_clone:
                Path(os.fsdecode(target)).write_bytes(b"a clone")
                return 0
            ctypes.set_errno(errno.ENOTSUP)
            return -1

    monkeypatch.setattr(read_copy.sys, "platform", "darwin")
    monkeypatch.setattr(read_copy.ctypes, "CDLL", lambda name, use_errno: Libc())
    (tmp_path / "original").write_bytes(b"the bytes")
    with open(tmp_path / "original", "rb") as original:
        is_clone = read_copy._clone_or_copy(original, tmp_path / "part", has_previous=False)
    assert is_clone == can_clone
    assert asked == [(b"the bytes", 0)]
    assert (tmp_path / "part").read_bytes() == (b"a clone" if can_clone else b"the bytes")


def test_copy_waits_for_the_next_command_if_a_program_writes_to_the_warehouse(
    project: Project, other: Open, caplog: pytest.LogCaptureFixture
) -> None:
    run_a_command(project)
    copy = project.home.read_copy
    copy.unlink()
    process = other(project.home.warehouse, False)
    read_copy.update_read_copy(project.home)
    assert not copy.exists()
    (warning,) = caplog.messages
    assert f"another program has {project.home.warehouse} open" in warning
    assert warning.endswith("readers see nothing. Close it there, then run `cbi doctor`.")
    process.communicate()
    read_copy.update_read_copy(project.home)
    assert bars_in(copy) == 0


def test_open_waits_for_a_program_that_has_the_warehouse_open(
    project: Project,
    other: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_a_command(project)
    caplog.set_level("INFO")
    process = other(project.home.warehouse, True)
    holder = rf"python.* \(PID {process.pid}\)"
    remedy = rf"Close it there, then retry; to read, open {project.home.read_copy} instead\.$"
    with (
        pytest.raises(HomeBusyError, match=rf"{holder} has the warehouse open\. {remedy}"),
        open_session(project, now=NOW, wait=0) as session,
    ):
        assert session.warehouse
    monkeypatch.setattr(duckdb_warehouse.time, "sleep", lambda seconds: process.communicate())
    with open_session(project, now=NOW, wait=60) as session:
        assert session.warehouse.query("SELECT 1 AS one").height == 1
    (waiting,) = caplog.messages
    assert waiting.endswith(f"(PID {process.pid}) has it open; waiting up to 60 s for it.")
