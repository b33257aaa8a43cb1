"""What is remembered of the wanted dates is what comparing finds, whatever has changed since."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets import verbs
from cbi_assets.checks.slices import SLICES
from cbi_assets.downloads import wanted_memory
from cbi_assets.downloads.wanted import Wanted, survey
from cbi_assets.downloads.wanted_memory import READS, survey_unless_known
from cbi_assets.drive.conditions import DayCondition
from cbi_assets.ledger.vendor_days import FETCHES, date_of_job, series_days, version_of
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, Session, open_session
from cbi_assets_tests.helpers import JOB, NOW, load_once
from cbi_assets_tests.load.lines import LATER_JOB, put_condition, put_lines, record

FOUR_DAYS = [record(n) for n in (0, 24, 48, 72)]
"""A bar of ZL at 15:00 UTC of 6 to 9 January 2025; the clock is on the 10th."""


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What was compared, and not remembered."""
    found: list[Wanted] = []

    def comparing(session: Session) -> Wanted:
        found.append(survey(session))
        return found[-1]

    monkeypatch.setattr(wanted_memory, "survey", comparing)
    return found


def check(project: Project, compared: list[Wanted], *, now: dt.datetime = NOW) -> int:
    """Check that two commands get what comparing returns; return how many of them compared."""
    before = len(compared)
    for _ in range(2):
        with open_session(project, now=now) as session:
            assert survey_unless_known(session) == survey(session)
    return len(compared) - before


def test_wanted_is_compared_again_only_if_something_it_depends_on_has_changed(
    drive: Path, project: Project, compared: list[Wanted]
) -> None:
    assert check(project, compared) == 1
    assert check(project, compared, now=NOW + dt.timedelta(hours=1)) == 0
    file_id = put_lines(drive, FOUR_DAYS[:3])
    load_once(project)
    assert check(project, compared) == 1
    put_condition(drive, JOB, ("2025-01-08", "pending", None))
    load_once(project)
    assert check(project, compared) == 1
    put_lines(drive, FOUR_DAYS[2:], job=LATER_JOB)
    load_once(project)
    assert check(project, compared) == 1
    load_once(project)  # nothing new
    with open_session(project, now=NOW) as session:
        verbs.build(session)
        verbs.check(session, full=True)
        assert session.warehouse.query("SELECT DISTINCT table_id FROM ops.check_slices").height > 1
    assert check(project, compared) == 0
    assert check(project, compared, now=NOW + dt.timedelta(days=4)) == 1
    assert check(project, compared) == 1
    with open_session(project, now=NOW) as session:
        verbs.unload(session, plan_unload(session, "file", file_id))
    assert check(project, compared) == 1
    universe = project.universe
    fewer = {root: spec for root, spec in universe.roots.items() if root != "ZL"}
    project = replace(project, universe=universe.model_copy(update={"roots": fewer}))
    assert check(project, compared) == 1


@pytest.mark.parametrize("content", ["", "a", "head\nbody", b"\xff\n{}"])
def test_wanted_is_compared_again_if_what_was_remembered_is_damaged(
    drive: Path, project: Project, compared: list[Wanted], content: str | bytes
) -> None:
    check(project, compared)
    path = project.home.wanted
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert check(project, compared) == 1
    path.write_text(path.read_text().replace('"missing', '"other').replace("2025", "2024"))
    assert check(project, compared) == 1


def test_survey_reads_what_its_memory_depends_on(
    drive: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lines(drive, FOUR_DAYS)
    load_once(project)
    with open_session(project, now=NOW) as session:
        asked: list[str] = []
        query = session.warehouse.query

        def recording(sql: str, params: Any = None) -> pl.DataFrame:
            asked.append(sql)
            return query(sql, params)

        monkeypatch.setattr(session.warehouse, "query", recording)
        survey(session)
    assert {FETCHES.sql, SLICES.sql} <= set(asked) <= {statement.sql for statement in READS}


DAYS = [dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in range(8)]
JOBS = [
    f"GLBX-{rest}" for rest in ("20250103-AAAAAAAAAA", "20250105-BBBBBBBBBB", "20250105-CCCCCCCCCC")
]
conditions_of = st.dictionaries(
    st.sampled_from(DAYS),
    st.builds(
        DayCondition,
        st.just(DAYS[0]),
        st.sampled_from(["available", "degraded", "pending"]),
        st.none() | st.sampled_from(DAYS),
    ),
)
files = st.tuples(
    st.sampled_from(["file 1", "file 2", "file 3", "file 4", "file 5"]),
    st.sampled_from([*JOBS, None]),
    st.integers(0, 7),
    st.integers(0, 3),
    st.lists(st.sampled_from(["ZL.v.0", "ZL.c.0", "ZLH5", "ES.v.0"]), unique=True),
)


@given(
    st.lists(files, max_size=8),
    st.dictionaries(st.sampled_from(JOBS), conditions_of),
    st.lists(st.tuples(st.sampled_from(["file 1", "file 2"]), st.sampled_from(JOBS)), max_size=4),
)
def test_series_days_are_of_the_newest_fetch_of_each_day(
    loaded: list[tuple[str, str | None, int, int, list[str]]],
    conditions: dict[str, dict[dt.date, DayCondition]],
    delivered: list[tuple[str, str]],
) -> None:
    rows = [
        ("1h", "ZL", file_id, job, DAYS[first], DAYS[min(first + length, 7)], symbols)
        for file_id, job, first, length, symbols in loaded
    ]
    names = ("timeframe", "root", "source_file_id", "job_id", "first_day", "last_day", "symbols")
    kinds = (*[pl.String()] * 4, pl.Date(), pl.Date(), pl.List(pl.String()))
    frame = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
    paths = [(file_id, f"{job}/x.json") for file_id, job in delivered]
    catalog = SimpleNamespace(paths_by_id=lambda: paths)
    session = cast(Session, SimpleNamespace(catalog=catalog))
    found = series_days(session, frame, "1h", conditions)

    versions: dict[tuple[str, dt.date], set[dt.date]] = defaultdict(set)
    for _, _, file_id, job, first, last, symbols in rows:
        jobs = {own for own in (job, *(j for f, j in delivered if f == file_id)) if own}
        for day in (d for d in DAYS if first <= d <= last):
            for symbol in symbols:
                series = {"ZLH5": "outright", "ES.v.0": ""}.get(symbol, symbol)
                for each in jobs or {None}:
                    stated = conditions.get(each or "", {}).get(day)
                    versions[series, day].add(version_of(stated, date_of_job(each)))
    as_of = {(s, day): date for (_, s), days in found.items() for day, date in days.as_of.items()}
    assert as_of == {key: max(dates) for key, dates in versions.items() if key[0]}
