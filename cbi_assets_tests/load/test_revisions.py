"""A later version of published days is shown bar by bar, and replaces them once accepted."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

import pytest

from cbi_assets.alerts import collect
from cbi_assets.cli import main
from cbi_assets.downloads.wanted import Scope, survey
from cbi_assets.errors import UsageError
from cbi_assets.load.load import inventory
from cbi_assets.load.revisions import Revision, find_revision
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import accept_revision
from cbi_assets_tests.helpers import JOB, NOW, load_once, query, run_check, table
from cbi_assets_tests.load.lines import LATER_JOB, put_condition, put_lines, record

FIRST = dt.datetime(2025, 1, 6, 15, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def put_both(drive: Path) -> None:
    """Monday's bars 0 to 3 and Tuesday's 24 of ZL; then Monday modified: 1 changed, 2 gone, 4 new.

    Tuesday is in both jobs, equal and not modified.
    """
    put_lines(drive, [record(n) for n in (0, 1, 2, 3, 24)])
    put_condition(
        drive, JOB, ("2025-01-06", "available", "2025-01-07"),
        ("2025-01-07", "available", "2025-01-08"),
    )  # fmt: skip
    later = [record(0), record(1, close="11.000000000"), record(3), record(4), record(24)]
    put_lines(drive, later, job=LATER_JOB)
    put_condition(
        drive, LATER_JOB, ("2025-01-06", "available", "2025-01-11"),
        ("2025-01-07", "available", "2025-01-08"),
    )  # fmt: skip


def load_both(project: Project, drive: Path) -> Revision:
    """Load both jobs, and return what the later one would replace."""
    put_both(drive)
    load_once(project)
    with open_session(project, now=NOW) as session:
        revision = find_revision(session, inventory(session), LATER_JOB)
    assert revision is not None
    return revision


def closes(project: Project) -> dict[int, float]:
    rows = table(project).select("ts_event", "close").iter_rows()
    return {(start - FIRST) // HOUR: close for start, close in rows}


@pytest.mark.both_warehouses(quick=True)
def test_revision_lists_its_differences_and_changes_nothing(drive: Path, project: Project) -> None:
    revision = load_both(project, drive)
    assert revision.days == (dt.date(2025, 1, 6),)
    assert [
        (r["difference"], (r["ts_event"] - FIRST) // HOUR, r["old_close"], r["new_close"])
        for r in revision.differences.iter_rows(named=True)
    ] == [("changed", 1, 12.0, 11.0), ("removed", 2, 12.0, None), ("added", 4, None, 12.0)]
    assert revision.summary == "1 added, 1 changed, 1 removed, 2025-01-06"
    assert closes(project) == {0: 12, 1: 12, 2: 12, 3: 12, 4: 12, 24: 12}


@pytest.mark.both_warehouses
def test_accepted_version_replaces_published_bars_on_record(drive: Path, project: Project) -> None:
    revision = load_both(project, drive)
    with open_session(project, now=NOW) as session:
        accept_revision(session, revision, by="Ada", why="the vendor's notice")
    after = {0: 12, 1: 11, 3: 12, 4: 12, 24: 12}
    assert closes(project) == after
    kept = query(project, "SELECT record, reason FROM `ops.quarantined_bars` ORDER BY record_no")
    assert kept["reason"].to_list() == [f"superseded by job {LATER_JOB}"] * 4
    assert query(project, "SELECT * FROM `ops.bar_conflicts`").is_empty()
    with open_session(project, now=NOW) as session:
        assert "decision:ops.quarantined_bars" not in {event.key for event in collect(session)}
    (row,) = query(project, "SELECT * FROM `ops.acceptances`").to_dicts()
    assert (row["job_id"], row["accepted_by"], row["overruled"]) == (
        LATER_JOB, "Ada", revision.summary,
    )  # fmt: skip
    books = query(
        project,
        "SELECT job_id, records, published, duplicates, quarantined, conflicts FROM `ops.loads` "
        "ORDER BY job_id",
    )
    assert books.rows() == [(JOB, 5, 1, 0, 4, 0), (LATER_JOB, 5, 4, 1, 0, 0)]
    with open_session(project, now=NOW) as session:
        for name in ("row_count_matches_files", "no_overlapping_loads_disagree", "days_are_final"):
            (result,) = run_check(session, name, ["ZL"], "1h")
            assert result.passed, name
        (found,) = survey(session, Scope(("ZL",), ("1h",))).coverages
        assert found.modified == ()
    # neither another load nor an audit from the start brings the old version back
    load_once(project)
    assert closes(project) == after


@pytest.mark.full
def test_cli_shows_the_difference_and_replaces_the_bars(
    drive: Path,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def cbi(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cbi", "accept", "--job", LATER_JOB, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    for name, value in project.settings.environment().items():
        monkeypatch.setenv(name, value)
    put_both(drive)
    load_once(project)
    status, _, shown = cbi("--show")
    assert status == 0
    assert all(word in shown for word in ("changed", "removed", "added", "2025-01-06"))
    assert cbi("--by", "Ada")[0] == 2  # why?
    assert closes(project)[1] == 12
    status, out, _ = cbi("--by", "Ada", "--why", "the vendor's notice", "--json")
    assert (status, len(json.loads(out)["differences"])) == (0, 3)
    assert closes(project) == {0: 12, 1: 11, 3: 12, 4: 12, 24: 12}
    assert cbi("--show")[0] == 2  # nothing is left to replace


def test_no_version_is_found_for_a_job_without_later_days(drive: Path, project: Project) -> None:
    put_both(drive)
    load_once(project)
    with open_session(project, now=NOW) as session:
        found = inventory(session)
        assert find_revision(session, found, JOB) is None
        assert find_revision(session, found, "GLBX-20250110-ZZZZZZZZZZ") is None


def test_accept_refuses_without_name_or_the_old_file(drive: Path, project: Project) -> None:
    put_both(drive)
    load_once(project)
    with open_session(project, now=NOW) as session:
        revision = find_revision(session, inventory(session), LATER_JOB)
        assert revision is not None
        with pytest.raises(UsageError, match="a reason is needed"):
            accept_revision(session, revision, by="Ada", why=" ")
    (drive / JOB / "a.json").unlink()
    with open_session(project, now=NOW) as session, pytest.raises(UsageError, match="on the drive"):
        find_revision(session, inventory(session), LATER_JOB)
    assert len(closes(project)) == 6
    assert query(project, "SELECT * FROM `ops.acceptances`").is_empty()
