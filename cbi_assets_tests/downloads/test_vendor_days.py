"""Days that were pending, degraded or modified since are planned again, and shown."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets.downloads.planning import gaps_of, make_plan
from cbi_assets.downloads.wanted import Coverage, Scope, survey
from cbi_assets.session import Project, open_session
from cbi_assets_tests.databento_api.buying import clients_of
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import JOB, NOW, load_once, run_check
from cbi_assets_tests.load.lines import LATER_JOB, put_condition, put_lines, record

ZL_1H = Scope(roots=("ZL",), timeframes=("1h",))
MON, TUE, WED, THU = (dt.date(2025, 1, day) for day in (6, 7, 8, 9))
FOUR_DAYS = [record(n) for n in (0, 24, 48, 72)]
"""A bar of ZL at 15:00 UTC of 6 to 9 January 2025; the clock is on the 10th."""


def cover(project: Project, vendor: Vendor | None = None) -> Coverage:
    with open_session(project, now=NOW) as session:
        clients = None if vendor is None else clients_of(vendor)
        (found,) = survey(session, ZL_1H, clients).coverages
    return found


def newest_ranges(found: Coverage) -> list[tuple[str, dt.date, dt.date]]:
    """The ranges of 2025, except the head."""
    return [
        (item.kind, item.start, item.end)
        for item in (*found.ranges, *found.modified)
        if item.kind != "head"
    ]


def days_are_final(project: Project) -> tuple[bool, list[tuple[dt.date, str]]]:
    with open_session(project, now=NOW) as session:
        (result,) = run_check(session, "days_are_final", ["ZL"], "1h")
    assert result.severity == "WARN"
    return result.passed, [(row["day"], row["condition"]) for row in result.sample]


def test_pending_day_is_missing_until_a_later_job_has_it_as_available(
    drive: Path, project: Project
) -> None:
    put_lines(drive, FOUR_DAYS)
    put_condition(drive, JOB, ("2025-01-08", "available", None), ("2025-01-09", "pending", None))
    load_once(project)
    found = cover(project)
    assert found.published == 3
    assert newest_ranges(found) == [("tail", THU, dt.date(2025, 1, 10))]
    assert days_are_final(project) == (False, [(THU, "pending")])

    put_lines(drive, FOUR_DAYS[3:], job=LATER_JOB)
    put_condition(drive, LATER_JOB, ("2025-01-09", "available", None))
    load_once(project)
    found = cover(project)
    assert (found.published, newest_ranges(found)) == (4, [])
    assert days_are_final(project) == (True, [])


def test_pending_sunday_makes_mondays_trade_date_missing(drive: Path, project: Project) -> None:
    # Sunday 2025-01-05 from 23:00 UTC, and Monday at 15:00: one trade date
    put_lines(drive, [record(-16), *FOUR_DAYS])
    put_condition(drive, JOB, ("2025-01-05", "pending", None))
    load_once(project)
    found = cover(project)
    # with nothing published before, the days from 2010 on are one range with Sunday and Monday
    assert found.published == 3
    assert (found.ranges[-1].kind, found.ranges[-1].end) == ("head", TUE)


def test_day_modified_after_its_fetch_is_planned_again_apart(drive: Path, project: Project) -> None:
    put_lines(drive, FOUR_DAYS)  # fetched on the 10th
    put_condition(
        drive, JOB,
        ("2025-01-07", "available", "2025-01-08"), ("2025-01-08", "available", "2025-01-10"),
    )  # fmt: skip
    load_once(project)
    assert newest_ranges(cover(project)) == []
    # A later job of another root says that these days were modified again, and Thursday was not.
    put_condition(
        drive, LATER_JOB,
        ("2025-01-07", "available", "2025-01-11"), ("2025-01-08", "degraded", "2025-01-11"),
        ("2025-01-09", "available", "2025-01-10"),
    )  # fmt: skip
    load_once(project)
    found = cover(project)
    assert newest_ranges(found) == [("modified", TUE, THU)]
    assert found.published == 4  # what is published counts until it is replaced
    with open_session(project, now=NOW) as session:
        why = [r.why for r in make_plan(session, ZL_1H).requests]
        newest = make_plan(session, Scope(("ZL",), ("1h",), newest_only=True))
    assert why[-1].startswith("modified by Databento since it was fetched: 2 trade dates")
    assert newest.requests == ()
    assert days_are_final(project) == (
        False, [(WED, "modified 2025-01-11"), (TUE, "modified 2025-01-11")],
    )  # fmt: skip


@pytest.mark.full
def test_degraded_day_is_loaded_and_shown(drive: Path, project: Project) -> None:
    put_lines(drive, FOUR_DAYS)
    put_condition(drive, JOB, ("2025-01-07", "degraded", "2025-01-08"))
    outcome = load_once(project)
    assert outcome.published == 4
    assert not outcome.has_failures
    (shown,) = (r for r in outcome.checks if r.name == "days_are_final")
    assert (shown.passed, shown.actual) == (False, "1 unsettled day")
    assert newest_ranges(cover(project)) == []


@pytest.mark.full
def test_survey_asks_the_vendor_what_is_pending_missing_and_modified_now(
    drive: Path, project: Project, vendor: Vendor
) -> None:
    put_lines(drive, FOUR_DAYS[:1])
    load_once(project)
    vendor.conditions = {
        MON: ("available", "2025-03-03"),
        TUE: ("missing", None),
        THU: ("pending", None),
    }
    found = cover(project, vendor)
    assert newest_ranges(found) == [
        ("tail", WED, THU), ("modified", MON, TUE),
    ]  # fmt: skip
    assert [(gap.trade_dates, gap.source) for gap in gaps_of(found)][1:] == [
        ((TUE,), "the jobs' condition.json"),
        ((THU,), "pending at Databento: planned once it is final"),
    ]


@pytest.mark.full
def test_survey_requests_a_day_that_is_no_longer_missing(
    drive: Path, project: Project, vendor: Vendor
) -> None:
    put_lines(drive, [FOUR_DAYS[0], *FOUR_DAYS[2:]])
    put_condition(drive, JOB, ("2025-01-07", "missing", None))
    load_once(project)
    assert newest_ranges(cover(project)) == []
    vendor.conditions = {TUE: ("available", "2025-01-20")}
    assert newest_ranges(cover(project, vendor)) == [("hole", TUE, WED)]


@pytest.mark.parametrize("answer", [None, {"a": 1}, [{"date": "2025-01-07"}], [{"date": 5}]])
def test_survey_refuses_conditions_that_are_not_days(
    project: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    from cbi_assets.errors import ServiceError

    monkeypatch.setattr(vendor, "metadata_get_dataset_condition", lambda params: answer)
    with pytest.raises(ServiceError, match=r"dataset_condition of GLBX\.MDP3 returned no list"):
        cover(project, vendor)
