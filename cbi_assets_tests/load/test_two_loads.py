"""Two loads at once: the second waits for the first, or says why it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cbi_assets.errors import HomeBusyError
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.helpers import query, table
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.processes import SERVER, run_load_until_told, start_cbi


@pytest.fixture
def at_work(project: Project, drive: Path) -> Iterator[Event]:
    """A load in another process that stands still before it publishes; the event lets it go."""
    put_lines(drive, [record(n) for n in range(4)])
    ready, go = SERVER.Event(), SERVER.Event()
    process = SERVER.Process(
        target=run_load_until_told, args=(str(project.home.root), str(drive), ready, go)
    )
    process.start()
    assert ready.wait(60)
    yield go
    go.set()
    process.join(60)
    assert process.exitcode == 0


def assert_loaded_once(project: Project) -> None:
    assert table(project).height == 4
    assert query(project, "SELECT DISTINCT load_id FROM `ops.loads`").height == 1


def test_the_second_load_waits_and_finds_nothing_new(
    project: Project, drive: Path, at_work: Event, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    second = start_cbi(["load", "--wait", "60"], project.home.root, drive, stderr=told)
    with open(told) as lines:
        waiting = lines.readline()
        at_work.set()
        rest = lines.read()
    second.join(60)
    assert second.exitcode == 0
    assert "is running; waiting up to 60 s" in waiting
    assert "PASS: nothing new on the drive, 0 bars published" in rest
    assert_loaded_once(project)


def test_a_load_that_will_not_wait_says_so_in_one_line(
    project: Project, drive: Path, at_work: Event, tmp_path: Path
) -> None:
    told = tmp_path / "told.txt"
    second = start_cbi(["load", "--wait", "0"], project.home.root, drive, stderr=told)
    second.join(60)
    assert second.exitcode == 3
    (line,) = told.read_text().splitlines()
    assert line.startswith(f"cbi: {project.home.root}: process ")
    assert "Let it finish, then retry." in line


def test_the_first_load_is_not_disturbed(project: Project, drive: Path, at_work: Event) -> None:
    with pytest.raises(HomeBusyError), exclusive_lock(project.home, wait=0):
        pass
    at_work.set()
    with exclusive_lock(project.home, wait=60):
        pass
    assert_loaded_once(project)
