"""End a command at once on SIGINT, SIGTERM or SIGHUP, with one line and status 128 + number."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

GRACE_SECONDS = 2.0
"""How long the command may take to roll back and close its files before the process ends anyway."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ending: Final = threading.Lock()
_SHOW_CURSOR: Final = "\x1b[?25h"
_END: Final = b"\0"
"""Ends the thread that watches; it is no signal's number."""


class Stopped(BaseException):
    """A signal stopped the command, whatever the command made of it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on the first signal, and Stopped at its end.

    Python handles a signal between two of its own instructions. While a library computes, a second
    thread therefore waits for the signal, too, and ends the process after GRACE_SECONDS. It also
    sees a signal that a library, such as Dagster within a run, takes for itself. A signal that the
    caller ignores, as `nohup` does, stays ignored.
    """
    received: list[int] = []
    seen: list[int] = []
    finished = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    before = {n: signal.getsignal(n) for n in SIGNALS}
    handled = {n: handler for n, handler in before.items() if handler is not signal.SIG_IGN}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(target=_watch, args=(reading, seen, finished), daemon=True)
    for number in handled:
        signal.signal(number, interrupt)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in handled.items():
            signal.signal(number, handler)
        finished.set()
        os.write(writing, _END)
        watcher.join()
        os.close(writing)
        if numbers := received or seen:
            raise Stopped(numbers[0]) from None


def describe(number: int) -> str:
    """Return the line for a command that a signal stopped."""
    name = signal.Signals(number).name
    return f"stopped by {name}; what was not complete is rolled back. Retry."


def end(number: int) -> NoReturn:
    """End this process now, with one line, and leave no temporary file and no lock."""
    from cbi_assets.session import release_homes

    _ending.acquire()  # for the thread that comes first; the process ends with it
    with suppress(OSError):
        release_homes()
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{cursor}cbi: {describe(number)}\n".encode())
    os._exit(128 + number)


def _watch(reading: int, seen: list[int], finished: threading.Event) -> None:
    """Await signals that this process handles; end it if it is not finished soon after one."""
    with os.fdopen(reading, "rb", buffering=0) as numbers:
        while (number := numbers.read(1)) and number != _END:
            if number[0] in SIGNALS:
                seen.append(number[0])
                if not finished.wait(GRACE_SECONDS):
                    end(number[0])
