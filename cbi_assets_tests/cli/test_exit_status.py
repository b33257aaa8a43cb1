"""Each exit status that each command can have: 0 no failures, 1 data has failures, 2 wrong usage or
settings, 3 an outside service or another process in the home."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import typer
from filelock import FileLock

from cbi_assets.build.build import BuildOutcome
from cbi_assets.build.training import TrainingOutcome
from cbi_assets.cli import app, main
from cbi_assets.demo import run as demo
from cbi_assets.errors import AuditError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.load import copy_tables as moving
from cbi_assets.report.read_lights import read_lights
from cbi_assets.session import Project, exclusive_lock, open_session
from cbi_assets.verbs import load
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import JOB, NOW, bars, dbn_file, load_once, put_job
from cbi_assets_tests.load.lines import put_lines, record

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SCOPE = ("--symbol", "ES", "--to", "2010-06-30")


@dataclass
class Machine:
    """A home and a drive, which a situation changes.

    `resources` stay open as long as the test; `words` replaces arguments not known in advance.
    """

    project: Project
    drive: Path
    patch: pytest.MonkeyPatch
    resources: ExitStack
    words: dict[str, str]

    def run(self, *arguments: str) -> int:
        """Run `cbi` and return its exit status."""
        self.patch.setattr(sys, "argv", ["cbi", *(self.words.get(a, a) for a in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return status


def empty(machine: Machine) -> None:
    """An empty drive, an empty home."""


def new_bars(machine: Machine) -> None:
    put_lines(machine.drive, [record(0), record(1)])


def loaded(machine: Machine) -> None:
    new_bars(machine)
    load_once(machine.project)


def quarantined(machine: Machine) -> None:
    put_lines(machine.drive, [record(0), record(1, volume="-1")])


def conflict(machine: Machine) -> None:
    put_lines(machine.drive, [record(0), record(0, close="11.000000000")])
    load_once(machine.project)


def damaged_manifest(machine: Machine) -> None:
    folder = put_job(machine.drive, {"a.dbn": dbn_file(bars(3))})
    (folder / "manifest.json").write_bytes(b"{")


def refused(machine: Machine) -> None:
    new_bars(machine)
    (machine.drive / "b.dbn").write_bytes(b"DBN\x03 and no more")


def no_drive(machine: Machine) -> None:
    machine.patch.delenv("CBI_DRIVE")


def unmounted(machine: Machine) -> None:
    machine.patch.setenv("CBI_DRIVE", "/no/such/drive")


def wrong_setting(machine: Machine) -> None:
    machine.patch.setenv("CBI_WAREHOUSE", "sqlite")


def busy(machine: Machine) -> None:
    machine.resources.enter_context(exclusive_lock(machine.project.home))


def dead_service(machine: Machine) -> None:
    # nothing listens on port 1
    for name, value in {
        "CBI_WAREHOUSE": "bigquery",
        "CBI_BQ_PROJECT": "cbi-tests",
        "CBI_BQ_ENDPOINT": "http://127.0.0.1:1",
        "CBI_BQ_PATIENCE": "0.2",
    }.items():
        machine.patch.setenv(name, value)


def broken_scheduler(machine: Machine) -> None:
    fake = Path("crontab").absolute()
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    machine.patch.setenv("PATH", str(fake.parent), prepend=os.pathsep)


def no_folder(machine: Machine) -> None:
    Path("taken").touch()


def taken_port(machine: Machine) -> None:
    listening = machine.resources.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    machine.words["PORT"] = str(listening.getsockname()[1])


def other_dagster(machine: Machine) -> None:
    machine.resources.enter_context(FileLock(machine.project.home.root / "ui.lock"))


# demo and copy themselves are tested in test_demo.py and bigquery/test_copy_tables.py


def demo_done(machine: Machine, **skipped: list[str]) -> None:
    with open_session(machine.project, now=NOW) as session:
        outcome = demo.DemoOutcome(
            machine.project.home.root,
            machine.drive,
            load(session),
            BuildOutcome({}, skipped),
            TrainingOutcome({}, {}, pl.DataFrame()),
            books_by_file(session.warehouse),
            Path("audit.html"),
            read_lights(session),
        )
    machine.patch.setattr(demo, "run_demo", lambda home, progress: outcome)


def copied(machine: Machine) -> None:
    machine.patch.setattr(moving, "copy_warehouse", lambda *given: [])


def copied_with_difference(machine: Machine) -> None:
    def copy(*given: object) -> None:
        raise AuditError("the copy differs from the original", subject="ops.loads")

    machine.patch.setattr(moving, "copy_warehouse", copy)


def demo_failed(machine: Machine) -> None:
    demo_done(machine, ZL=["ohlc_is_consistent on ZL|1h"])


def planned(machine: Machine) -> None:
    assert machine.run("plan", *SCOPE) == 0
    (plan,) = machine.project.home.plans.glob("*.json")
    machine.words["PLAN"] = plan.stem


def planned_and_busy(machine: Machine) -> None:
    planned(machine)
    busy(machine)


def connected(machine: Machine) -> Vendor:
    vendor = machine.resources.enter_context(run_vendor(Vendor(looks=1, usd_per_gib=50.0)))
    machine.patch.setenv("CBI_DATABENTO_ENDPOINT", vendor.url)
    machine.patch.setenv("DATABENTO_API_KEY", vendor.key)
    return vendor


def connected_and_busy(machine: Machine) -> None:
    connected(machine)
    busy(machine)


def connected_with_conflict(machine: Machine) -> None:
    conflict(machine)
    date = dt.date(2025, 1, 1)
    connected(machine).instruments = {10: [("ZLH5", date, date + dt.timedelta(days=31))]}


def approved(machine: Machine) -> Vendor:
    vendor = connected(machine)
    planned(machine)
    assert machine.run("approve", "PLAN", "--by", "Ada", "--max-usd", "5") == 0
    return vendor


def approved_with_failures(machine: Machine) -> None:
    approved(machine)
    quarantined(machine)


def approved_with_foreign_files(machine: Machine) -> None:
    approved(machine).file_host = "http://127.0.0.2:1"


Situation = Callable[[Machine], object]


def damaged_export(machine: Machine) -> None:
    loaded(machine)
    assert machine.run("export", "ops.loads", "--out", "out") == 0
    next(Path("out").glob("*.parquet")).unlink()


TABLE: list[tuple[str, int, Situation]] = [
    ("export ops.loads --out out", 0, loaded),
    ("export --verify out", 1, damaged_export),
    ("export nothing", 2, empty),
    ("export matrix --wait 0", 3, busy),
    ("inventory", 0, new_bars),
    ("inventory", 1, refused),
    ("inventory", 2, no_drive),
    ("inventory --wait 0", 3, busy),
    ("load", 0, new_bars),
    ("load", 1, quarantined),
    ("load", 2, unmounted),
    ("load --wait 0", 3, busy),
    (f"accept --job {JOB} --by Ada --why known", 0, damaged_manifest),
    (f"accept --job {JOB} --by Ada --why known", 2, new_bars),
    (f"accept --job {JOB} --by Ada --why known --wait 0", 3, busy),
    (f"unload --job {JOB} --yes", 0, loaded),
    ("unload", 2, empty),
    (f"unload --job {JOB} --yes --wait 0", 3, busy),
    ("build", 0, loaded),
    ("build", 1, conflict),
    ("build --symbol XX", 2, empty),
    ("build --wait 0", 3, busy),
    ("check", 0, loaded),
    ("check", 1, conflict),
    ("check", 2, wrong_setting),
    ("check", 3, dead_service),
    ("copy --to bigquery", 0, copied),
    ("copy --to bigquery", 1, copied_with_difference),
    ("copy --to mars", 2, empty),
    ("copy --to bigquery --wait 0", 3, busy),
    ("audit", 0, loaded),
    ("audit", 1, conflict),
    ("audit --out taken", 2, no_folder),
    ("audit --wait 0", 3, busy),
    (f"plan {' '.join(SCOPE)}", 0, empty),
    (f"plan --verify {' '.join(SCOPE)}", 1, empty),
    ("plan --symbol XX", 2, empty),
    ("plan --wait 0", 3, busy),
    ("approve PLAN --by Ada --max-usd 5", 0, planned),
    ("approve 0123abcd --by Ada --max-usd 5", 2, empty),
    ("approve PLAN --by Ada --max-usd 5 --wait 0", 3, planned_and_busy),
    ("approvals", 0, empty),
    ("approvals", 2, wrong_setting),
    ("approvals --wait 0", 3, busy),
    ("resolve", 0, connected),
    ("resolve", 1, connected_with_conflict),
    ("resolve", 2, empty),
    ("resolve --wait 0", 3, connected_and_busy),
    ("download PLAN", 0, approved),
    ("download PLAN", 1, approved_with_failures),
    ("download PLAN", 2, planned),
    ("download PLAN", 3, approved_with_foreign_files),
    ("config --check", 0, empty),
    ("config --check", 2, unmounted),
    ("config --check", 3, dead_service),
    ("doctor", 0, empty),
    ("doctor", 2, unmounted),
    ("doctor", 3, dead_service),
    ("demo", 0, demo_done),
    ("demo", 1, demo_failed),
    ("demo --home", 2, empty),
    ("ui --port PORT", 2, taken_port),
    ("ui", 3, other_dagster),
    ("alert", 0, empty),
    ("alert --test", 2, empty),
    ("alert --wait 0", 3, busy),
    ("schedule show --with cron", 0, empty),
    ("schedule show --with mars", 2, empty),
    ("schedule install --with cron", 3, broken_scheduler),
    ("version", 0, empty),
    ("version --long", 2, empty),
]

ELSEWHERE = {
    ("unload", 1): "load/test_unload.py: the answer is no; test_wrong_usage.py: no answer",
    ("ui", 0): "pipeline/test_serving.py: Ctrl-C",
}

CANNOT = {
    **dict.fromkeys([("approve", 1), ("approvals", 1), ("version", 1)], "checks no data"),
    ("schedule", 1): "checks no data",
    ("accept", 1): "checks no data",
    **dict.fromkeys([("config", 1), ("doctor", 1), ("ui", 1), ("alert", 1)], "checks no data"),
    ("version", 3): "uses no service and no home",
    ("demo", 3): "its home is its own and new, its warehouse is the embedded one",
}


@pytest.fixture
def machine(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    with ExitStack() as resources:
        yield Machine(project, drive, monkeypatch, resources, {})


def test_every_status_of_every_command_is_listed() -> None:
    seen = {(line.split()[0], status) for line, status, _ in TABLE}
    every = {(name, status) for name in COMMANDS for status in range(4)}
    assert seen | ELSEWHERE.keys() | CANNOT.keys() == every
    assert not seen & CANNOT.keys()


LOADING = {loaded, conflict, damaged_export, approved, approved_with_failures, copied,
           connected_with_conflict, copied_with_difference}  # fmt: skip
"""Situations that take a load each; `test_every_command.py` runs the commands after one."""


@pytest.mark.parametrize(
    ("line", "status", "situation"),
    [pytest.param(*row, marks=pytest.mark.full if row[2] in LOADING else ()) for row in TABLE],
    ids=[f"{status}-{line.split()[0]}-{situation.__name__}" for line, status, situation in TABLE],
)
def test_command_exits_with_the_status(
    machine: Machine,
    capsys: pytest.CaptureFixture[str],
    line: str,
    status: int,
    situation: Situation,
) -> None:
    situation(machine)
    capsys.readouterr()
    command, *arguments = line.split()
    takes_json = any("--json" in option.opts for option in COMMANDS[command].params)
    if takes_json:
        arguments.insert(0, "--json")
    assert machine.run(command, *arguments) == status
    captured = capsys.readouterr()
    if "--json" in arguments and captured.out:
        json.loads(captured.out)
    if status in (2, 3) and command not in ("doctor", "config"):
        assert captured.out == ""
        assert [row[:5] for row in captured.err.splitlines() if row.startswith("cbi: ")] == [
            "cbi: "
        ]
        assert captured.err.splitlines()[-1].startswith("cbi: ")
