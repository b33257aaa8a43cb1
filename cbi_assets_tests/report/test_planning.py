"""Lost dates, the state of the newest plan, checklists and decisions."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.config.sources import DatabentoSource, VendorGap
from cbi_assets.downloads.approvals import approve
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.wanted import Scope
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.take_audit import take_audit
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import build
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, copy_home, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record


def audit(project: Project, now: dt.datetime = NOW) -> Audit:
    with open_session(project, now=now) as session:
        return take_audit(session)


@pytest.fixture(scope="module")
def built(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home and its drive: bars of ZL, loaded, built and checked."""
    root = tmp_path_factory.mktemp("built")
    project, drive = copy_home(new_home, root)
    put_lines(drive, [record(n) for n in range(4)])
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
        verbs.check(session)
    return root


@pytest.fixture
def ready(project: Project, drive: Path, built: Path) -> None:
    """Only downloads are left to do in this home."""
    shutil.copytree(built / "drive", drive, dirs_exist_ok=True)
    shutil.copytree(built / "home", project.home.root, dirs_exist_ok=True)


def plan(project: Project, *roots: str) -> Plan:
    with open_session(project, now=NOW) as session:
        made = make_plan(session, Scope(roots, ("1h",)))
    made.save(project.home.plans / f"{made.plan_hash[:12]}.json")
    return made


def ticked(found: Audit, before: str) -> dict[str, tuple[bool | None, str]]:
    checklist = next(c for c in found.checklists if c.before == before)
    return {item.text: (item.ok, item.figure) for item in checklist.items}


@pytest.mark.full
def test_dates_between_two_files_are_lost_unless_the_vendor_lacks_them(
    project: Project, drive: Path
) -> None:
    # Monday 6 and Friday 10 January 2025: 7, 8 and 9 are trade dates between
    put_lines(drive, [record(0)])
    put_lines(drive, [record(96)], "b.json", LATER_JOB)
    gap = VendorGap(exchanges=("CBOT",), dates=(dt.date(2025, 1, 8),))
    known = DatabentoSource(demo_dataset="DEMO.SYNTH", known_gaps=(gap,))
    project = replace(project, sources=project.sources.model_copy(update={"databento": known}))
    load_once(project)
    gaps = audit(project).gaps.select("kind", pl.col("first").cast(str), "dates").rows()
    assert gaps == [
        ("lost", "2025-01-07", 1),
        ("vendor's gap", "2025-01-08", 1),
        ("lost", "2025-01-09", 1),
    ]
    assert ticked(audit(project), "build")["No date inside a range is lost"] == (
        False,
        "2 dates lost",
    )


@pytest.mark.full
def test_dates_inside_one_file_are_no_trade(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(96)])
    load_once(project)
    gaps = audit(project).gaps.select("kind", pl.col("first", "last").cast(str)).rows()
    assert gaps == [("no trade", "2025-01-07", "2025-01-09")]


@pytest.mark.full
def test_date_is_lost_when_its_records_are_quarantined(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(24, volume="-1"), record(48)])
    load_once(project)
    gaps = audit(project).gaps.select("kind", pl.col("first").cast(str), "why").rows()
    assert gaps == [("lost", "2025-01-07", "its records are quarantined")]


@pytest.mark.full
@pytest.mark.usefixtures("ready")
def test_plan_needs_approval_and_then_its_download(project: Project, drive: Path) -> None:
    assert audit(project).lights.next.command == "cbi plan"
    made = plan(project, "ZL")
    name = made.plan_hash[:12]
    found = audit(project)
    assert found.plan is not None
    # ZL 1h from 2010-06-07 to 2025-01-09 lacks the days before and after 2025-01-06
    assert (found.plan.requests, found.plan.current, found.plan.approval) == (2, 2, "none")
    (decision,) = found.decisions
    assert decision.kind == "plan"
    assert decision.command == f"cbi approve {name} --by NAME --max-usd N"
    assert found.lights.next.command == decision.command
    items = ticked(found, "download")
    assert items["A person approved it"] == (False, "no approval")
    assert items["No request is for published dates"][0] is True
    assert items["Databento quoted its prices"] == (False, "estimated figures")

    with open_session(project, now=NOW) as session:
        approve(session, made, by="Ann", max_usd=50.0, expires=dt.date(2025, 1, 12))
    found = audit(project)
    assert found.decisions == ()
    assert found.lights.next.command == f"cbi download {name}"
    assert ticked(found, "download")["A person approved it"][0] is True

    after = audit(project, dt.datetime(2025, 1, 13, tzinfo=dt.UTC))
    (decision,) = after.decisions
    assert "its approval is expired" in decision.what


@pytest.mark.full
@pytest.mark.usefixtures("ready")
def test_plan_is_outdated_when_its_dates_were_loaded_since(project: Project, drive: Path) -> None:
    plan(project, "ZL")
    # Wednesday 8 January is in the second of its two requests
    put_lines(drive, [record(48)], "b.json", LATER_JOB)
    load_once(project)
    found = audit(project)
    assert found.plan is not None
    assert (found.plan.requests, found.plan.current) == (2, 1)
    assert ticked(found, "download")["No request is for published dates"] == (
        False,
        "1 of 2 requests still missing",
    )


@pytest.mark.usefixtures("ready")
def test_edited_plan_needs_action(project: Project, drive: Path) -> None:
    made = plan(project, "ZL")
    path = project.home.plans / f"{made.plan_hash[:12]}.json"
    path.write_text(path.read_text().replace('"root": "ZL"', '"root": "ZM"'))
    found = audit(project)
    assert found.plan is None
    (decision,) = found.decisions
    assert (decision.kind, decision.count, decision.command) == ("file", 1, "cbi plan")
    assert "edited since it was made" in decision.what


@pytest.mark.full
@pytest.mark.usefixtures("ready")
def test_check_is_stale_when_older_than_the_newest_load(project: Project, drive: Path) -> None:
    later = NOW + dt.timedelta(hours=1)
    put_lines(drive, [record(5)], "b.json", LATER_JOB)
    load_once(project, now=later)
    found = audit(project, later)
    stale = found.checks.filter("stale").select("table", "name").rows()
    # a load itself checks the raw tables that it changed, not what is built from them
    assert ("features.daily_ml_matrix", "matrix_is_point_in_time") in stale
    assert ("market_data.databento_futures_ohlcv_1h", "no_duplicate_bars") not in stale


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("spoil", "text", "before"),
    [
        ("DELETE FROM `ops.loads` WHERE TRUE", "The books balance", "load"),
        (
            "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE TRUE",
            "The raw tables match the books",
            "load",
        ),
        (
            "UPDATE `ops.check_results` SET passed = FALSE WHERE check_name = 'no_duplicate_bars'",
            "No bar is duplicated",
            "load",
        ),
        (
            "UPDATE `ops.check_results` SET passed = FALSE WHERE check_name = 'ohlc_is_consistent'",
            "Every check of the raw tables passes",
            "build",
        ),
        (
            "DELETE FROM `features.daily_ml_matrix` WHERE TRUE",
            "The matrix has every root with bars",
            "build",
        ),
    ],
)
def test_checklist_follows_the_tables(
    project: Project, drive: Path, spoil: str, text: str, before: str
) -> None:
    assert ticked(audit(project), before)[text][0] is True
    change(project, spoil)
    assert ticked(audit(project), before)[text][0] is False


def change(project: Project, sql: str) -> None:
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(sql)])


@pytest.mark.full
def test_check_history_has_one_row_per_run(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    put_lines(drive, [record(0, "ZS.v.0")], "b.json", LATER_JOB)
    later = NOW + dt.timedelta(hours=1)
    load_once(project, now=later)
    rows: list[dict[str, Any]] = query(
        project,
        "SELECT checked_at, partitions, failed, severity FROM `ops.check_history` "
        "WHERE check_name = 'no_duplicate_bars' ORDER BY checked_at",
    ).to_dicts()
    # the second run was of ZS alone; ZL's result of the first one still counts
    assert [(row["checked_at"], row["partitions"], row["failed"]) for row in rows] == [
        (NOW, 1, 0),
        (later, 2, 0),
    ]
