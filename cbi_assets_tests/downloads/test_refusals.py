"""What stops a download before anything is bought: approvals, ceilings, the drive, the key."""

from __future__ import annotations

import datetime as dt
from collections import namedtuple
from pathlib import Path

import pytest

from cbi_assets.downloads import disk_space as room
from cbi_assets.errors import UsageError
from cbi_assets.session import Project
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.databento_api.bars import BAR_BYTES, Wanted, count
from cbi_assets_tests.databento_api.buying import (
    NOW,
    USD,
    allow,
    buy,
    clients_of,
    make_plan,
    request,
    states,
    submitted,
    uses,
)
from cbi_assets_tests.databento_api.vendor import Vendor


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
