"""A download killed at any moment is finished by the next: bought once, no partial job folder."""

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
from cbi_assets_tests import processes
from cbi_assets_tests.databento_api.buying import approve_as_ada, make_plan, request, rows
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import query
from cbi_assets_tests.processes import SERVER, Moment, quick_and_full

BUY, FETCH = "cbi_assets.downloads.buy", "cbi_assets.downloads.fetch"
RUN, FILES = "cbi_assets.downloads.download_run", "cbi_assets.databento_api.job_files"
FINISH = "cbi_assets.downloads.execute:record_use"

# Two requests; each row is written after its submission and again after its download.
MOMENTS = [
    Moment(f"{BUY}:get_cost"),
    Moment(f"{BUY}:get_cost", "after", 2),
    Moment(f"{BUY}:record_use"),
    Moment(f"{BUY}:record_use", "after"),
    Moment(f"{BUY}:record_intent"),
    Moment(f"{BUY}:record_intent", "after"),
    Moment(f"{BUY}:submit_job"),
    Moment(f"{BUY}:submit_job", "after", is_quick=True),
    Moment(f"{RUN}:write_jobs", "before"),
    Moment(f"{RUN}:write_jobs", "after"),
    Moment(f"{BUY}:record_intent", "after", 2),
    Moment(f"{BUY}:submit_job", "after", 2),
    Moment(f"{RUN}:write_jobs", "after", 2),
    Moment(f"{FETCH}:get_job", "after"),
    Moment(f"{FETCH}:list_files", "after"),
    Moment(f"{FILES}:_FileDownload._write", "after"),
    Moment(f"{FILES}:_FileDownload._get", "after", 3),
    Moment(f"{FILES}:_verify_manifest"),
    Moment(f"{FILES}:_verify_manifest", "after"),
    Moment(f"{FILES}:_sync", "after"),
    Moment(f"{FILES}:_sync", "after", 2),
    Moment(f"{FETCH}:fetch_job", "after"),
    Moment(f"{RUN}:write_jobs", "after", 3, is_quick=True),
    Moment(f"{FETCH}:fetch_job", "after", 2),
    Moment(FINISH),
    Moment(FINISH, "after"),
]


def run_download(
    plan: Path, home: Path, drive: Path, vendor: Vendor, moment: Moment | None = None
) -> tuple[int, str]:
    """Run `cbi download` in its own process; return its exit status and stderr."""
    environment = {
        "CBI_HOME": str(home),
        "CBI_DRIVE": str(drive),
        "CBI_DATABENTO_ENDPOINT": vendor.url,
        "DATABENTO_API_KEY": vendor.key,
    }
    stderr = home / "stderr.txt"
    process = SERVER.Process(
        target=_download, args=(["download", str(plan), "--no-load"], environment, stderr, moment)
    )
    process.start()
    process.join(timeout=120)
    assert process.exitcode is not None
    return process.exitcode, stderr.read_text() if stderr.exists() else ""


def _download(*args: Any) -> None:
    from cbi_assets.downloads import buy

    buy.SETTLE_SECONDS = 0.0  # the tests' vendor lists a job as soon as it accepts it
    processes._run_cbi(*args)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(request(), request("ES"))


@pytest.fixture(scope="module")
def approved(plan: Plan, new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the approved plan."""
    home = shutil.copytree(new_home, tmp_path_factory.mktemp("homes") / "approved")
    project = open_project(home, home.parent / "drive")
    approve_as_ada(project, plan)
    plan.save(home / "plan.json")
    return home


def open_project(home: Path, drive: Path) -> Project:
    return Project(Settings(_env_file=None, cbi_home=home, cbi_drive=drive))  # type: ignore[call-arg]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Run a vendor on the machine's clock, whose jobs are done at the first poll."""
    with run_vendor(Vendor(looks=1)) as running:
        yield running


@pytest.mark.parametrize("moment", quick_and_full(MOMENTS), ids=str)
def test_a_killed_download_is_finished_by_the_next(
    moment: Moment, approved: Path, drive: Path, vendor: Vendor, tmp_path: Path
) -> None:
    home = shutil.copytree(approved, tmp_path / "home")
    plan = home / "plan.json"
    status, _ = run_download(plan, home, drive, vendor, moment)
    assert status == -signal.SIGKILL
    assert_complete_or_absent(drive, vendor)

    status, stderr = run_download(plan, home, drive, vendor)
    if moment == MOMENTS[-1]:  # it was finished, but exited before saying so
        assert (status, "is used up" in stderr) == (2, True)
    else:
        assert status == 0, stderr

    assert_complete_or_absent(drive, vendor)
    assert len(vendor.jobs) == 2
    assert len(vendor.requests_to("batch.submit_job")) == 2
    project = open_project(home, drive)
    assert [row.state for row in rows(project)] == ["downloaded", "downloaded"]
    assert {row.job_id for row in rows(project)} == set(vendor.jobs)
    folders = [path for path in drive.glob("raw/*/*") if path.is_dir()]
    assert sorted(path.name for path in folders) == sorted(vendor.jobs)
    events = query(project, "SELECT event FROM `ops.approval_uses` ORDER BY event")
    assert events["event"].to_list() == ["begun", "finished"]


def assert_complete_or_absent(drive: Path, vendor: Vendor) -> None:
    """A folder with a job's name contains exactly the job's files."""
    for folder in drive.glob("raw/*/GLBX-*"):
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert files == vendor.jobs[folder.name].files


@pytest.mark.full
def test_a_download_killed_three_times_still_buys_once(
    approved: Path, drive: Path, vendor: Vendor, tmp_path: Path
) -> None:
    home = shutil.copytree(approved, tmp_path / "home")
    plan = home / "plan.json"
    for what, when in (
        (f"{BUY}:record_intent", "after"),
        (f"{RUN}:write_jobs", "before"),
        (f"{RUN}:write_jobs", "before"),
    ):
        status, _ = run_download(plan, home, drive, vendor, Moment(what, when))
        assert status == -signal.SIGKILL
    status, stderr = run_download(plan, home, drive, vendor)
    assert status == 0, stderr
    assert len(vendor.requests_to("batch.submit_job")) == 2
