"""Buying and fetching an approved plan: once, below its ceiling, into folders of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from cbi_assets.databento_api.jobs import OutcomeUnknownError, RefusedError
from cbi_assets.downloads import execute as execution
from cbi_assets.downloads import room
from cbi_assets.downloads.approvals import list_approvals
from cbi_assets.downloads.ledger import AlreadyBoughtError, JobRow, intend
from cbi_assets.downloads.model import Plan
from cbi_assets.errors import CbiError, HomeBusyError, ServiceError, UsageError
from cbi_assets.project import Project
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.databento_api.bars import BAR_BYTES, Wanted, count
from cbi_assets_tests.databento_api.buying import (
    NOW,
    Pauses,
    allow,
    buy,
    clients_of,
    folders,
    make_plan,
    request,
    rows,
)
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import load_once, table

USD = 114 * BAR_BYTES / 2**30 * 100_000
"""ZL's 114 hourly bars at the vendor's price: six trade dates of 19 hours."""


def submitted(vendor: Vendor) -> int:
    return len(vendor.asked("batch.submit_job"))


def states(project: Project) -> list[tuple[str, str]]:
    """Of ops.download_jobs, by root from the last letter of the alphabet."""
    return sorted(((row.root, row.state) for row in rows(project)), reverse=True)


def uses(project: Project) -> list[str]:
    with project.hold(), project.open_warehouse() as warehouse:
        return [listed.state for listed in list_approvals(warehouse, NOW)]


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


@pytest.mark.parametrize("kind", ["none", "another", "expired"])
def test_without_an_approval_nothing_is_asked(
    project: Project, drive: Path, vendor: Vendor, kind: str
) -> None:
    plan = make_plan()
    if kind == "another":
        allow(project, make_plan(request("ES")))
    if kind == "expired":
        allow(project, plan, now=NOW - dt.timedelta(days=9), expires=dt.date(2025, 3, 31))
    told = {"none": "not approved", "another": "for other plans", "expired": "expired on"}[kind]
    with pytest.raises(UsageError, match=told):
        buy(project, plan, vendor)
    assert vendor.log == []
    assert list(drive.iterdir()) == []


def test_an_approval_edited_by_hand_counts_for_nothing(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan, max_usd=1.0)
    import duckdb

    with duckdb.connect(str(project.home.warehouse)) as edited:
        edited.execute("UPDATE ops.approvals SET max_usd = 1000")
    with pytest.raises(UsageError, match="does not match its seal"):
        buy(project, plan, vendor)
    assert vendor.log == []


def test_an_approval_that_expires_while_jobs_run_still_lets_them_be_fetched(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    allow(project, plan, expires=dt.date(2025, 4, 1))
    assert buy(project, plan, vendor, wait=False).under_way
    later = NOW + dt.timedelta(days=3)
    assert buy(project, plan, vendor, clock=lambda: later).whole
    assert submitted(vendor) == 1


def test_a_price_above_the_ceiling_buys_nothing(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan, max_usd=2.0)
    vendor.prices = [100_000.0, 400_000.0]  # ES' 138 bars: 2.88 USD, alone above 2
    with pytest.raises(UsageError, match=r"nothing was bought: above the 2\.00 USD that Ada"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 0
    assert states(project) == []
    assert list(drive.iterdir()) == []


def test_the_ceiling_itself_may_be_spent(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, make_plan(), max_usd=USD * 1.000001)
    wanted = Wanted("GLBX.MDP3", "ohlcv-1h", ("ZL.v.0",), "continuous",
                    dt.date(2025, 1, 27), dt.date(2025, 2, 4))  # fmt: skip
    assert count(wanted) == 114
    assert buy(project, plan, vendor).whole


def test_a_price_that_rises_between_two_submissions_stops_there(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan, max_usd=2.0)
    # both quotes hold, the first one holds again, the second has tripled
    vendor.prices = [100_000.0, 100_000.0, 100_000.0, 300_000.0]
    with pytest.raises(UsageError, match=r"0\.59 USD is spent: above the 2\.00"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1
    # what was bought is there all the same
    assert states(project) == [("ZL", "downloaded")]
    assert uses(project) == ["begun"]
    # and the rest follows when the price is down again: 0.59 spent and 0.72 to come
    assert buy(project, plan, vendor).whole
    assert submitted(vendor) == 2


def test_what_was_spent_before_counts_against_the_ceiling(project: Project, vendor: Vendor) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan, max_usd=1.5)
    vendor.prices = [100_000.0, 100_000.0, 100_000.0, 300_000.0]
    with pytest.raises(UsageError):
        buy(project, plan, vendor)
    vendor.prices = [130_000.0]  # ES: 0.94 alone is below 1.5, with the 0.59 it is not
    with pytest.raises(UsageError, match=r"0\.94 USD for 1 requests, and 0\.59 USD is spent"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1


def test_a_drive_that_is_not_there_is_told_first(
    make_project: MakeProject, tmp_path: Path, vendor: Vendor
) -> None:
    for drive, told in ((tmp_path / "gone", "Is the drive mounted"), (None, "is not set")):
        project = make_project(cbi_drive=drive)
        with pytest.raises(UsageError, match=told):
            buy(project, make_plan(), vendor)
    assert vendor.log == []


def test_a_drive_that_takes_no_files_is_told_first(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan()
    allow(project, plan)
    (drive / "raw").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot be written"):
        buy(project, plan, vendor)
    assert vendor.log == []


def test_a_read_only_drive_is_told_first(
    project: Project, drive: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    allow(project, plan)

    def refuse(*args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(room.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"cannot be written \(Read-only file system\)"):
        buy(project, plan, vendor)
    assert vendor.log == []
    assert list(drive.iterdir()) == []


def test_too_little_room_is_told_before_anything_is_bought(
    project: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    needed = (114 + 138) * BAR_BYTES
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage(0, 0, needed - 1))
    with pytest.raises(UsageError, match="Make room"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 0
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage(0, 0, needed))
    assert buy(project, plan, vendor).whole


def test_an_expired_job_is_told_and_not_bought_again(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    buy(project, plan, vendor, wait=False)
    job, other = vendor.jobs.values()
    job.expired = True
    part = drive / "raw" / "databento_zl" / f".{job.id}.part"
    part.mkdir(parents=True)
    (part / "metadata.json").write_text("begun before")
    with pytest.raises(CbiError, match=r"ZL\.v\.0 ohlcv-1h expired at Databento") as raised:
        buy(project, plan, vendor)
    assert raised.value.exit_code == 1
    assert states(project) == [("ZL", "expired"), ("ES", "downloaded")]
    assert folders(drive) == [f"raw/databento_es/{other.id}"]
    assert submitted(vendor) == 2
    with pytest.raises(UsageError, match="used up"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 2


def test_a_refused_request_costs_nothing_and_can_be_tried_again(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.fail("batch.submit_job", "422")
    with pytest.raises(RefusedError, match="Nothing was bought for it"):
        buy(project, plan, vendor)
    assert vendor.jobs == {}
    assert states(project) == [("ZL", "failed")]
    assert buy(project, plan, vendor).whole
    assert len(vendor.jobs) == 2


def test_429_waits_as_long_as_it_says(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    vendor.fail("metadata.get_cost", "429", times=2, value=7)
    vendor.fail("batch.submit_job", "429", times=1, value=11)
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).whole
    assert [pause for pause in pauses if pause in (7, 11)] == [7, 7, 11]
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize("kind", ["lost", "500", "503", "dropped", "stall"])
def test_a_submission_of_unknown_end_is_looked_for_before_it_is_repeated(
    project: Project, vendor: Vendor, kind: str
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.add_job(Wanted("GLBX.MDP3", "ohlcv-1h", ("ZS.v.0",), "continuous",
                          dt.date(2025, 1, 27), dt.date(2025, 2, 4)))  # fmt: skip
    vendor.fail("batch.submit_job", kind)
    clients = clients_of(vendor, timeout=0.5)
    if kind == "lost":  # the vendor took it: it is found
        assert buy(project, plan, vendor, clients).whole
        assert submitted(vendor) == 2
    else:  # it did not: after the time in which it would have shown up, a new run buys it
        with pytest.raises(OutcomeUnknownError, match="no telling whether") as raised:
            buy(project, plan, vendor, clients)
        assert raised.value.exit_code == 3
        assert submitted(vendor) == 1
        assert states(project) == [("ZL", "submitting")]
        assert buy(project, plan, vendor).whole
        assert submitted(vendor) == 3
    assert len(vendor.jobs) == 3


def test_an_intent_waits_until_its_job_would_have_shown_up(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    approval = allow(project, plan)
    intended = NOW - dt.timedelta(seconds=100)
    with project.hold(), project.open_warehouse() as warehouse:
        intend(warehouse, _row(plan, approval.approval_id, intended))
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).whole
    assert len(vendor.asked("batch.list_jobs")) > 2
    assert sum(pauses) >= execution.SETTLE_SECONDS
    later = NOW + dt.timedelta(seconds=execution.SETTLE_SECONDS)
    other = make_plan(request("ES"))
    approval = allow(project, other)
    with project.hold(), project.open_warehouse() as warehouse:
        intend(warehouse, _row(other, approval.approval_id, NOW))
    before = len(vendor.asked("batch.list_jobs"))
    assert buy(project, other, vendor, clock=lambda: later).whole
    assert len(vendor.asked("batch.list_jobs")) == before + 1


def _row(plan: Plan, approval_id: str, intended: dt.datetime) -> JobRow:
    (asked,) = plan.requests
    return JobRow(
        approval_id, asked.request_id, plan.plan_hash, asked.root, asked.schema, None,
        "submitting", 1.0, None, None, None, None, None, intended, None, intended,
    )  # fmt: skip


def test_a_request_under_way_is_not_intended_twice(project: Project) -> None:
    plan = make_plan()
    with project.hold(), project.open_warehouse() as warehouse:
        intend(warehouse, _row(plan, "a", NOW))
        with pytest.raises(AlreadyBoughtError, match=r"under way on approval a \(submitting\)"):
            intend(warehouse, _row(plan, "b", NOW))
    assert [row.approval_id for row in rows(project)] == ["a"]


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


def test_waiting_ends_after_some_hours(project: Project, vendor: Vendor) -> None:
    vendor.looks = 1_000_000
    plan = make_plan()
    allow(project, plan)
    pauses = Pauses()
    with pytest.raises(ServiceError, match=r"1 jobs are not done after 6\.0 h .* is processing"):
        buy(project, plan, vendor, clients_of(vendor, pauses=pauses))
    assert max(pauses) == 60.0
    assert submitted(vendor) == 1


def test_a_job_whose_files_are_not_given_does_not_hold_up_the_others(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.fail("batch.list_files", "500", times=6)
    with pytest.raises(ServiceError, match="list the files of job"):
        buy(project, plan, vendor)
    assert states(project) == [("ZL", "done"), ("ES", "downloaded")] or states(project) == [
        ("ZL", "processing"), ("ES", "downloaded"),
    ]  # fmt: skip
    assert buy(project, plan, vendor).whole
    assert submitted(vendor) == 2


def test_a_wrong_key_is_a_setting_and_is_never_told(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    clients = clients_of(vendor)
    vendor.key = "db-another"
    with pytest.raises(UsageError, match="DATABENTO_API_KEY") as raised:
        buy(project, plan, vendor, clients)
    assert clients.key.get_secret_value() not in str(raised.value)
    assert submitted(vendor) == 0


def test_the_key_is_in_no_file(project: Project, drive: Path, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    told: list[str] = []
    vendor.fail("batch.get_job_details", "500", times=2)
    buy(project, plan, vendor, tell=told.append)
    key = vendor.key.encode()
    for folder in (project.home.root, drive):
        for file in folder.rglob("*"):
            assert not file.is_file() or key not in file.read_bytes(), file
    assert vendor.key not in "".join(told)
    assert {logged.key for logged in vendor.log} == {vendor.key}


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
