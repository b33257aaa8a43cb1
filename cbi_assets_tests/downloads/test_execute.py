"""A download from its approval to its files on the drive, bought once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.databento_api.batch_jobs import Job, submit_job
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.session import Project
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.databento_api.buying import (
    NOW,
    USD,
    approval_states,
    approve_as_ada,
    buy,
    folders,
    make_plan,
    request,
    rows,
    submitted,
)
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import load_once, table


@pytest.mark.full
def test_execute_buys_downloads_and_records_every_request(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request("ZL"), request("ES", "1d", symbols=("ES.FUT",), stype_in="parent"))
    approval = approve_as_ada(project, plan)
    outcome = buy(project, plan, vendor)
    assert outcome.is_complete
    assert outcome.approval_id == approval.approval_id
    assert (outcome.submitted, len(outcome.fetched), submitted(vendor)) == (2, 2, 2)
    first, second = vendor.jobs.values()
    assert folders(drive) == [f"raw/databento_es/{second.id}", f"raw/databento_zl/{first.id}"]
    for job, root in ((first, "zl"), (second, "es")):
        folder = drive / "raw" / f"databento_{root}" / job.id
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == job.files
    (row,) = (r for r in rows(project) if r.root == "ZL")
    assert (row.job_id, row.state, row.files) == (first.id, "downloaded", 6)
    assert row.bytes == sum(len(data) for data in first.files.values())
    assert row.quoted_usd == row.billed_usd == pytest.approx(USD)
    assert approval_states(project) == ["used up"]

    assert not load_once(project, now=NOW).has_failures
    assert set(table(project, "1h")["symbol"]) == {"ZL.v.0"}
    assert set(table(project, "1d")["symbol"]) == {"ESH5", "ESM5", "ESH5-ESM5"}


@pytest.mark.full
def test_execute_submits_exactly_the_request(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    (logged,) = vendor.requests_to("batch.submit_job")
    assert {
        name: logged.params[name] for name in plan.requests[0].identity if name != "symbols"
    } == {
        "dataset": "GLBX.MDP3",
        "schema": "ohlcv-1h",
        "stype_in": "continuous",
        "start": "2025-01-27",
        "end": "2025-02-04",
        "encoding": "dbn",
        "compression": "zstd",
        "split_duration": "month",
    }
    assert logged.params["symbols"] == "ZL.v.0"


@pytest.mark.full
def test_execute_writes_to_training_data_if_the_drive_has_it(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    (drive / "TrainingData").mkdir()
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    (job,) = vendor.jobs.values()
    assert folders(drive) == [f"TrainingData/raw/databento_zl/{job.id}"]
    assert rows(project)[0].folder == f"TrainingData/raw/databento_zl/{job.id}"


@pytest.mark.full
def test_execute_downloads_an_unlisted_manifest(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    vendor.lists_manifest = False
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    (job,) = vendor.jobs.values()
    manifest = drive / "raw/databento_zl" / job.id / "manifest.json"
    assert manifest.read_bytes() == job.files["manifest.json"]


@pytest.mark.full
def test_execute_raises_if_the_approval_is_used_up(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    with pytest.raises(UsageError, match="is used up"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1


def test_execute_buys_nothing_that_is_on_the_drive(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    approve_as_ada(project, plan)
    assert buy(project, plan, vendor).is_complete
    assert submitted(vendor) == 1
    assert approval_states(project) == ["used up", "used up"]


@pytest.mark.full
def test_execute_buys_again_what_was_deleted_from_the_drive(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    shutil.rmtree(drive / "raw")
    approve_as_ada(project, plan)
    buy(project, plan, vendor)
    assert submitted(vendor) == 2


@pytest.mark.full
def test_execute_follows_an_active_job_of_another_approval(
    project: Project, vendor: Vendor
) -> None:
    vendor.looks = 3
    plan, wider = make_plan(), make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    assert buy(project, plan, vendor, wait=False).active
    approve_as_ada(project, wider)
    assert buy(project, wider, vendor).is_complete
    assert [logged.params["symbols"] for logged in vendor.requests_to("batch.submit_job")] == [
        "ZL.v.0",
        "ES.v.0",
    ]


def test_execute_raises_if_another_download_is_running(
    project: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    inside: list[str] = []

    def submit_twice(*arguments: Any) -> Job:
        with pytest.raises(HomeBusyError, match="another download is running") as raised:
            buy(project, plan, vendor)
        inside.append(str(raised.value))
        return submit_job(*arguments)

    monkeypatch.setattr("cbi_assets.downloads.buy.submit_job", submit_twice)
    assert buy(project, plan, vendor).is_complete
    assert len(inside) == 1
    assert submitted(vendor) == 1


@pytest.mark.full
def test_execute_creates_missing_tables_once(
    project: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    created: list[int] = []
    monkeypatch.setattr(
        DuckDBWarehouse, "create_tables", lambda self, specs: created.append(len(specs))
    )
    assert buy(project, plan, vendor).is_complete  # every read and write opens a session
    assert len(created) == 1


@pytest.mark.full
def test_execute_writes_exactly_the_files_of_the_manifest(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    (fetched,) = buy(project, plan, vendor).fetched
    manifest = json.loads((fetched.folder / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        data = (fetched.folder / entry["filename"]).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == entry["hash"]
    assert sorted(os.listdir(fetched.folder)) == sorted(
        [*(entry["filename"] for entry in manifest["files"]), "manifest.json"]
    )
