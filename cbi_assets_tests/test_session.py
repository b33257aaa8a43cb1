"""A session refuses a clock that cannot be right, and works in a home of any name it accepts."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pydantic import ValidationError

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import open_session
from cbi_assets.verbs import build, check, load, unload
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import JOB, NOW, load_once, query
from cbi_assets_tests.load.lines import put_lines, record


def test_session_raises_if_the_clock_is_before_databentos_first_day(
    make_project: MakeProject,
) -> None:
    project = make_project()
    late = dt.datetime(1999, 12, 31, tzinfo=dt.UTC)
    with (
        pytest.raises(UsageError, match=r"^the clock: 1999-12-31 00:00:00 UTC .* Set this machine"),
        open_session(project, now=late),
    ):
        raise AssertionError
    assert not project.home.lock.exists()


def test_verbs_raise_if_the_clock_is_behind_the_newest_load(
    make_project: MakeProject, drive: Path
) -> None:
    project = make_project()
    put_lines(drive, [record(0)])
    load_once(project)
    late = NOW - dt.timedelta(minutes=6)
    for verb in (load, build, check):
        with (
            open_session(project, now=late) as session,
            pytest.raises(UsageError, match=r"^the clock: 2025-01-10 11:54:00 UTC, but the newest"),
        ):
            verb(session)
    with open_session(project, now=late) as session:  # the way out, if the load's date is wrong
        unload(session, plan_unload(session, "job", JOB))
    assert load_once(project, now=late).published == 1


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["a[1]", "[!x]", "a]b", "it's", 'a"b', "a=b", "a#b {c}; $d"])
def test_home_of_an_odd_name_is_loaded_and_read(
    name: str, make_project: MakeProject, drive: Path, tmp_path: Path
) -> None:
    project = make_project(name)
    put_lines(drive, [record(0), record(1)])
    assert load_once(project).published == 2
    assert query(project, "SELECT path FROM `ops.source_files`").height == 1
    assert project.home.warehouse.is_relative_to(tmp_path / name)


@pytest.mark.parametrize("name", ["a?b", "a*b", "a%20b", "a\\b", "a\nb"])
def test_home_raises_for_a_name_that_a_database_cannot_open(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"its path contains '.{1,2}', which the databases"):
        Settings(_env_file=None, cbi_home=tmp_path / name)  # type: ignore[call-arg]
