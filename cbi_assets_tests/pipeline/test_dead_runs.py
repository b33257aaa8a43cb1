"""Runs whose process is gone are ended, retried, and leave their pools."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from cbi_assets.doctor import diagnose
from cbi_assets.pipeline.dead_runs import (
    FROM_TERMINAL,
    LocalRunLauncher,
    Pool,
    end_dead_runs,
    find_dead_runs,
    pools,
)
from cbi_assets.session import Project
from cbi_assets_tests.helpers import NOW
from cbi_assets_tests.processes import SERVER

STARTED, CANCELING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING
POOL = "duckdb"


@dg.op(pool=POOL)
def step() -> None:
    """Do nothing."""


@dg.job
def work() -> None:
    step()


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def live_pid() -> Iterator[int]:
    """The pid of another process, which lives as long as the test."""
    done = SERVER.Event()
    process = SERVER.Process(target=done.wait)
    process.start()
    assert process.pid is not None
    yield process.pid
    done.set()
    process.join()


def start_run(
    instance: dg.DagsterInstance, *pids: int, status: dg.DagsterRunStatus = STARTED
) -> dg.DagsterRun:
    """Create a run whose events name these processes, and which asks for a slot of the pool."""
    run = instance.create_run_for_job(work, status=status)
    for pid in pids:
        data = EngineEventData.in_process(pid)
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, data)
    instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "step")
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_end_dead_runs_fails_a_killed_run_for_a_retry_and_frees_its_pool(
    instance: dg.DagsterInstance, dead_pid: int, live_pid: int
) -> None:
    killed = start_run(instance, dead_pid)
    waiting = start_run(instance, live_pid, dead_pid)  # its first step has ended
    assert pools(instance) == [Pool(POOL, 1, 1, 1)]
    assert [run.run_id for run in find_dead_runs(instance)] == [killed.run_id]

    assert [run.run_id for run in end_dead_runs(instance)] == [killed.run_id]

    assert status_of(instance, killed) == dg.DagsterRunStatus.FAILURE
    assert status_of(instance, waiting) == STARTED
    ended = instance.get_run_by_id(killed.run_id)
    assert ended is not None
    assert ended.tags["dagster/will_retry"] == "true"
    assert pools(instance) == [Pool(POOL, 1, 0, 0)]  # the slot is assigned to the one that waited
    assert end_dead_runs(instance) == []


def test_end_dead_runs_cancels_a_run_that_was_being_canceled(
    instance: dg.DagsterInstance, dead_pid: int
) -> None:
    run = start_run(instance, dead_pid, status=CANCELING)
    end_dead_runs(instance)
    assert status_of(instance, run) == dg.DagsterRunStatus.CANCELED


def test_find_dead_runs_ignores_a_run_that_has_just_started(instance: dg.DagsterInstance) -> None:
    start_run(instance)
    assert find_dead_runs(instance) == []


def test_launcher_reports_whether_a_run_has_a_process_to_the_daemon(
    instance: dg.DagsterInstance, dead_pid: int
) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher)
    assert launcher.supports_check_run_worker_health
    dead, alive = start_run(instance, dead_pid), start_run(instance, os.getpid())
    assert launcher.check_run_worker_health(dead).status == WorkerStatus.FAILED
    assert launcher.check_run_worker_health(alive).status == WorkerStatus.RUNNING


def test_terminate_interrupts_the_runs_process_and_no_command_in_a_terminal(
    instance: dg.DagsterInstance,
) -> None:
    default = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", default], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is set up
        run = start_run(instance, process.pid)
        instance.add_run_tags(run.run_id, {FROM_TERMINAL: "command line"})
        assert not instance.run_launcher.terminate(run.run_id)
        assert status_of(instance, run) == STARTED
        assert process.poll() is None

        other = start_run(instance, process.pid)
        assert instance.run_launcher.terminate(other.run_id)
        assert status_of(instance, other) == CANCELING
        assert process.wait() == -signal.SIGINT


def test_doctor_shows_a_dead_run_and_ends_it_with_fix(
    project: Project,
    instance: dg.DagsterInstance,
    dead_pid: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    run = start_run(instance, dead_pid)
    stuck = next(found for found in diagnose(NOW) if found.name == "Dagster")
    assert (stuck.verdict, stuck.status) == ("missing", 2)
    assert stuck.found.startswith("1 run without a process; ")
    assert "pool duckdb: 1 of 1 taken, 0 waiting" in stuck.found
    assert "cbi doctor --fix" in stuck.remedy

    fixed = next(found for found in diagnose(NOW, fix=True) if found.name == "Dagster")

    assert fixed.verdict == "ok"
    assert fixed.found.endswith("1 dead run ended: work")
    assert "pool duckdb: 0 of 1 taken, 0 waiting" in fixed.found
    assert status_of(instance, run) == dg.DagsterRunStatus.FAILURE
