"""A signal ends any command at once: one line, and status 128 + number."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path

import pytest

from cbi_assets.cli import stopping
from cbi_assets.cli.app import exit_on_error
from cbi_assets.errors import CbiError
from cbi_assets_tests.processes import SERVER, Moment, run_cbi


@pytest.mark.sampled(1)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_check_that_a_signal_stops_ends_with_its_status(
    how: signal.Signals, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "stderr"
    moment = Moment("cbi_assets.verbs:run_checks")
    assert run_cbi("check", home=home, drive=tmp_path, stderr=log, moment=moment, how=how) == (
        128 + how
    )
    *_, line = log.read_text().splitlines()
    assert line.startswith(f"cbi: stopped by {how.name}; ")
    assert list((home / "tmp").iterdir()) == []
    assert not (home / "home.holder").exists()


def test_process_ends_while_a_library_computes(tmp_path: Path) -> None:
    """No Python code runs in the main thread, so that its signal handler does not run, either."""
    process = SERVER.Process(target=compute_forever, args=(tmp_path / "stderr",))
    process.start()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    (line,) = (tmp_path / "stderr").read_text().splitlines()
    assert line.startswith("cbi: stopped by SIGTERM; ")


def compute_forever(stderr: Path) -> None:
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    stopping.GRACE_SECONDS = 0.1

    @exit_on_error
    def command() -> int:
        library = ctypes.CDLL(None)
        mutex = ctypes.create_string_buffer(256)
        library.pthread_mutex_init(mutex, None)
        library.pthread_mutex_lock(mutex)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        library.pthread_mutex_lock(mutex)  # waits for itself, and no signal interrupts it
        return 0

    command()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_that_a_library_takes_for_itself_still_stops_the_command(
    how: signal.Signals,
) -> None:
    """Dagster handles signals itself while it executes a run, which then fails."""

    def fail(*, taken: bool) -> None:
        with stopping.stop_on_signals():
            if taken:
                signal.signal(how, lambda *_: None)
                signal.raise_signal(how)
            raise CbiError("the run failed")

    with pytest.raises(stopping.Stopped) as stopped:
        fail(taken=True)
    assert stopped.value.number == how
    with pytest.raises(CbiError, match="the run failed"):
        fail(taken=False)
