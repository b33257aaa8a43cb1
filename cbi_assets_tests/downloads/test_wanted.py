"""Missing trade dates become the fewest ranges, without any published day."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbi_assets.config.universe import FOUND, load_universe
from cbi_assets.downloads.missing_ranges import Range, find_ranges, modified_ranges
from cbi_assets.downloads.plan_page import summarize
from cbi_assets.downloads.planning import gaps_of, make_plan, unplanned
from cbi_assets.downloads.verify_plan import verify
from cbi_assets.downloads.wanted import Coverage, Scope, last_complete, survey
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import JOB, bars, dbn_file, load_once, put_job

NOW = dt.datetime(2010, 8, 2, 12, tzinfo=dt.UTC)
"""A Monday: the last complete trade date is Friday 2010-07-30."""

DAY = dt.timedelta(days=1)
FIRST, LAST = dt.date(2010, 6, 6), dt.date(2010, 7, 30)
DATES = trade_dates("grains", FIRST, LAST)
BEFORE = dt.date(2010, 6, 4)


def date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def ranges(
    published: set[dt.date], gaps: set[dt.date] = frozenset()
) -> list[tuple[str, str, str, int]]:  # type: ignore[assignment]
    found = find_ranges(DATES, BEFORE, FIRST, published, gaps)
    return [(str(r.start), str(r.end), r.kind, len(r.trade_dates)) for r in found]


def all_days(start: str, end: str) -> set[dt.date]:
    """Return every day from `start` to `end` except Saturdays, as a vendor's job has them."""
    days = (date(end) - date(start)).days + 1
    return {d for n in range(days) if (d := date(start) + DAY * n).weekday() != 5}


def test_find_ranges_returns_one_range_if_nothing_is_published() -> None:
    # 2010-06-06 is the Sunday whose evening opens Monday's trade date
    assert ranges(set()) == [("2010-06-06", "2010-07-31", "all", 39)]


def test_find_ranges_returns_none_if_all_is_published() -> None:
    assert ranges(all_days("2010-06-06", "2010-07-30")) == []


def test_find_ranges_distinguishes_head_hole_and_tail() -> None:
    published = all_days("2010-06-13", "2010-06-16") | all_days("2010-06-20", "2010-07-22")
    assert ranges(published) == [
        ("2010-06-06", "2010-06-12", "head", 5),
        ("2010-06-17", "2010-06-19", "hole", 2),
        ("2010-07-23", "2010-07-31", "tail", 6),
    ]


def test_find_ranges_includes_the_missing_sunday_of_a_missing_monday() -> None:
    published = all_days("2010-06-06", "2010-07-30") - {date("2010-06-13"), date("2010-06-14")}
    assert ranges(published) == [("2010-06-13", "2010-06-15", "hole", 1)]


def test_find_ranges_excludes_the_published_sunday_of_a_missing_monday() -> None:
    published = all_days("2010-06-06", "2010-07-30") - {date("2010-06-14")}
    assert ranges(published) == [("2010-06-14", "2010-06-15", "hole", 1)]


def test_find_ranges_includes_a_holiday_only_with_the_trade_date_it_belongs_to() -> None:
    # Monday 2010-07-05, Independence Day observed, trades for Tuesday
    around = all_days("2010-06-06", "2010-07-30")
    assert ranges(around - {date("2010-07-05")}) == []
    assert ranges(around - {date("2010-07-05"), date("2010-07-06")}) == [
        ("2010-07-05", "2010-07-07", "hole", 1)
    ]


def test_find_ranges_neither_requests_a_gap_nor_splits_at_it() -> None:
    gap = date("2010-06-16")
    published = all_days("2010-06-06", "2010-07-30") - {gap}
    assert ranges(published, {gap}) == []
    assert ranges(set(), {gap}) == [("2010-06-06", "2010-07-31", "all", 38)]
    assert ranges(published - {date("2010-06-15")}, {gap}) == [
        ("2010-06-15", "2010-06-16", "hole", 1)
    ]
    assert ranges(published - {date("2010-06-17")}, {gap}) == [
        ("2010-06-17", "2010-06-18", "hole", 1)
    ]


def test_modified_days_are_requested_with_no_other_day_but_saturdays() -> None:
    # Thursday, Friday, Sunday, Monday; Wednesday
    days = [date(f"2010-06-{day:02}") for day in (10, 11, 13, 14, 16)]
    assert [(str(r.start), str(r.end), r.trade_dates) for r in modified_ranges(days)] == [
        ("2010-06-10", "2010-06-15", tuple(days[:4])),
        ("2010-06-16", "2010-06-17", tuple(days[4:])),
    ]


_ALL_DAYS = [FIRST + DAY * n for n in range((LAST - FIRST).days + 1)]
_SUBSET = st.sets(st.sampled_from(_ALL_DAYS))


@given(published=_SUBSET, gaps=st.sets(st.sampled_from(DATES)))
@example(published={date("2010-06-13")}, gaps=set())
def test_ranges_contain_everything_missing_and_nothing_published(
    published: set[dt.date], gaps: set[dt.date]
) -> None:
    found = find_ranges(DATES, BEFORE, FIRST, published, gaps)
    covered = [r.start + DAY * n for r in found for n in range((r.end - r.start).days)]
    missing = set(DATES) - published - gaps
    # no overlap with each other or with published days, and nothing outside the wanted days
    assert len(covered) == len(set(covered))
    assert not set(covered) & published
    assert set(covered) <= set(_ALL_DAYS)
    # wanted - published - gaps, each once; any other trade date inside is a gap
    assert [d for r in found for d in r.trade_dates] == sorted(missing)
    assert set(covered) & set(DATES) - missing <= gaps
    # no range starts before or ends after a missing date
    for r in found:
        assert r.end - DAY == r.trade_dates[-1]
        earlier = max([d for d in [BEFORE, *DATES] if d < r.trade_dates[0]])
        assert r.start > earlier
    # as few as possible: something is published between two ranges
    for a, b in pairwise(found):
        assert any(a.end <= day < b.start for day in published)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2010-08-02T12:00:00+00:00", "2010-07-30"),
        # Friday's session is over, its UTC day is not
        ("2010-07-30T23:59:59+00:00", "2010-07-29"),
        ("2010-07-31T00:00:00+00:00", "2010-07-30"),
        # a national day of mourning, on which all but equities traded
        ("2025-01-10T00:00:00+00:00", "2025-01-09"),
        # the same time in another time zone
        ("2010-07-30T19:00:00-05:00", "2010-07-30"),
    ],
)
def test_last_complete_returns_a_trade_date_whose_utc_day_is_over(now: str, last: str) -> None:
    assert last_complete(dt.datetime.fromisoformat(now)) == date(last)


def test_last_complete_is_limited_by_end() -> None:
    assert last_complete(NOW, date("2010-07-04")) == date("2010-07-02")
    assert last_complete(NOW, date("2011-01-01")) == date("2010-07-30")


def load_hours(drive: Path, project: Project, *starts: tuple[str, int], symbol: str = "ZL.v.0",
               schema: str = "ohlcv-1h", job: str = JOB) -> None:  # fmt: skip
    """Load a number of bars from each start."""
    records = np.concatenate(
        [
            bars(count, symbol=symbol, start=dt.datetime.fromisoformat(start), schema=schema)
            for start, count in starts
        ]
    )
    name = f"{schema}-{symbol}.dbn.zst"
    put_job(drive, {name: dbn_file(records, schema)}, job=job, schema=schema)
    load_once(project, now=NOW)


def list_again(folder: Path, name: str) -> None:
    """Have a job's manifest list a file as it is now."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = (file for file in manifest["files"] if file["filename"] == name)
    content = (folder / name).read_bytes()
    entry |= {"size": len(content), "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def cover(project: Project, root: str, timeframe: str, now: dt.datetime = NOW) -> Coverage:
    with open_session(project, now=now) as session:
        wanted = survey(session)
    return next(c for c in wanted.coverages if (c.root, c.timeframe) == (root, timeframe))


@pytest.mark.full
def test_survey_counts_no_trade_date_with_only_its_evening_before(
    drive: Path, project: Project
) -> None:
    # two complete days, and the hour from 23:00 UTC on Tuesday: 17:00 Chicago, so Wednesday's
    load_hours(
        drive, project,
        ("2025-01-06T00:00:00+00:00", 23), ("2025-01-07T00:00:00+00:00", 24), symbol="MES.v.0",
    )  # fmt: skip
    found = cover(project, "MES", "1h", dt.datetime(2025, 1, 9, tzinfo=dt.UTC))
    assert found.published == 2
    assert found.ranges[-1] == Range(
        date("2025-01-08"), date("2025-01-09"), (date("2025-01-08"),), "tail"
    )


@pytest.mark.full
def test_survey_requests_a_day_that_has_only_the_next_dates_evening(
    drive: Path, project: Project
) -> None:
    # the hour from 23:00 UTC on Tuesday, then all of Wednesday: Tuesday's own trade date is missing
    load_hours(drive, project, ("2025-01-07T23:00:00+00:00", 20), symbol="MES.v.0")
    found = cover(project, "MES", "1h", dt.datetime(2025, 1, 9, tzinfo=dt.UTC))
    assert found.published == 1
    assert (found.ranges[-1].kind, found.ranges[-1].end) == ("head", date("2025-01-08"))
    assert found.ranges[-1].trade_dates[-1] == date("2025-01-07")


@pytest.mark.full
@pytest.mark.both_warehouses
def test_survey_counts_only_the_wanted_series(drive: Path, project: Project) -> None:
    # ZL's 1d is wanted as contracts; the vendor's continuous series does not replace them
    load_hours(drive, project, ("2025-01-06T00:00:00+00:00", 3), schema="ohlcv-1d")
    now = dt.datetime(2025, 1, 9, tzinfo=dt.UTC)
    assert cover(project, "ZL", "1d", now).published == 0
    with open_session(project, now=now) as session:
        plan = make_plan(session, Scope(roots=("ZL",), timeframes=("1d",)))
    (series,) = plan.published
    assert (series.series, series.counts, series.trade_dates, series.bars) == (
        "ZL.v.0",
        False,
        3,
        3,
    )
    assert [(r.symbols, r.stype_in) for r in plan.requests] == [(("ZL.FUT",), "parent")]


@pytest.mark.full
def test_survey_excludes_days_that_a_job_reports_missing(drive: Path, project: Project) -> None:
    load_hours(
        drive, project,
        ("2025-01-06T00:00:00+00:00", 9), ("2025-01-08T00:00:00+00:00", 9),
    )  # fmt: skip
    now = dt.datetime(2025, 1, 9, tzinfo=dt.UTC)
    before = cover(project, "ZL", "1h", now)
    assert [(r.trade_dates[-1], r.kind) for r in before.ranges] == [
        (date("2025-01-03"), "head"), (date("2025-01-07"), "hole"),
    ]  # fmt: skip
    (drive / JOB / "condition.json").write_text(
        '[{"date": "2025-01-07", "condition": "missing", "last_modified_date": null},'
        ' {"date": "2025-01-03", "condition": "degraded", "last_modified_date": null}]'
    )
    list_again(drive / JOB, "condition.json")
    load_once(project, now=NOW)
    after = cover(project, "ZL", "1h", now)
    assert [(r.trade_dates[-1], r.kind) for r in after.ranges] == [(date("2025-01-03"), "head")]
    assert gaps_of(after)[-1].trade_dates == (date("2025-01-07"),)
    assert gaps_of(after)[-1].source == "the jobs' condition.json"
    with open_session(project, now=now) as session:
        wanted = survey(session, Scope(roots=("ZL",), timeframes=("1h",)))
    (verdict,) = verify(wanted)
    # three gaps of the grains or of CBOT are in sources.yaml
    assert (verdict.published, verdict.gaps, verdict.is_complete) == (2, 4, False)
    assert verdict.wanted == 2 + 4 + verdict.missing
    assert verdict.ranges == ("2010-06-07 to 2025-01-03",)


def test_survey_reports_known_gaps_of_sources_yaml(project: Project) -> None:
    found = cover(project, "ZL", "1h", dt.datetime(2014, 7, 1, tzinfo=dt.UTC))
    assert found.known_gaps == (date("2014-06-11"),)
    assert found.wanted == found.published + len(found.known_gaps) + found.missing


@pytest.mark.parametrize(
    ("root", "gaps"),
    [
        # CBOT: the grains on one more day than YM; CME; NYMEX; COMEX; CME's livestock
        ("ZL", "2014-06-11 2014-10-03 2020-02-28"),
        ("YM", "2014-10-03 2020-02-28"),
        ("ES", "2014-06-12 2014-06-13 2014-09-23 2014-09-24 2014-09-25 2014-12-31"),
        ("CL", "2014-06-13 2014-09-23 2014-09-24 2014-09-25 2020-02-28"),
        ("GC", "2014-06-13 2014-09-23 2014-09-24 2014-09-25 2014-12-31 2020-02-28"),
        ("LE", "2012-02-06 2012-02-07 2012-02-08 2012-02-09 2012-02-10 2014-06-12 2014-06-13 "
               "2014-09-23 2014-09-24 2014-09-25 2014-12-31"),
    ],
)  # fmt: skip
def test_vendor_gaps_follow_exchange_and_calendar(project: Project, root: str, gaps: str) -> None:
    found = project.sources.databento.gaps_of(project.universe.roots[root])
    assert sorted(map(str, found)) == gaps.split()


def test_make_plan_requests_uniform_ranges_if_nothing_is_published(project: Project) -> None:
    with open_session(project, now=dt.datetime(2025, 1, 11, tzinfo=dt.UTC)) as session:
        plan = make_plan(session)
    starts = {r.root: str(r.start) for r in plan.requests}
    later = {"MES": "2019-05-05", "MNQ": "2019-05-05", "M2K": "2019-05-05", "RTY": "2017-07-09"}
    # Cboe's dataset begins on 2018-11-04; VXM was listed for Monday, 2020-08-10
    later |= {"VX": "2018-11-04", "VXM": "2020-08-09"}
    wanted = [name for name, root in project.universe.roots.items() if root.tier < FOUND]
    assert starts == {root: later.get(root, "2010-06-06") for root in wanted}
    assert {str(r.end) for r in plan.requests} == {"2025-01-11"}
    # one request per root and timeframe: 34 in 1d, ZL and MES in 1h, four in 1m
    assert len(plan.requests) == 40
    assert {r.root for r in plan.requests if r.dataset == "XCBF.PITCH"} == {"VX", "VXM"}
    assert {r.dataset for r in plan.requests} == {"GLBX.MDP3", "XCBF.PITCH"}


@pytest.mark.parametrize(
    ("scope", "summary"),
    [
        (
            Scope(roots=("ZN",)),
            "ZN: nothing is planned: its bars are loaded where they are on the drive, but "
            "universe.yaml wants no timeframe of it (tier 5). To plan it, give it timeframes and "
            "another tier.",
        ),
        (
            Scope(roots=("ES",), timeframes=("1h", "1m")),
            "ES: nothing is planned: universe.yaml wants 1d of it only. To plan another, add it "
            "there.",
        ),
    ],
    ids=["found on the drive", "other timeframes"],
)
def test_make_plan_says_why_nothing_of_a_named_root_is_planned(
    project: Project, scope: Scope, summary: str
) -> None:
    with open_session(project, now=NOW) as session:
        plan = make_plan(session, scope)
    assert (plan.requests, summarize(plan)) == ((), summary)


def test_unplanned_lists_named_roots_only() -> None:
    universe = load_universe()
    assert unplanned(universe, Scope()) == []
    scope = Scope(roots=("ZL", "ZN", "ES"), timeframes=("1h",))
    assert [entry.name for entry in unplanned(universe, scope)] == ["ZN", "ES"]


@pytest.mark.full
def test_make_plan_requests_only_the_newest_days_if_asked(drive: Path, project: Project) -> None:
    load_hours(drive, project, ("2025-01-06T00:00:00+00:00", 23))
    now = dt.datetime(2025, 1, 11, tzinfo=dt.UTC)
    with open_session(project, now=now) as session:
        plan = make_plan(session, Scope(newest_only=True))
    assert [(r.root, r.schema, str(r.start), str(r.end)) for r in plan.requests] == [
        ("ZL", "ohlcv-1h", "2025-01-07", "2025-01-11")
    ]
