"""Serve `cbi ui` on a home, and open a headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from cbi_assets_tests.processes import await_listener

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium must run as root in a container, and call no server of its vendor.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open a headless Chromium: the machine's own, else Playwright's.

    Raises playwright.sync_api.Error if there is none.
    """
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable, args=FLAGS) as browser,
    ):
        yield browser


@contextmanager
def serve_ui(home: Path, drive: Path) -> Iterator[str]:
    """Serve Dagster's UI for a home, and yield its address."""
    running = subprocess.Popen(
        [sys.executable, "-m", "cbi_assets.cli", "ui"],
        env=os.environ | {"CBI_HOME": str(home), "CBI_DRIVE": str(drive)},
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    output = ""
    for line in running.stdout:
        output += line
        if "Serving dagster-webserver" in line:
            break
    address = re.search(r"http://127\.0\.0\.1:\d+", output)
    assert address is not None, output
    try:
        await_listener(int(address.group().rpartition(":")[2]))
        yield address.group()
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate()
