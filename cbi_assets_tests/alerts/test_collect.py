"""Active events: each kind with data that causes it, and none if all is well."""

from __future__ import annotations

import datetime as dt
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.alerts import Event, collect
from cbi_assets.downloads.approvals import approve
from cbi_assets.downloads.job_ledger import JobRow, write_jobs
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import build
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.downloads.test_plan_model import REQUEST, plan
from cbi_assets_tests.helpers import (
    NOW,
    bars,
    dbn_file,
    load_once,
    open_warehouse,
    put_job,
    run_check,
)
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

MONDAY = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)


def active(project: Project, now: dt.datetime = NOW, sent: tuple[str, ...] = ()) -> list[Event]:
    with open_session(project, now=now) as session:
        return collect(session, sent)


def build_all(project: Project) -> None:
    with open_session(project, now=NOW) as session:
        build(session)


def load_monday(project: Project, drive: Path) -> None:
    """Publish ZL's hours of Monday 2025-01-06, 00:00 to 20:00 UTC, and build them."""
    put_job(drive, {"a.dbn.zst": dbn_file(bars(20, start=MONDAY))})
    load_once(project)
    build_all(project)


@pytest.mark.full
@pytest.mark.both_warehouses
def test_collect_returns_nothing_if_all_is_well(project: Project, drive: Path) -> None:
    assert active(project) == []
    load_monday(project, drive)
    assert active(project) == []


@pytest.mark.full
def test_collect_reports_failed_checks_conflicts_and_quarantine(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1"), record(2, None)])
    put_lines(drive, [record(0, close="11.000000000")], job=LATER_JOB)
    load_once(project)
    check, *decisions = active(project)
    assert check.key == (
        "check:market_data.databento_futures_ohlcv_1h.no_overlapping_loads_disagree"
    )
    assert check.text.startswith(
        "no_overlapping_loads_disagree fails on market_data.databento_futures_ohlcv_1h: ZL|1h ("
    )
    assert [(e.key, e.state) for e in decisions] == [
        ("decision:ops.bar_conflicts", "ZL|1h 1"),
        ("decision:ops.quarantined_bars", "no root|1h 1; ZL|1h 1"),
    ]
    assert decisions[1].text == (
        "Invalid records are in ops.quarantined_bars: no root|1h 1, ZL|1h 1."
    )


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("now", "stale"),
    [
        # 7, 8, 9 and 10 January are four trade dates
        ("2025-01-11T12:00:00+00:00", False),
        ("2025-01-13T12:00:00+00:00", False),
        # and Monday the 13th is the fifth
        ("2025-01-14T00:00:00+00:00", True),
        ("2025-02-14T00:00:00+00:00", True),
    ],
)
def test_collect_reports_stale_bars_if_bars_are_fresh_fails(
    project: Project, drive: Path, now: str, stale: bool
) -> None:
    load_monday(project, drive)
    at = dt.datetime.fromisoformat(now)
    found = active(project, at)
    assert bool(found) == stale
    with open_session(project, now=at) as session:
        (result,) = run_check(session, "bars_are_fresh", ["ZL"], "1h")
    assert result.passed != stale
    if stale:
        (event,) = found
        assert event.key == "stale:market_data.databento_futures_ohlcv_1h"
        assert event.state == "ZL 2025-01-06"
        assert event.text.endswith("is stale: it ends on 2025-01-06 for ZL.")


@pytest.mark.full
def test_a_stale_event_is_the_same_the_day_after(project: Project, drive: Path) -> None:
    load_monday(project, drive)
    first, second = (active(project, dt.datetime(2025, 1, day, tzinfo=dt.UTC)) for day in (14, 15))
    assert first == second != []


@pytest.mark.full
def test_a_daily_bar_counts_for_its_own_date(project: Project, drive: Path) -> None:
    # 2025-01-10 is a Friday; from Monday on, 13 to 17 January are five
    records = bars(1, start=dt.datetime(2025, 1, 10, tzinfo=dt.UTC), schema="ohlcv-1d")
    put_job(drive, {"a.dbn.zst": dbn_file(records, "ohlcv-1d")}, schema="ohlcv-1d")
    load_once(project, now=dt.datetime(2025, 1, 11, tzinfo=dt.UTC))
    tables = [e.subject for e in active(project, dt.datetime(2025, 1, 17, tzinfo=dt.UTC))]
    assert tables == []
    (event,) = active(project, dt.datetime(2025, 1, 18, tzinfo=dt.UTC))
    assert event.state == "ZL 2025-01-10"


@pytest.mark.full
def test_collect_reports_a_matrix_behind_its_bars(project: Project, drive: Path) -> None:
    load_monday(project, drive)
    later = bars(20, start=MONDAY + dt.timedelta(days=1))
    put_job(drive, {"b.dbn.zst": dbn_file(later)}, job=LATER_JOB)
    load_once(project)
    (event,) = active(project)
    assert event.key == "stale:features.daily_ml_matrix"
    assert event.line == (
        "features.daily_ml_matrix is behind its bars: it ends on 2025-01-06 for ZL. "
        "Run `cbi build`."
    )
    build_all(project)
    assert active(project) == []


def test_collect_reports_the_newest_plan_until_it_is_approved(project: Project) -> None:
    older = plan(REQUEST)
    newer = plan(REQUEST, made_at=older.made_at + dt.timedelta(days=1), through=dt.date(2025, 1, 9))
    for made in (older, newer):
        made.save(project.home.plans / f"{made.plan_hash[:12]}.json")
    (event,) = active(project)
    name = newer.plan_hash[:12]
    assert event.key == "decision:plan"
    assert event.line == (
        f"Plan {name} needs an approval; requests: 1, cost: 0.02 USD (quoted). "
        f"Read it, then `cbi approve {name} --by NAME --max-usd N`."
    )
    with open_session(project, now=NOW) as session:
        approve(session, newer, by="Ann", max_usd=1.0)
    assert active(project) == []


def test_collect_ignores_empty_and_invalid_plans(
    project: Project,
) -> None:
    empty: Plan = plan()
    empty.save(project.home.plans / f"{empty.plan_hash[:12]}.json")
    (project.home.plans / "0123456789ab.json").write_text("{}")
    assert active(project) == []


def test_collect_reports_an_expired_job_until_it_is_bought_again(project: Project) -> None:
    row = JobRow(
        "approval", "0123456789ab", "f" * 64, "ZL", "ohlcv-1h", "GLBX-20250110-AAAAAAAAAA",
        "expired", 1.25, None, None, None, None, None, NOW, NOW, NOW,
    )  # fmt: skip
    put(project, row)
    (event,) = active(project)
    assert event.key == f"decision:download {'f' * 12}"
    assert event.state == "ZL ohlcv-1h GLBX-20250110-AAAAAAAAAA expired"
    put(project, replace_row(row, approval_id="again", state="queued", intended_at=NOW + HOUR))
    assert active(project) == []


HOUR = dt.timedelta(hours=1)


def replace_row(row: JobRow, **change: Any) -> JobRow:
    return JobRow(**{**vars(row), **change})


def put(project: Project, row: JobRow) -> None:
    with open_warehouse(project) as warehouse:
        write_jobs(warehouse, [row])


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free_gib", "sent", "is_full"),
    [
        (2.1, (), False), (1.9, (), True),
        # once sent, it is resolved only when 10% more than the limit is free
        (2.1, ("disk:CBI_HOME", "disk:CBI_DRIVE"), True),
        (2.3, ("disk:CBI_HOME", "disk:CBI_DRIVE"), False),
    ],
)  # fmt: skip
def test_collect_reports_full_disks(
    make_project: MakeProject,
    monkeypatch: pytest.MonkeyPatch,
    free_gib: float,
    sent: tuple[str, ...],
    is_full: bool,
) -> None:
    project = make_project(cbi_alert_free_gib=2.0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, int(free_gib * 2**30)))
    found = active(project, sent=sent)
    assert [e.key for e in found] == (["disk:CBI_HOME", "disk:CBI_DRIVE"] if is_full else [])
    if is_full:
        assert found[0].text == (f"CBI_HOME: less than 2.0 GiB free on {project.home.root}.")


def test_collect_does_not_report_an_unmounted_drive_as_full(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(cbi_alert_free_gib=2**30, cbi_drive=tmp_path / "absent")
    assert [e.key for e in active(project)] == ["disk:CBI_HOME"]


def test_collect_reports_refused_files_until_they_are_replaced(
    project: Project, drive: Path
) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(b"cut")
    load_once(project)
    (event,) = active(project)
    assert event.key == "decision:refused files"
    assert event.text.startswith("Files on the drive are refused: a.ohlcv-1h.dbn: ")
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(bars(1)))
    load_once(project)
    assert "decision:refused files" not in {event.key for event in active(project)}


@pytest.mark.full
def test_stale_matrix_names_the_roots_whose_rows_wait_for_a_check(
    project: Project, drive: Path
) -> None:
    load_monday(project, drive)
    later = bars(20, start=MONDAY + dt.timedelta(days=1))
    put_job(drive, {"b.dbn.zst": dbn_file(later)}, job=LATER_JOB)
    put_lines(drive, [record(0, close="11.000000000")], "c.json")
    load_once(project)
    (event,) = (e for e in active(project) if e.key == "stale:features.daily_ml_matrix")
    assert "Rows wait until checks pass: ZL (no_overlapping_loads_disagree on ZL|1h)" in event.text
    assert event.remedy == "Fix what failed, then run `cbi build`."


@pytest.mark.full
def test_evening_before_a_trade_date_does_not_make_the_matrix_stale(
    project: Project, drive: Path
) -> None:
    load_monday(project, drive)
    evening = bars(1, start=MONDAY + dt.timedelta(hours=23))  # of Tuesday's trade date
    put_job(drive, {"b.dbn.zst": dbn_file(evening)}, job=LATER_JOB)
    load_once(project)
    assert active(project) == []
