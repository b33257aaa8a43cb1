"""An audit lists what changed since an earlier one, of which the home keeps the newest."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from cbi_assets.errors import UsageError
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import NOW, load_once
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.report.test_audit import LATER, RAW_1H, WRONG_JOB, audit, load_all


@pytest.mark.full
def test_audit_lists_changes_since_the_previous_one(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    first = audit(project)
    assert first.json["since"]["previous"] is None
    assert "This is the first audit of this home" in first.html.text()

    again = audit(project, LATER)
    assert again.json["since"] == {"previous": str(NOW), "changes": [], "note": ""}
    assert "Nothing changed." in again.html.text()

    put_lines(drive, [record(0, close="11.000000000"), record(2)], "b.json", WRONG_JOB)
    load_once(project, now=LATER)
    third = audit(project, LATER + dt.timedelta(hours=1))
    changes = {
        (c["kind"], c["what"]): (c["before"], c["after"]) for c in third.json["since"]["changes"]
    }
    assert changes["rows", RAW_1H] == ("2", "3")
    assert changes["rows", "ZL|1h"] == ("2", "3")
    assert changes["rows", "ops.bar_conflicts"] == ("0", "1")
    assert changes["files", WRONG_JOB] == (None, "1 file")
    check = f"no_overlapping_loads_disagree on {RAW_1H}"
    assert changes["checks", check] == ("passes", "fails on 1 of 1")
    assert [kind for kind, _ in changes if kind == "decisions"]
    shown = third.html_tables["What changed"]
    assert {(row["kind"], row["what"]) for row in shown} == set(changes)
    sections = [node.attributes["id"] for node in third.html.all("section")]
    assert sections[:2] == ["next", "since"]


@pytest.mark.full
def test_audit_compares_with_one_of_format_1(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1, volume="-1")])
    load_once(project)
    audit(project)
    (kept,) = (project.home.root / "audit").glob("*.json")
    earlier = json.loads(kept.read_text()) | {"format": 1}
    checks = earlier["figures"]["checks"]
    assert "passes" in checks.values()
    for name, state in checks.items():
        checks[name] = "holds" if state == "passes" else state
    earlier["figures"]["decisions"] = {"1 record set aside": "1"}
    earlier["figures"]["rows"][RAW_1H] = "0"
    kept.write_text(json.dumps(earlier))
    changes = audit(project, LATER).json["since"]["changes"]
    assert changes == [{"kind": "rows", "what": RAW_1H, "before": "0", "after": "1"}]


@pytest.mark.full
def test_unreadable_previous_audit_is_reported_and_ignored(project: Project) -> None:
    audit(project)
    (kept,) = (project.home.root / "audit").glob("*.json")
    for spoiled, why in (("{", "it is not an audit's JSON"), ('{"format": 0}', "another format")):
        kept.write_text(spoiled)
        found = audit(project)
        assert found.json["since"]["previous"] is None
        assert why in found.json["since"]["note"]
        assert why in found.html.text()


@pytest.mark.full
def test_home_keeps_the_newest_audits_and_compares_with_the_last(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbi_assets.report.write.KEPT", 2)
    for hours in range(4):
        found = audit(project, NOW + dt.timedelta(hours=hours))
    names = sorted(path.stem for path in (project.home.root / "audit").glob("*.json"))
    assert names == ["20250110T140000000000", "20250110T150000000000"]
    assert found.json["since"]["previous"] == str(NOW + dt.timedelta(hours=2))


@pytest.mark.full
def test_since_compares_with_the_last_audit_of_that_date_or_before(
    project: Project, drive: Path
) -> None:
    friday, monday = dt.date(2025, 1, 10), NOW + dt.timedelta(days=3)
    audit(project, NOW)
    audit(project, NOW + dt.timedelta(hours=2))
    put_lines(drive, [record(0)])
    load_all(project)
    audit(project, monday)
    with open_session(project, now=monday + dt.timedelta(hours=1)) as session:
        taken = take_audit(session)
    since = write_audit(project.home, taken, since=friday).audit.since
    assert since.previous == NOW + dt.timedelta(hours=2)
    changes = {(one.what, one.before, one.after) for one in since.changes}
    assert ("ZL|1h", None, "1") in changes
    with pytest.raises(UsageError, match="the first one kept is of 2025-01-10"):
        write_audit(project.home, taken, since=friday - dt.timedelta(days=1))
