"""Runs go to the process that is ready, unless what it has imported has changed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value

from cbi_assets.pipeline import daemon, event_log, run_process
from cbi_assets.pipeline.event_log import keep_event_log_open
from cbi_assets.pipeline.instance import open_instance, prepare_instance
from cbi_assets.session import Project


@dg.op
def log() -> None:
    """Do nothing."""


@dg.job
def work() -> None:
    log()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes that were started; each prints what it is handed."""
    found: list[subprocess.Popen[str]] = []

    def start() -> run_process._Waiting:
        process = subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        found.append(process)
        return run_process._Waiting(process, run_process._stamps())

    monkeypatch.setattr(run_process, "_start", start)
    monkeypatch.setattr(run_process, "_ready", [])
    yield found
    for process in found:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def run_of(process: subprocess.Popen[str]) -> str:
    """Return the id of the run that a process was handed, after its instance was."""
    assert process.stdout is not None
    run_id, reference = process.stdout.read().splitlines()
    assert isinstance(deserialize_value(reference), InstanceRef)
    return run_id


def test_launch_hands_the_run_over_and_prepares_the_next_process(
    instance: dg.DagsterInstance, started: list[subprocess.Popen[str]]
) -> None:
    run_process.prepare()
    run_process.prepare()
    assert len(started) == 1
    run_process.launch(instance, "first")
    assert run_of(started[0]) == "first"
    run_process.launch(instance, "second")
    assert run_of(started[1]) == "second"
    assert len(started) == 3
    assert started[2].poll() is None


def test_launch_replaces_a_process_that_ended_or_imported_other_files(
    instance: dg.DagsterInstance,
    started: list[subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setattr(run_process, "_PACKAGE", package)
    run_process.prepare()
    (package / "universe.yaml").write_text("roots: {}")
    run_process.launch(instance, "first")
    assert started[0].wait() < 0
    assert run_of(started[1]) == "first"
    started[2].kill()
    started[2].wait()
    run_process.launch(instance, "second")
    assert run_of(started[3]) == "second"


@pytest.mark.full
def test_event_log_kept_open_is_read_by_another_instance(
    project: Project, instance: dg.DagsterInstance
) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    runs = [work.execute_in_process(instance=instance, run_config=quiet) for _ in range(10)]
    with open_instance(project.home) as other:
        keep_event_log_open(other)  # it is, already
        for run in runs:  # more than stay open
            kinds = {entry.dagster_event_type for entry in other.all_logs(run.run_id)}
            assert dg.DagsterEventType.RUN_SUCCESS in kinds


def test_daemon_keeps_the_event_log_open(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_control", lambda instance, **options: options)
    with dg.DagsterInstance.from_config(str(prepare_instance(project.home))) as opened:
        assert daemon._with_open_event_log(opened, log_level="info") == {"log_level": "info"}  # type: ignore[comparison-overlap]
        assert type(opened.event_log_storage) is event_log._OpenEventLog
