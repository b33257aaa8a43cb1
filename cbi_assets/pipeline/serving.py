"""Dagster's web server and daemon for a person at this machine: on loopback, stopped together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from filelock import FileLock, Timeout

from cbi_assets.config.settings import Home, Settings
from cbi_assets.errors import HomeBusyError, ServiceError, UsageError
from cbi_assets.pipeline.instance import prepare_instance, project_file

HOST = "127.0.0.1"
FIRST_PORT = 3000
PORTS_TRIED = 20
GRACE_SECONDS = 10.0
"""How long a run may take to end once Dagster has stopped."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def choose_port(wanted: int | None) -> int:
    """`wanted`, or where that is None the first free port from 3000 on.

    Raises UsageError where something else listens there.
    """
    if wanted is not None:
        if not _is_free(wanted):
            raise UsageError(
                f"--port {wanted}: something else listens there. Choose another, or leave --port "
                "out for the next free one."
            )
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
    raise UsageError(
        f"Something listens on every port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}. "
        "Name a free one with --port."
    )


def serve(
    settings: Settings, port: int | None, *, read_only: bool, tell: Callable[[str], None]
) -> None:
    """Run the web server and the daemon until SIGINT, SIGTERM or SIGHUP; both are stopped then.

    With `read_only` the page launches nothing and switches nothing; the daemon still runs what is
    switched on. Raises HomeBusyError where the home's Dagster runs already, UsageError for a port
    that is taken, ServiceError when Dagster stops by itself.
    """
    home = settings.home
    dagster_home = prepare_instance(home)
    environment = os.environ | settings.environment() | {"DAGSTER_HOME": str(dagster_home)}
    if read_only:
        environment["DAGSTER_WEBSERVER_READ_ONLY"] = "1"
    # it recommends a tool that this project does not need
    environment.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    workspace = str(project_file("workspace.yaml"))
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", workspace]
    with _alone(home) as announce:
        chosen = choose_port(port)
        url = f"http://{HOST}:{chosen}"
        announce(url)
        kind = "Dagster, read-only," if read_only else "Dagster"
        tell(f"{kind} at {url} for {home.root} (Ctrl-C stops it)")
        stopped, status = _run(
            [*command, "--host", HOST, "--port", str(chosen)], environment, home.root
        )
    if not stopped:
        raise ServiceError(
            f"Dagster stopped by itself (status {status}); its last lines say why. Mend that, then "
            "run `cbi ui` again."
        )
    tell("Dagster is stopped.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        except OverflowError:
            raise UsageError(f"--port {port}: a port lies between 1 and 65535.") from None
    return True


@contextmanager
def _alone(home: Home) -> Iterator[Callable[[str], None]]:
    """Be the home's one Dagster: two daemons would each request the runs that sensors ask for.

    Gives what writes down where it is.
    """
    lock = FileLock(home.root / "ui.lock")
    place = home.root / "ui.url"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        where = place.read_text().strip() if place.exists() else "another port"
        raise HomeBusyError(
            f"{home.root}: its Dagster runs already, at {where}. Open that, or stop it first."
        ) from None
    try:
        yield lambda url: _write(place, url)
    finally:
        place.unlink(missing_ok=True)
        lock.release()


def _write(place: os.PathLike[str], text: str) -> None:
    with open(place, "w") as file:
        file.write(f"{text}\n")


def _run(
    command: list[str], environment: dict[str, str], cwd: os.PathLike[str]
) -> tuple[bool, int]:
    """Run a command until it ends; whether that was because of a signal, and its status."""
    stopping = False
    child: subprocess.Popen[bytes] | None = None

    # A signal with a handler goes to the child as a default one, also where the caller ignores it,
    # as a shell does for what runs in its background; else Dagster would ignore it, too.
    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping and child is not None:
            child.send_signal(signal.SIGINT)
        stopping = True

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        # in a session of its own, so that Ctrl-C reaches it once: it stops its parts in order
        child = subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True)
        return_code = child.wait()
        _end_group(child.pid)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return stopping, return_code


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
