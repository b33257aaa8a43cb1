"""Run Dagster's web server and daemon on loopback for one user, and stop both together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from cbi_assets.config.settings import Home, Settings
from cbi_assets.errors import HomeBusyError, ServiceError, UsageError
from cbi_assets.formatting import plural
from cbi_assets.pipeline.instance import end_runs, prepare_instance, project_file

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
FIRST_PORT = 3000
PORTS_TRIED = 20
LOOPBACK = ("127.0.0.1", "localhost")
"""Names by which the page may be asked for."""
HOSTS_VARIABLE = "CBI_UI_ALLOWED_HOSTS"
"""How the allowed names reach the web server's process, comma-separated."""
WEB_SERVER = "cbi_assets.pipeline.web_server"
DAEMON = "cbi_assets.pipeline.daemon"
GRACE_SECONDS = 10.0
"""How long a run may take to end after Dagster has stopped."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def choose_port(wanted: int | None) -> int:
    """Return `wanted`, or the first free port from 3000 if it is None.

    Raises UsageError if another process listens on it.
    """
    if wanted is not None:
        if not _is_free(wanted):
            raise UsageError(
                "another process listens on it",
                subject=f"--port {wanted}",
                remedy="Choose another, or omit --port to use the next free one.",
            )
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
    raise UsageError(
        f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}",
        remedy="Choose one with --port.",
    )


def serve(
    settings: Settings, port: int | None, *, read_only: bool, hosts: Sequence[str] = ()
) -> None:
    """Run the web server and the daemon until SIGINT, SIGTERM or SIGHUP, then stop both.

    Parameters
    ----------
    settings : Settings
        Passed on to Dagster as environment variables.
    port : int, optional
        Port on 127.0.0.1; the first free one from 3000 if None.
    read_only : bool
        Serve a page that cannot launch runs or change settings. The daemon still runs what is
        switched on.
    hosts : sequence of str
        Names by which the page may be asked for besides 127.0.0.1 and localhost.

    Raises
    ------
    HomeBusyError
        If this home's Dagster is running already.
    UsageError
        If the port is taken.
    ServiceError
        If Dagster stops by itself.
    """
    home = settings.home
    dagster_home = prepare_instance(home)
    environment = os.environ | settings.environment() | {"DAGSTER_HOME": str(dagster_home)}
    if read_only:
        environment["DAGSTER_WEBSERVER_READ_ONLY"] = "1"
    # it recommends a tool that this project does not need
    environment.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    workspace = str(project_file("workspace.yaml"))
    environment[HOSTS_VARIABLE] = ",".join((*LOOPBACK, *hosts))
    command = [sys.executable, "-m", WEB_SERVER, "dev", "--workspace", workspace]
    with _exclusive_ui(home) as url_file, _stopped_by_signals() as dagster:
        chosen = choose_port(port)
        if ended := end_runs(home):
            logger.info(
                "ended %s without a process: %s", plural(len(ended), "run"), ", ".join(ended)
            )
        url = f"http://{HOST}:{chosen}"
        url_file.write_text(f"{url}\n")
        kind = "Dagster, read-only," if read_only else "Dagster"
        logger.info("%s at %s for %s (Ctrl-C stops it)", kind, url, home.root)
        listen = ["--host", HOST, "--port", str(chosen)]
        status = dagster.run([*command, *listen], environment, home.root)
    if not dagster.stopping:
        raise ServiceError(
            f"Dagster stopped by itself (status {status})",
            remedy="Its last lines say why: fix that, then run `cbi ui` again.",
        )
    logger.info("Dagster is stopped.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        except OverflowError:
            raise UsageError(
                "not a port", subject=f"--port {port}", remedy="Choose one from 1 to 65535."
            ) from None
    return True


@contextmanager
def _exclusive_ui(home: Home) -> Iterator[Path]:
    """Be the home's only Dagster, and yield the file that says where it is.

    Two daemons would each request the runs that sensors ask for.
    """
    lock = FileLock(home.root / "ui.lock")
    url_file = home.root / "ui.url"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        where = url_file.read_text().strip() if url_file.exists() else "another port"
        raise HomeBusyError(
            f"its Dagster is already running at {where}",
            subject=str(home.root),
            remedy="Open that, or stop it first.",
        ) from None
    try:
        yield url_file
    finally:
        url_file.unlink(missing_ok=True)
        lock.release()


class _Dagster:
    """Dagster's processes, which end when a signal asks this process to."""

    def __init__(self) -> None:
        self.stopping = False
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str], environment: dict[str, str], cwd: os.PathLike[str]) -> int:
        """Run a command until it ends, and return its exit status."""
        # In a session of its own, so that Ctrl-C reaches it once and it stops its parts in order.
        child = subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True)
        self._child = child
        if self.stopping:  # a signal came before there was a child to pass it to
            child.terminate()
        return_code = child.wait()
        _end_group(child.pid)
        return return_code

    def stop(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping and self._child is not None:
            self._child.terminate()  # unlike SIGINT, it ends Python silently while it starts
        self.stopping = True


@contextmanager
def _stopped_by_signals() -> Iterator[_Dagster]:
    """Pass SIGINT, SIGTERM and SIGHUP on to Dagster while the block runs.

    A child inherits an ignored signal, as a shell sets for what runs in its background: Dagster
    would ignore it, too. A signal with a handler reaches it with the default action.
    """
    dagster = _Dagster()
    woken = signal.set_wakeup_fd(-1)  # Dagster may take longer than a command to stop
    before = {number: signal.signal(number, dagster.stop) for number in _STOPPING}
    try:
        yield dagster
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_group(group: int) -> None:
    """End what Dagster leaves behind: a code server that would wait for a heartbeat, or a run."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
