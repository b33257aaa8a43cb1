"""The process of a run. One is kept ready: it has imported the project, and waits for its run.

Importing takes more than half of a short run.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.impl import core_execute_run
from dagster._serdes import deserialize_value, serialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts

import cbi_assets
from cbi_assets.pipeline.event_log import keep_event_log_open

_PACKAGE = Path(cbi_assets.__file__).parent

Stamps = Mapping[Path, tuple[int, int]]
"""Size and modification time of each file of the package, its configuration included."""


@dataclass(frozen=True)
class _Waiting:
    """A process without a run, and the files that it has imported."""

    process: subprocess.Popen[str]
    stamps: Stamps

    def is_current(self) -> bool:
        """Return whether it lives, and nothing has changed since it started."""
        return self.process.poll() is None and self.stamps == _stamps()


_lock = Lock()
_ready: list[_Waiting] = []


def prepare() -> None:
    """Start a process for the next run, unless one is ready."""
    with _lock:
        if not _ready:
            _ready.append(_start())


def launch(instance: dg.DagsterInstance, run_id: str) -> None:
    """Hand a run to the process that is ready, or else to a new one; then prepare the next."""
    with _lock:
        waiting = _ready.pop() if _ready else _start()
    if not waiting.is_current():
        waiting.process.kill()
        waiting = _start()
    assert waiting.process.stdin is not None
    with waiting.process.stdin as pipe:
        pipe.write(f"{run_id}\n{serialize_value(instance.get_ref())}\n")
    prepare()


def execute(run_id: str, reference: InstanceRef) -> None:
    """Execute a run, and report its outcome to its instance."""
    with capture_interrupts(), dg.DagsterInstance.from_ref(reference) as instance:
        keep_event_log_open(instance)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        pid = os.getpid()
        instance.report_engine_event(
            f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
        )
        try:
            origin = run.job_code_origin
            assert isinstance(origin, JobPythonOrigin)
            job = recon_job_from_origin(origin)
            for _ in core_execute_run(job, run, instance, inject_env_vars=False):
                pass
        finally:
            instance.report_engine_event(f"Process for run exited (pid: {pid}).", run)


def _start() -> _Waiting:
    command = [sys.executable, "-m", "cbi_assets.pipeline.run_process"]
    stamps = _stamps()
    return _Waiting(subprocess.Popen(command, stdin=subprocess.PIPE, text=True), stamps)


def _stamps() -> Stamps:
    files = [p for p in _PACKAGE.rglob("*") if p.suffix != ".pyc" and p.is_file()]
    return {path: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in files}


def main() -> None:
    """Import the project, then execute the run that standard input names, if any."""
    importlib.import_module("cbi_assets.definitions")
    run_id, reference = (sys.stdin.readline().strip() for _ in range(2))
    if reference:  # else the daemon has ended, and needs no run
        execute(run_id, deserialize_value(reference, InstanceRef))


if __name__ == "__main__":
    main()
