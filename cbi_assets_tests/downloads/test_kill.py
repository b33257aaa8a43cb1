"""Killed at any moment, a download is finished by the next: bought once, files whole or absent."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.buying import allow, make_plan, request, rows
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import query
from cbi_assets_tests.load import processes
from cbi_assets_tests.load.processes import SERVER, Moment

EXECUTE, FILES = "cbi_assets.downloads.execute", "cbi_assets.databento_api.job_files"

# Two requests; each is written once more after its intent, and again when its files are there.
MOMENTS = [
    Moment(f"{EXECUTE}:get_cost"),
    Moment(f"{EXECUTE}:get_cost", "after", 2),
    Moment(f"{EXECUTE}:record_use"),
    Moment(f"{EXECUTE}:record_use", "after"),
    Moment(f"{EXECUTE}:intend"),
    Moment(f"{EXECUTE}:intend", "after"),
    Moment(f"{EXECUTE}:submit_job"),
    Moment(f"{EXECUTE}:submit_job", "after"),
    Moment(f"{EXECUTE}:write", "before"),
    Moment(f"{EXECUTE}:write", "after"),
    Moment(f"{EXECUTE}:intend", "after", 2),
    Moment(f"{EXECUTE}:submit_job", "after", 2),
    Moment(f"{EXECUTE}:write", "after", 2),
    Moment(f"{EXECUTE}:get_job", "after"),
    Moment(f"{EXECUTE}:list_files", "after"),
    Moment(f"{FILES}:_FileDownload._write", "after"),
    Moment(f"{FILES}:_FileDownload._get", "after", 3),
    Moment(f"{FILES}:_verify_manifest"),
    Moment(f"{FILES}:_verify_manifest", "after"),
    Moment(f"{FILES}:_sync", "after"),
    Moment(f"{FILES}:_sync", "after", 2),
    Moment(f"{EXECUTE}:fetch_job", "after"),
    Moment(f"{EXECUTE}:write", "after", 3),
    Moment(f"{EXECUTE}:fetch_job", "after", 2),
    Moment(f"{EXECUTE}:record_use", "before", 2),
    Moment(f"{EXECUTE}:record_use", "after", 2),
]


def run_download(
    plan: Path, home: Path, drive: Path, vendor: Vendor, moment: Moment | None = None
) -> tuple[int, str]:
    """`cbi download` in a process of its own; its exit status and what it told on stderr."""
    environment = {
        "CBI_HOME": str(home),
        "CBI_DRIVE": str(drive),
        "CBI_DATABENTO_ENDPOINT": vendor.url,
        "DATABENTO_API_KEY": vendor.key,
    }
    told = home / "stderr.txt"
    process = SERVER.Process(
        target=_download, args=(["download", str(plan), "--no-load"], environment, told, moment)
    )
    process.start()
    process.join(timeout=120)
    assert process.exitcode is not None
    return process.exitcode, told.read_text() if told.exists() else ""


def _download(*args: Any) -> None:
    from cbi_assets.downloads import execute

    execute.SETTLE_SECONDS = 0.0  # nothing is sent here that arrives later
    processes._run_cbi(*args)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(request(), request("ES"))


@pytest.fixture(scope="module")
def approved(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the plan, approved."""
    home = tmp_path_factory.mktemp("homes") / "approved"
    project = open_project(home, home.parent / "drive")
    allow(project, plan)
    plan.save(home / "plan.json")
    return home


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """At the machine's own time; its jobs are done at the first look."""
    with run_vendor(Vendor(looks=1)) as running:
        yield running


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_killed_download_is_finished_by_the_next(
    moment: Moment, approved: Path, drive: Path, vendor: Vendor, tmp_path: Path
) -> None:
    home = shutil.copytree(approved, tmp_path / "home")
    plan = home / "plan.json"
    status, _ = run_download(plan, home, drive, vendor, moment)
    assert status == -signal.SIGKILL
    assert_whole_or_absent(drive, vendor)

    status, told = run_download(plan, home, drive, vendor)
    if moment == MOMENTS[-1]:  # it was finished, and only did not say so
        assert (status, "is used up" in told) == (2, True)
    else:
        assert status == 0, told

    assert_whole_or_absent(drive, vendor)
    assert len(vendor.jobs) == 2
    assert len(vendor.asked("batch.submit_job")) == 2
    project = open_project(home, drive)
    assert [row.state for row in rows(project)] == ["downloaded", "downloaded"]
    assert {row.job_id for row in rows(project)} == set(vendor.jobs)
    folders = [path for path in drive.glob("raw/*/*") if path.is_dir()]
    assert sorted(path.name for path in folders) == sorted(vendor.jobs)
    events = query(project, "SELECT event FROM `ops.approval_uses` ORDER BY event")
    assert events["event"].to_list() == ["begun", "finished"]


def assert_whole_or_absent(drive: Path, vendor: Vendor) -> None:
    """A folder that bears a job's name holds exactly the job's files."""
    for folder in drive.glob("raw/*/GLBX-*"):
        held = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert held == vendor.jobs[folder.name].files


def test_killed_again_and_again_it_still_buys_once(
    approved: Path, drive: Path, vendor: Vendor, tmp_path: Path
) -> None:
    home = shutil.copytree(approved, tmp_path / "home")
    plan = home / "plan.json"
    for what, when in (("intend", "after"), ("write", "before"), ("write", "before")):
        status, _ = run_download(plan, home, drive, vendor, Moment(f"{EXECUTE}:{what}", when))
        assert status == -signal.SIGKILL
    status, told = run_download(plan, home, drive, vendor)
    assert status == 0, told
    assert len(vendor.asked("batch.submit_job")) == 2
