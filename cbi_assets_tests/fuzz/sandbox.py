"""Run the product on one drive in a forked process, with limits on time and memory."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from cbi_assets_tests.processes import SERVER

SECONDS = 90.0
"""How long a load may take; one of a few bars takes a second."""

NBYTES = 1 << 30
"""How much memory a load may take; one of a few bars takes 300 MiB."""

_POLL_SECONDS = 0.05
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss

Product = Callable[[], int]
"""Loads the drive that the environment names, and returns the exit status."""


@dataclass(frozen=True)
class Finished:
    """How a process ended: its status, why it was stopped, its peak memory, and what it printed."""

    status: int
    stopped: str  # "time", "memory" or ""
    peak: int
    output: str


def load_without_dagster() -> int:
    """Run `cbi load`, but record nothing in Dagster, which takes longer than the load."""
    from cbi_assets import cli
    from cbi_assets.cli import drive_commands
    from cbi_assets.pipeline import terminal

    drive_commands._start_dagster = lambda home: None
    terminal.record_load = lambda session, outcome, lights=None: None
    terminal.record_staging = lambda session, outcome: None
    sys.argv = ["cbi", "load"]
    cli.main()
    return 0


def load_by_command_line() -> int:
    """Run `cbi load` in a new interpreter, as a user does."""
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    os.execv(sys.executable, [sys.executable, "-m", "cbi_assets.cli", "load"])


class Sandbox:
    """A process that has imported the product, and forks itself once for each run."""

    def __init__(
        self,
        product: Product = load_without_dagster,
        seconds: float = SECONDS,
        nbytes: int = NBYTES,
    ) -> None:
        self._connection, other_end = SERVER.Pipe()
        self._server = SERVER.Process(
            target=_serve, args=(other_end, product, seconds, nbytes), daemon=True
        )
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.send(None)
        self._connection.close()
        self._server.join()
        self._server.close()

    def run(self, environment: Mapping[str, str], folder: Path) -> Finished:
        """Run the product with these variables alone and `folder` as working directory."""
        output = folder / "output"
        self._connection.send((dict(environment), str(folder), str(output)))
        status, stopped, peak = self._connection.recv()
        return Finished(status, stopped, peak, output.read_text(errors="replace"))


def empty_home(sandbox: Sandbox, folder: Path) -> Path:
    """Return a home with an empty warehouse, for copies that need not create their tables."""
    (folder / "drive").mkdir(parents=True)
    home = folder / "home"
    sandbox.run({"CBI_HOME": str(home), "CBI_DRIVE": str(folder / "drive")}, folder)
    shutil.rmtree(folder / "drive")
    return home


_TRANSLATED: dict[str, str] = {}
"""What earlier children translated to DuckDB's SQL, which takes half the time of a small load."""


def _serve(connection: Connection, product: Product, seconds: float, nbytes: int) -> None:
    from databento.common import publishers

    from cbi_assets.cli import show_load
    from cbi_assets.pipeline import terminal
    from cbi_assets.warehouse import duckdb

    assert all((publishers, show_load, terminal))  # imported here once, for all the children
    translate = duckdb.to_duckdb

    def remember(sql: str, pretty: bool = False) -> str:
        key = f"{pretty} {sql}"
        if key not in _TRANSLATED:
            _TRANSLATED[key] = translate(sql, pretty)
        return _TRANSLATED[key]

    duckdb.to_duckdb = remember
    while (request := connection.recv()) is not None:
        connection.send(_run(product, seconds, nbytes, *request))
        translations = Path(request[1], "translations")
        if translations.exists():
            _TRANSLATED.update(json.loads(translations.read_text()))


def _run(
    product: Product,
    seconds: float,
    nbytes: int,
    environment: dict[str, str],
    folder: str,
    output: str,
) -> tuple[int, str, int]:
    ended, write_end = os.pipe()
    os.set_inheritable(write_end, True)  # by an interpreter that the child starts in its place
    child = os.fork()
    if child == 0:
        os.close(ended)
        os._exit(_run_product(product, environment, folder, output))
    os.close(write_end)  # the child has the only one left: its end closes the pipe
    stopped = _wait(child, ended, time.monotonic() + seconds, nbytes)
    os.close(ended)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), stopped, usage.ru_maxrss * _UNIT


def _wait(child: int, ended: int, deadline: float, nbytes: int) -> str:
    """Wait for the child to end; kill it if it exceeds a limit, and return which."""
    while not select.select([ended], [], [], _POLL_SECONDS)[0]:
        exceeded = "time" if time.monotonic() > deadline else ""
        if _resident(child) > nbytes:
            exceeded = "memory"
        if exceeded:
            os.kill(child, signal.SIGKILL)
            return exceeded
    return ""


def _resident(child: int) -> int:
    """Return the memory that a process uses now, 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _run_product(product: Product, environment: dict[str, str], folder: str, output: str) -> int:
    status = 1
    try:
        os.environ.clear()
        os.environ |= environment
        os.chdir(folder)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(out, number)
        status = product()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    Path(folder, "translations").write_text(json.dumps(_TRANSLATED))
    return status
