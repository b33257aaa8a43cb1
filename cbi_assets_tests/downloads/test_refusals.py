"""Reasons not to buy: approvals, ceilings, the drive, the key."""

from __future__ import annotations

import datetime as dt
import logging
from collections import namedtuple
from pathlib import Path

import pytest

from cbi_assets.downloads import disk_space
from cbi_assets.errors import UsageError
from cbi_assets.session import Project
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.databento_api.bars import BAR_BYTES, Wanted, count
from cbi_assets_tests.databento_api.buying import (
    NOW,
    USD,
    approval_states,
    approve_as_ada,
    buy,
    clients_of,
    make_plan,
    request,
    states,
    submitted,
)
from cbi_assets_tests.databento_api.vendor import Vendor


@pytest.mark.parametrize("kind", ["none", "another", "expired"])
def test_execute_sends_nothing_without_a_valid_approval(
    project: Project, drive: Path, vendor: Vendor, kind: str
) -> None:
    plan = make_plan()
    if kind == "another":
        approve_as_ada(project, make_plan(request("ES")))
    if kind == "expired":
        approve_as_ada(project, plan, now=NOW - dt.timedelta(days=9), expires=dt.date(2025, 3, 31))
    reason = {"none": "not approved", "another": "for other plans", "expired": "expired on"}[kind]
    with pytest.raises(UsageError, match=reason):
        buy(project, plan, vendor)
    assert vendor.log == []
    assert list(drive.iterdir()) == []


def test_execute_rejects_an_approval_edited_by_hand(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan, max_usd=1.0)
    import duckdb

    with duckdb.connect(str(project.home.warehouse)) as edited:
        edited.execute("UPDATE ops.approvals SET max_usd = 1000")
    with pytest.raises(UsageError, match="does not match its seal"):
        buy(project, plan, vendor)
    assert vendor.log == []


@pytest.mark.full
def test_execute_downloads_jobs_after_the_approval_expired(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan, expires=dt.date(2025, 4, 1))
    assert buy(project, plan, vendor, wait=False).active
    later = NOW + dt.timedelta(days=3)
    assert buy(project, plan, vendor, clock=lambda: later).is_complete
    assert submitted(vendor) == 1


def test_execute_buys_nothing_above_the_ceiling(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan, max_usd=2.0)
    vendor.prices = [100_000.0, 400_000.0]  # ES's 138 bars cost 2.88 USD, alone above 2
    with pytest.raises(UsageError, match=r"nothing bought yet: above the 2\.00 USD that Ada"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 0
    assert states(project) == []
    assert list(drive.iterdir()) == []


@pytest.mark.full
def test_execute_may_spend_exactly_the_ceiling(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, make_plan(), max_usd=USD * 1.000001)
    wanted = Wanted("GLBX.MDP3", "ohlcv-1h", ("ZL.v.0",), "continuous",
                    dt.date(2025, 1, 27), dt.date(2025, 2, 4))  # fmt: skip
    assert count(wanted) == 114
    assert buy(project, plan, vendor).is_complete


@pytest.mark.full
def test_execute_stops_if_the_price_rises_between_submissions(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan, max_usd=2.0)
    # both quotes, the first one again, then the second at three times its price
    vendor.prices = [100_000.0, 100_000.0, 100_000.0, 300_000.0]
    with pytest.raises(UsageError, match=r"0\.59 USD already spent: above the 2\.00"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1
    # what was bought is downloaded
    assert states(project) == [("ZL", "downloaded")]
    assert approval_states(project) == ["begun"]
    # at the old price, the rest follows: 0.59 spent and 0.72 more
    assert buy(project, plan, vendor).is_complete
    assert submitted(vendor) == 2


@pytest.mark.full
def test_execute_counts_earlier_spending_against_the_ceiling(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan, max_usd=1.5)
    vendor.prices = [100_000.0, 100_000.0, 100_000.0, 300_000.0]
    with pytest.raises(UsageError):
        buy(project, plan, vendor)
    vendor.prices = [130_000.0]  # ES: 0.94 alone is below 1.5, 0.94 + 0.59 is not
    with pytest.raises(
        UsageError, match=r"1 request now cost 0\.94 USD, with 0\.59 USD already spent"
    ):
        buy(project, plan, vendor)
    assert submitted(vendor) == 1


def test_execute_raises_first_if_there_is_no_drive(
    make_project: MakeProject, tmp_path: Path, vendor: Vendor
) -> None:
    for drive, reason in (
        (tmp_path / "gone", "Is the drive mounted"),
        (None, "CBI_DRIVE: not set"),
    ):
        project = make_project(cbi_drive=drive)
        with pytest.raises(UsageError, match=reason):
            buy(project, make_plan(), vendor)
    assert vendor.log == []


def test_execute_raises_first_if_the_folder_cannot_be_created(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    (drive / "raw").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot be written"):
        buy(project, plan, vendor)
    assert vendor.log == []


def test_execute_raises_first_if_the_drive_is_read_only(
    project: Project, drive: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)

    def refuse(*args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(disk_space.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"cannot be written \(Read-only file system\)"):
        buy(project, plan, vendor)
    assert vendor.log == []
    assert list(drive.iterdir()) == []


def test_execute_raises_before_buying_if_space_is_short(
    project: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    needed = (114 + 138) * BAR_BYTES
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage(0, 0, needed - 1))
    with pytest.raises(UsageError, match="Free space"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 0
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage(0, 0, needed))
    assert buy(project, plan, vendor).is_complete


def test_a_rejected_key_is_a_usage_error_without_the_key(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    clients = clients_of(vendor)
    vendor.key = "db-another"
    with pytest.raises(UsageError, match="DATABENTO_API_KEY") as raised:
        buy(project, plan, vendor, clients)
    assert clients.key.get_secret_value() not in str(raised.value)
    assert submitted(vendor) == 0


@pytest.mark.full
def test_the_key_is_in_no_file_and_no_log(
    project: Project, drive: Path, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    caplog.set_level(logging.DEBUG)
    vendor.fail("batch.get_job_details", "500", times=2)
    buy(project, plan, vendor)
    key = vendor.key.encode()
    for folder in (project.home.root, drive):
        for file in folder.rglob("*"):
            assert not file.is_file() or key not in file.read_bytes(), file
    assert vendor.key not in caplog.text
    assert {logged.key for logged in vendor.log} == {vendor.key}
