"""Run `cbi` in separate processes, which may kill or stop themselves at a named moment.

The processes are forked from a server that has imported everything already, which saves each of
them the imports. Unless a test names another signal they are killed by SIGKILL, so neither Python
nor DuckDB can clean up.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.market.sessions import trade_dates

trade_dates("grains")  # caches the calendar in the server, for all of its children

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["cbi_assets.pipeline.terminal", "cbi_assets_tests.processes"])


@dataclass(frozen=True)
class Moment:
    """A moment of the `nth` call of `what` ("module:function" or "module:Class.method").

    `when` is `before` or `after` that call, or inside its transaction: `at statement k` when k
    statements have run, `at commit` when all have. `is_quick` if the quick tests kill then too.
    """

    what: str
    when: str = "before"
    nth: int = 1
    is_quick: bool = False

    def __str__(self) -> str:
        return f"{self.when} call {self.nth} of {self.what.partition(':')[2]}"


def quick_and_full(moments: Iterable[Moment]) -> list[Any]:
    """Return the moments as a test's parameters, with those that are not quick marked `full`."""
    return [pytest.param(m, marks=[] if m.is_quick else pytest.mark.full) for m in moments]


def start_cbi(
    arguments: list[str],
    home: Path,
    drive: Path,
    stderr: Path | None = None,
    moment: Moment | None = None,
    settings: Mapping[str, Any] | None = None,
    file_limit: int | None = None,
    how: int = signal.SIGKILL,
) -> ForkServerProcess:
    """Start `cbi` in a new process. `settings` are those besides its home and drive.

    With `file_limit`, it cannot write a file of more bytes; `how` is the signal at the moment.
    """
    more = {name.upper(): str(value) for name, value in (settings or {}).items()}
    environment = {"CBI_HOME": str(home), "CBI_DRIVE": str(drive)} | more
    given = (arguments, environment, stderr, moment, file_limit, how)
    process = SERVER.Process(target=_run_cbi, args=given)
    process.start()
    return process


def run_cbi(
    *arguments: str,
    home: Path,
    drive: Path,
    stderr: Path | None = None,
    moment: Moment | None = None,
    settings: Mapping[str, Any] | None = None,
    file_limit: int | None = None,
    how: int = signal.SIGKILL,
) -> int:
    """Run `cbi` to its end and return its exit status, negative if a signal ended it."""
    process = start_cbi(list(arguments), home, drive, stderr, moment, settings, file_limit, how)
    process.join(timeout=300)
    assert process.exitcode is not None
    return process.exitcode


def call_cbi(
    arguments: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run `cbi` in a process of its own with this environment, as subprocess.run would."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = (Path(folder, "stdout"), Path(folder, "stderr"))
        given = (list(arguments), dict(environment), cwd, outputs)
        process = SERVER.Process(target=_call_cbi, args=given)
        process.start()
        process.join(timeout=300)
        assert process.exitcode is not None, f"cbi {' '.join(arguments)} takes more than 300 s"
        return subprocess.CompletedProcess(
            ["cbi", *arguments], process.exitcode, *(path.read_text() for path in outputs)
        )


def _call_cbi(
    arguments: list[str], environment: dict[str, str], cwd: Path, outputs: tuple[Path, Path]
) -> None:
    from cbi_assets import cli

    os.environ.clear()
    os.environ |= environment
    os.chdir(cwd)
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["cbi", *arguments]
    cli.main()


def await_listener(port: int) -> None:
    """Return once a connection is accepted: a server logs that it serves just before it is."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
        else:
            return


def load_and_pause(home: str, drive: str, ready: Event, go: Event) -> None:
    """Load, but pause before publishing, with the home locked: set `ready` and wait for `go`."""
    from cbi_assets.load import load

    find = load.find_overlaps

    def wait_and_find(*args: Any) -> Any:
        ready.set()
        assert go.wait(60)
        return find(*args)

    load.find_overlaps = wait_and_find
    _run_cbi(["load"], {"CBI_HOME": home, "CBI_DRIVE": drive}, None, None)


def _run_cbi(
    arguments: list[str],
    environment: Mapping[str, str],
    stderr: Path | None,
    moment: Moment | None,
    file_limit: int | None = None,
    how: int = signal.SIGKILL,
) -> None:
    if file_limit is not None:
        limit_file_size(file_limit)
    os.environ |= environment
    out = os.open(stderr or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from cbi_assets import cli
    from cbi_assets.drive import survey

    survey.COMMIT_BYTES = 1  # commit each file to the catalog as soon as it is read
    if moment is not None:
        die_at(moment, how)
    sys.argv = ["cbi", *arguments]
    cli.main()


def limit_file_size(limit: int) -> None:
    """Let this process write no file of more bytes, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def die_at(moment: Moment, how: int = signal.SIGKILL) -> None:
    """Make this process end by a signal at a moment."""
    module, _, path = moment.what.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def die() -> None:
        os.kill(os.getpid(), how)

    def statements(given: list[Any]) -> Iterator[Any]:
        last = len(given) if moment.when == "at commit" else int(moment.when.split()[-1])
        for done, statement in enumerate(given):
            if done == last:
                die()
            yield statement
        die()

    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != moment.nth:
            return original(*args, **options)
        if moment.when == "before":
            die()
        if moment.when.startswith("at "):
            args = (args[0], statements(list(args[1])))
        result = original(*args, **options)
        if moment.when == "after":
            die()
        return result

    setattr(owner, name, wrapped)
