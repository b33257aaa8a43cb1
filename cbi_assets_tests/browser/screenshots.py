"""Take the pictures in docs/images, of a home that is loaded, built and checked:

python -m cbi_assets_tests.browser.screenshots --home .cbi --drive DRIVE [--out docs/images] [NAME…]

Dagster's pictures need a backfill, which is run. With Pillow installed, colors are reduced to a
palette, which halves the files.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.text import Text

from cbi_assets.config.universe import load_universe
from cbi_assets_tests.browser.ui_server import open_browser, serve_ui

PARTITION = "/assets/raw/databento_ohlcv?view=partitions&partition=ZL%7C1h"
CHECKS = "/assets/market_data/databento_futures_ohlcv_1h?view=checks"
CHECK = "coverage_is_uniform"
NEUTRAL_HOME = """p => {
  p.innerHTML = p.innerHTML.replace(/from .*, warehouse/s, "from .cbi, warehouse")
}"""
"""Hide the path of the machine on which the pictures are taken."""

COLUMNS, ROWS = 80, 50
SIZE = (1440, 1000)
SIZES = {"graph": (1600, 560), "backfill": (1440, 320), "automation": (1440, 560)}
"""Windows in which Dagster's pages are taken."""
COMMANDS = ("load", "check", "audit")
AUDITS: dict[str, tuple[int, int, Literal["light", "dark"], str | None]] = {
    "audit-light": (1200, 900, "light", None),
    "audit-dark": (1200, 900, "dark", "trading"),
    "audit-phone": (390, 780, "light", None),
}

START = "mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
LAUNCH = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status runs(limit: 1) { id } } } }"""
ASK = """async ([query, variables]) => {
  const headers = {"Content-Type": "application/json"};
  const body = JSON.stringify({query, variables});
  return await (await fetch("/graphql", {method: "POST", headers, body})).json();
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--drive", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("names", nargs="*", help="of the pictures to take (default: all)")
    args = parser.parse_args()
    home, drive = args.home.resolve(), args.drive.resolve()

    def to(name: str) -> Path | None:
        return args.out / f"{name}.png" if not args.names or name in args.names else None

    with open_browser() as browser:
        for command in COMMANDS:
            if path := to(f"terminal-{command}"):
                take_terminal(browser, command, home, drive, path)
        page = (home / "audit" / "latest" / "audit.html").as_uri()
        for name, options in AUDITS.items():
            if path := to(name):
                take_audit(browser, page, path, *options)
        views: dict[str, tuple[str, Callable[[Page], None]]] = {
            "graph": ("/asset-groups", show_graph),
            "partition": (PARTITION, partial(show, "newest bars")),
            "check": (CHECKS, show_check),
            "backfill": ("", partial(show, "Completed")),
            "run": ("", partial(show, "RUN_SUCCESS")),
            "automation": ("/automation", partial(show, "matrix_follows_bars")),
        }
        if any(to(name) for name in views):
            with serve_ui(home, drive) as address:
                backfill, run = run_backfill(browser, address)
                views["backfill"] = (f"/runs/b/{backfill}", views["backfill"][1])
                views["run"] = (f"/runs/{run}", views["run"][1])
                for name, (view, bring) in views.items():
                    if path := to(name):
                        take(browser, address + view, path, bring, *SIZES.get(name, SIZE))
    for path in filter(None, map(to, [*(f"terminal-{c}" for c in COMMANDS), *AUDITS, *views])):
        reduce_colors(path)


def take_terminal(browser: Browser, command: str, home: Path, drive: Path, to: Path) -> None:
    """Take what a terminal of 80 columns shows at the end of a command; `load` loads all again."""
    with tempfile.TemporaryDirectory() as folder:
        if command != "load":
            (Path(folder) / ".cbi").symlink_to(home)
        shown = run_in_terminal(command, Path(folder), drive)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ cbi {command}", style="bold"))
    console.print(Text.from_ansi(shown), end="")
    picture = Path(tempfile.mkdtemp()) / "terminal.html"
    html = console.export_html(inline_styles=True)
    picture.write_text(html.replace("<body>", "<body style='margin:0;width:max-content'>"))
    with browser.new_page(viewport={"width": 720, "height": 400}) as page:
        page.goto(picture.as_uri())
        page.add_style_tag(content="pre { margin: 0; padding: 14px 18px; font-size: 14px }")
        page.locator("pre").screenshot(path=to)


def run_in_terminal(command: str, folder: Path, drive: Path) -> str:
    """Run a command in a terminal of 80 columns, and return what it leaves on the screen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"CBI_HOME": ".cbi", "CBI_DRIVE": str(drive), "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    running = subprocess.Popen(
        [sys.executable, "-m", "cbi_assets.cli", command],
        cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    output = b""
    with contextlib.suppress(OSError):  # raised when the command has ended
        while chunk := os.read(master, 1 << 16):
            output += chunk
    running.wait()
    os.close(master)
    return replay(output.decode()).replace(str(folder), "~")


def replay(output: str) -> str:
    """Return the lines that are left after a progress bar has erased its own; styles stay."""
    lines, row = [""], 0
    for found in re.finditer(r"\x1b\[([\d;?]*)([A-Za-z])|\n|[^\x1b\r\n]+", output):
        argument, code = found.groups()
        if found.group() == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif code == "A":
            row -= int(argument or 1)
        elif code == "K":
            lines[row] = ""
        elif code in (None, "m"):
            lines[row] += found.group()
    return "\n".join(lines).rstrip() + "\n"


def take_audit(
    browser: Browser,
    address: str,
    to: Path,
    width: int,
    height: int,
    scheme: Literal["light", "dark"],
    section: str | None,
) -> None:
    """Take the audit's page, from the top or from a section."""
    size = {"width": width, "height": height}
    with browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce") as page:  # type: ignore[arg-type]
        page.goto(address + (f"#{section}" if section else ""))
        page.locator("header p").first.evaluate(NEUTRAL_HOME)
        if section:
            page.locator(f"#{section} .plot.live").first.wait_for()
        page.screenshot(path=to)


def ask(page: Page, query: str, **variables: Any) -> dict[str, Any]:
    """Return what Dagster answers."""
    answer = page.evaluate(ASK, [query, variables])
    assert "errors" not in answer, json.dumps(answer["errors"])[:500]
    found: dict[str, Any] = answer["data"]
    return found


def run_backfill(browser: Browser, address: str) -> tuple[str, str]:
    """Switch on the sensors, backfill the traded roots' partitions; return its and a run's id."""
    roots = [root for root, spec in load_universe().roots.items() if spec.tier == 1]
    partitions = [f"{root}|{timeframe}" for root in roots for timeframe in ("1d", "1h", "1m")]
    with browser.new_page() as page:
        page.goto(f"{address}/automation")
        page.get_by_text("matrix_follows_bars").first.wait_for(timeout=60_000)
        where = ask(page, "{ repositoriesOrError { ... on RepositoryConnection { nodes { "
                          "name location { name } } } } }")  # fmt: skip
        node = where["repositoriesOrError"]["nodes"][0]
        place = {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        for sensor in ("new_drive_files", "matrix_follows_bars"):
            ask(page, START, s=place | {"sensorName": sensor})
        selection = [{"path": ["raw", "databento_ohlcv"]}]
        launched = ask(page, LAUNCH, p={"assetSelection": selection, "partitionNames": partitions})
        backfill = launched["launchPartitionBackfill"]["backfillId"]
        while True:
            state = ask(page, BACKFILL, id=backfill)["partitionBackfillOrError"]
            if state["status"] in ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"):
                return backfill, state["runs"][0]["id"]
            page.wait_for_timeout(500)


def take(
    browser: Browser,
    address: str,
    to: Path,
    bring: Callable[[Page], None],
    width: int,
    height: int,
) -> None:
    """Take a page of Dagster's UI after `bring` has brought it into view."""
    with browser.new_page(viewport={"width": width, "height": height}, timezone_id="UTC") as page:
        page.set_default_timeout(60_000)
        page.goto(address)
        bring(page)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=to)


def show(text: str, page: Page) -> None:
    """Wait until a page shows a text."""
    page.get_by_text(text).first.wait_for()
    page.wait_for_timeout(2_000)  # the rest loads piece by piece


def show_graph(page: Page) -> None:
    """Show every group with the status of its assets."""
    page.get_by_text("raw_intelligence", exact=True).last.wait_for()
    page.wait_for_timeout(5_000)  # statuses load one by one


def show_check(page: Page) -> None:
    page.get_by_text(CHECK).first.click()
    page.get_by_text("Evaluation result").wait_for()


def reduce_colors(path: Path) -> None:
    """Rewrite a picture with a palette, if Pillow is installed."""
    try:
        from PIL import Image  # not a dependency
    except ImportError:
        return
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    main()
