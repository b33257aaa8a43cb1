"""Find and end the runs whose process is gone, which Dagster would show as running forever.

A run's engine events name its processes. The daemon asks `LocalRunLauncher` about each running run;
`cbi ui` and `cbi doctor --fix` end dead runs at once. Dagster retries them as dagster.yaml says.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    WorkerStatus,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord

FROM_TERMINAL = "cbi/from"
"""The tag of runs that are a command in a terminal."""

START_SECONDS = 180
"""How long a run may have no process: start_timeout_seconds of dagster.yaml."""

UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
"""The statuses of runs that have a process, or are about to get one."""


@dataclass(frozen=True)
class Pool:
    """A pool of Dagster: its limit, and how many steps are in it and wait for it."""

    name: str
    limit: int | None
    taken: int
    waiting: int


class LocalRunLauncher(DefaultRunLauncher):
    """Launches runs in processes of this machine, and knows whether one is still there."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to a process that has imported the libraries."""
        from cbi_assets.pipeline.run_process import launch  # unused by a command in a terminal

        launch(self._instance, context.dagster_run.run_id)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process; return whether there was one.

        A command in a terminal is not interrupted: it is not the UI's.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or FROM_TERMINAL in run.tags:
            return False
        self._instance.report_run_canceling(run)
        alive = [pid for pid in _pids(self._instance, run_id) if _is_alive(pid)]
        for pid in alive:
            os.kill(pid, signal.SIGINT)
        return bool(alive)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether Dagster's monitoring may ask about runs: yes."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether a process of a started run exists."""
        pids = _pids(self._instance, run.run_id)
        if pids and not any(_is_alive(pid) for pid in pids):
            return CheckRunHealthResult(WorkerStatus.FAILED, _reason(pids))
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def find_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the unfinished runs whose processes are gone, or that never got one."""
    return [record.dagster_run for record, _ in _dead(instance)]


def end_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Mark dead runs as failed, or as canceled if that was requested, and return them.

    Frees the pools' slots of all runs that have ended, also of those that ended earlier.
    """
    ended = []
    for record, reason in _dead(instance):
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        ended.append(run)
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        slots_of = instance.get_run_by_id(run_id)
        if slots_of is None or slots_of.status in FINISHED_STATUSES:
            storage.free_concurrency_slots_for_run(run_id)
    return ended


def pools(instance: dg.DagsterInstance) -> list[Pool]:
    """Return the pools that steps have used, by name."""
    storage = instance.event_log_storage
    infos = [storage.get_concurrency_info(key) for key in sorted(storage.get_concurrency_keys())]
    return [
        Pool(info.concurrency_key, info.limit, info.active_slot_count, info.pending_step_count)
        for info in infos
    ]


def _dead(instance: dg.DagsterInstance) -> Iterator[tuple[RunRecord, str]]:
    unfinished = dg.RunsFilter(statuses=list(UNFINISHED))
    oldest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=START_SECONDS)
    for record in instance.get_run_records(filters=unfinished):
        pids = _pids(instance, record.dagster_run.run_id)
        if pids and not any(_is_alive(pid) for pid in pids):
            yield record, _reason(pids)
        elif not pids and record.update_timestamp.replace(tzinfo=dt.UTC) < oldest:
            yield record, f"The run got no process within {START_SECONDS} s."


def _reason(pids: set[int]) -> str:
    listed = ", ".join(str(pid) for pid in sorted(pids))
    return f"The run's process is gone ({listed}): it was killed, or the machine was restarted."


def _pids(instance: dg.DagsterInstance, run_id: str) -> set[int]:
    """Return the processes that the run's engine events name."""
    pids: set[int] = set()
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        if entry.dagster_event is None:
            continue
        value = entry.dagster_event.engine_event_data.metadata.get("pid")
        text = str(value.value) if value is not None else ""
        if text.isdecimal():
            pids.add(int(text))
    return pids


def _is_alive(pid: int) -> bool:
    """Return whether a process exists, has not ended, and runs Python: pids are given out again."""
    if pid == os.getpid():
        return True
    shown = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, command = shown.stdout.strip().partition(" ")
    return bool(state) and not state.startswith("Z") and "python" in command.casefold()
