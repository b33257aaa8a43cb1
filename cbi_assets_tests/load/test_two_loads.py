"""Two loads at once: the second waits for the first, or reports that it is running."""

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
from cbi_assets_tests.processes import SERVER, load_and_pause, start_cbi


@pytest.fixture
def paused_load(project: Project, drive: Path) -> Iterator[Event]:
    """A load in another process, paused before it publishes; setting the event resumes it."""
    put_lines(drive, [record(n) for n in range(4)])
    ready, go = SERVER.Event(), SERVER.Event()
    process = SERVER.Process(
        target=load_and_pause, args=(str(project.home.root), str(drive), ready, go)
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


def test_second_load_waits_and_finds_nothing_new(
    project: Project, drive: Path, paused_load: Event, tmp_path: Path
) -> None:
    stderr = tmp_path / "stderr"
    os.mkfifo(stderr)
    second = start_cbi(["load", "--wait", "60"], project.home.root, drive, stderr=stderr)
    with open(stderr) as lines:
        waiting = lines.readline()
        paused_load.set()
        rest = lines.read()
    second.join(60)
    assert second.exitcode == 0
    assert "is running; waiting up to 60 s" in waiting
    assert "PASS: nothing new on the drive, 0 bars published" in rest
    assert_loaded_once(project)


def test_load_without_waiting_fails_in_one_line_if_another_runs(
    project: Project, drive: Path, paused_load: Event, tmp_path: Path
) -> None:
    stderr = tmp_path / "stderr.txt"
    second = start_cbi(["load", "--wait", "0"], project.home.root, drive, stderr=stderr)
    second.join(60)
    assert second.exitcode == 3
    (line,) = stderr.read_text().splitlines()
    assert line.startswith(f"cbi: {project.home.root}: process ")
    assert "Let it finish, then retry." in line


def test_first_load_publishes_if_another_process_wants_the_lock(
    project: Project, drive: Path, paused_load: Event
) -> None:
    with pytest.raises(HomeBusyError), exclusive_lock(project.home, wait=0):
        pass
    paused_load.set()
    with exclusive_lock(project.home, wait=60):
        pass
    assert_loaded_once(project)
