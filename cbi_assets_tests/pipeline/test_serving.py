"""`cbi ui`: web server and daemon on loopback, stopped together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from filelock import FileLock

from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.pipeline import serving
from cbi_assets.pipeline.serving import HOST, choose_port, serve
from cbi_assets.session import Project
from cbi_assets_tests.processes import await_listener


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another process listens on."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def test_choose_port_raises_if_the_port_is_taken_and_skips_it_if_none_is_given(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=rf"^--port {taken}: another process listens on it\. "):
        choose_port(taken)
    monkeypatch.setattr(serving, "FIRST_PORT", taken)
    assert taken < choose_port(None) < taken + serving.PORTS_TRIED
    monkeypatch.setattr(serving, "PORTS_TRIED", 1)
    with pytest.raises(UsageError, match="Choose one with --port"):
        choose_port(None)


def test_choose_port_returns_the_requested_port_if_it_is_free() -> None:
    port = free_port()
    assert choose_port(port) == port


def test_serve_raises_if_the_homes_dagster_is_running(project: Project) -> None:
    (project.home.root / "ui.url").write_text("http://127.0.0.1:3000\n")
    with (
        FileLock(project.home.root / "ui.lock"),
        pytest.raises(
            HomeBusyError, match=r"its Dagster is already running at http://127\.0\.0\.1:3000"
        ),
    ):
        serve(project.settings, None, read_only=False)


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)]
)
def test_ui_serves_until_a_signal_and_leaves_no_process(
    project: Project, how: signal.Signals
) -> None:
    """The caller ignores SIGINT, as a shell does for what runs in its background."""
    port = free_port()
    read_only = how == signal.SIGTERM
    running = subprocess.Popen(
        [sys.executable, "-m", "cbi_assets.cli", "ui", "--port", str(port)]
        + ["--read-only"] * read_only,
        env=os.environ | {"CBI_HOME": str(project.home.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None,
    )
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if "Serving dagster-webserver" in line:
            break
    assert f"at http://127.0.0.1:{port} for {project.home.root} (Ctrl-C stops it)" in lines[0]
    assert ask(port, "{permissions{permission value}}")["permissions"].count(
        {"permission": "launch_pipeline_execution", "value": not read_only}
    )
    assert ask(port, "{version}", Origin="https://evil.example") == 403
    assert ask(port, "{version}", Host=f"evil.example:{port}") == 400
    sessions = own_sessions(running.pid)
    running.send_signal(how)
    rest = running.stdout.read()
    assert running.wait() == 0, rest
    assert rest.endswith("Dagster is stopped.\n")
    # neither a process nor the port is left
    assert [pid for session in sessions for pid in members(session)] == []
    assert choose_port(port) == port
    assert not (project.home.root / "ui.url").exists()


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.full) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_ui_that_a_signal_stops_while_dagster_starts_ends_with_one_line(
    project: Project, how: signal.Signals
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "cbi_assets.cli", "ui", "--port", str(free_port())],
        env=os.environ | {"CBI_HOME": str(project.home.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    assert "Ctrl-C stops it" in running.stdout.readline()
    running.send_signal(how)
    assert running.stdout.read().splitlines() == ["Dagster is stopped."]
    assert running.wait() == 0
    assert not (project.home.root / "ui.url").exists()


def ask(port: int, question: str, **headers: str) -> Any:
    """Return the data that a query gives, or the status with which it was refused."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/graphql",
        json.dumps({"query": question}).encode(),
        {"Content-Type": "application/json"} | headers,
    )
    await_listener(port)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["data"]
    except HTTPError as error:
        return error.code


def processes() -> Iterator[tuple[int, int, int]]:
    """Pid, parent and session of every running process, from ps."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,sess=,stat="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        *numbers, state = line.split()
        if not state.startswith("Z"):  # a zombie has ended
            pid, parent, session = (int(number) for number in numbers)
            yield pid, parent, session


def own_sessions(pid: int) -> set[int]:
    """The sessions of a process's children: `cbi ui` gives Dagster one of its own."""
    found = {session for _, parent, session in processes() if parent == pid}
    assert found
    return found


def members(session: int) -> list[int]:
    return [pid for pid, _, its in processes() if its == session]


@pytest.mark.full
def test_serve_raises_if_dagster_stops_by_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(serving, "project_file", lambda name: tmp_path / "absent.yaml")
    monkeypatch.setattr(serving, "prepare_instance", lambda home: home.root)
    with pytest.raises(serving.ServiceError, match=r"Dagster stopped by itself \(status [1-9]"):
        serve(project.settings, free_port(), read_only=False)
