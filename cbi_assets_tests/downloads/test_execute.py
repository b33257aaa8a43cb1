"""A download from its approval to its files on the drive, and what it never does twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.buying import (
    NOW,
    USD,
    allow,
    buy,
    folders,
    make_plan,
    request,
    rows,
    submitted,
    uses,
)
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import load_once, table


def test_the_whole_way(project: Project, drive: Path, vendor: Vendor) -> None:
    plan = make_plan(request("ZL"), request("ES", "1d", symbols=("ES.FUT",), stype_in="parent"))
    approval = allow(project, plan)
    outcome = buy(project, plan, vendor)
    assert outcome.whole
    assert outcome.approval_id == approval.approval_id
    assert (outcome.submitted, len(outcome.fetched), submitted(vendor)) == (2, 2, 2)
    first, second = vendor.jobs.values()
    assert folders(drive) == [f"raw/databento_es/{second.id}", f"raw/databento_zl/{first.id}"]
    for job, root in ((first, "zl"), (second, "es")):
        folder = drive / "raw" / f"databento_{root}" / job.id
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == job.files
    (kept,) = (row for row in rows(project) if row.root == "ZL")
    assert (kept.job_id, kept.state, kept.files) == (first.id, "downloaded", 6)
    assert kept.bytes == sum(len(data) for data in first.files.values())
    assert kept.quoted_usd == kept.billed_usd == pytest.approx(USD)
    assert uses(project) == ["used up"]

    assert not load_once(project, now=NOW).fell_short
    assert set(table(project, "1h")["symbol"]) == {"ZL.v.0"}
    assert set(table(project, "1d")["symbol"]) == {"ESH5", "ESM5", "ESH5-ESM5"}


def test_what_is_asked_for_is_the_request_and_nothing_else(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    (logged,) = vendor.asked("batch.submit_job")
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


def test_where_the_drive_has_training_data_they_go_beside_it(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    (drive / "TrainingData").mkdir()
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    (job,) = vendor.jobs.values()
    assert folders(drive) == [f"TrainingData/raw/databento_zl/{job.id}"]
    assert rows(project)[0].folder == f"TrainingData/raw/databento_zl/{job.id}"


def test_a_manifest_that_is_not_listed_is_fetched_too(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    vendor.lists_manifest = False
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    (job,) = vendor.jobs.values()
    kept = drive / "raw/databento_zl" / job.id / "manifest.json"
    assert kept.read_bytes() == job.files["manifest.json"]


def test_again_it_is_used_up_and_nothing_is_bought(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    with pytest.raises(UsageError, match="is used up"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1


def test_a_new_approval_of_what_lies_on_the_drive_buys_nothing(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    allow(project, plan)
    assert buy(project, plan, vendor).whole
    assert submitted(vendor) == 1
    assert uses(project) == ["used up", "used up"]


def test_a_new_approval_buys_again_what_was_taken_off_the_drive(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan()
    allow(project, plan)
    buy(project, plan, vendor)
    shutil.rmtree(drive / "raw")
    allow(project, plan)
    buy(project, plan, vendor)
    assert submitted(vendor) == 2


def test_a_job_under_way_on_another_approval_is_followed_not_bought(
    project: Project, vendor: Vendor
) -> None:
    vendor.looks = 3
    plan, wider = make_plan(), make_plan(request(), request("ES"))
    allow(project, plan)
    assert buy(project, plan, vendor, wait=False).under_way
    allow(project, wider)
    assert buy(project, wider, vendor).whole
    assert [logged.params["symbols"] for logged in vendor.asked("batch.submit_job")] == [
        "ZL.v.0",
        "ES.v.0",
    ]


def test_one_download_at_a_time(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    inside: list[str] = []

    def again(message: str) -> None:
        if message.startswith("submitted"):
            with pytest.raises(HomeBusyError, match="another download is at work") as raised:
                buy(project, plan, vendor)
            inside.append(str(raised.value))

    assert buy(project, plan, vendor, tell=again).whole
    assert len(inside) == 1
    assert submitted(vendor) == 1


def test_the_files_are_those_of_the_manifest(project: Project, drive: Path, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    (fetched,) = buy(project, plan, vendor).fetched
    manifest = json.loads((fetched.folder / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        data = (fetched.folder / entry["filename"]).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == entry["hash"]
    assert sorted(os.listdir(fetched.folder)) == sorted(
        [*(entry["filename"] for entry in manifest["files"]), "manifest.json"]
    )
