"""The audit reports every kind of problem, in all three documents, with the same figures."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.wanted import Scope
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DAILY_ML_MATRIX
from cbi_assets.verbs import build, load_staging
from cbi_assets_tests.helpers import JOB, NAME, NOW, bars, dbn_file, load_once, put_job
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.report.read_documents import Node, html_tables, markdown_tables, read_html

LATER = NOW + dt.timedelta(hours=1)
WRONG_JOB = "GLBX-20250111-BBBBBBBBBB"
MISNAMED = "glbx-mdp3-20250106.ohlcv-1m.json"
ABSENT = "glbx-mdp3-20250109.ohlcv-1h.dbn.zst"
RAW_1H = "market_data.databento_futures_ohlcv_1h"


@dataclass
class Documents:
    """An audit's three documents, read back."""

    audit: Audit
    json: dict[str, Any]
    html: Node
    markdown: str

    @property
    def html_tables(self) -> dict[str, list[dict[str, str]]]:
        return html_tables(self.html)


def audit(project: Project, now: dt.datetime = NOW, out: Path | None = None) -> Documents:
    with open_session(project, now=now) as session:
        found = take_audit(session)
    written = write_audit(project.home, found, out)
    return Documents(
        written.audit,
        json.loads(written.json.read_text()),
        read_html(written.html.read_text()),
        written.markdown.read_text(),
    )


def raw(drive: Path, name: str) -> Path:
    folder = drive / "TrainingData" / "raw" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def put_problems(drive: Path) -> None:
    """Make a drive with each kind of problem.

    databento_zl: six valid ZL bars from 2025-01-06 15:00; the manifest lists a missing file.
    databento_zs: ZL bars too, 1h in a file named 1m: one that conflicts with the first of those,
    one valid, one with a negative volume. databento_es: a file whose bytes were changed. staging:
    daily ZL prices without a source.
    """
    valid = dbn_file(bars(6))
    put_job(raw(drive, "databento_zl"), {f"{NAME}.ohlcv-1h.dbn.zst": valid, ABSENT: valid})
    (raw(drive, "databento_zl") / JOB / ABSENT).unlink()
    lines = [record(0), record(7), record(8, volume="-1")]
    put_lines(raw(drive, "databento_zs"), lines, MISNAMED, WRONG_JOB)
    damaged = put_job(
        raw(drive, "databento_es"),
        {f"{NAME}.ohlcv-1h.dbn.zst": dbn_file(bars(3, "ES.v.0"))},
        "GLBX-20250112-CCCCCCCCCC",
    )
    file = damaged / f"{NAME}.ohlcv-1h.dbn.zst"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    staging = drive / "TrainingData" / "staging"
    staging.mkdir()
    prices = {f"zl_{name}": [45.0] for name in ("open", "high", "low", "close")}
    frame = pl.DataFrame({"date": [dt.date(2025, 1, 6)], **prices, "zl_volume": [5]})
    frame.write_parquet(staging / "zl_daily_aggregated.parquet")


def load_all(project: Project, now: dt.datetime = NOW) -> None:
    load_once(project, now=now)
    with open_session(project, now=now) as session:
        load_staging(session)


@pytest.fixture
def troubled(project: Project, drive: Path) -> Project:
    put_problems(drive)
    load_all(project)
    return project


@pytest.mark.full
@pytest.mark.both_warehouses
def test_audit_reports_every_problem_in_json_and_on_the_page(project: Project, drive: Path) -> None:
    put_problems(drive)
    load_all(project)
    found = audit(project)
    assert found.json["sound"] is False

    troubles = {(t["kind"], t["path"].rpartition("/")[2]) for t in found.json["drive"]["troubles"]}
    assert troubles == {
        ("missing", ABSENT),
        ("misnamed", MISNAMED),
        ("refused", f"{NAME}.ohlcv-1h.dbn.zst"),
    }
    shown = found.html_tables["Files with problems"]
    assert {(row["problem"], row["file"].rpartition("/")[2]) for row in shown} == troubles

    claims: dict[str, list[str]] = {
        row["folder"].split("/")[-2]: [] for row in found.html_tables[
            "Where a folder's name and its content differ"]
    }  # fmt: skip
    for row in found.html_tables["Where a folder's name and its content differ"]:
        claims[row["folder"].split("/")[-2]].append(row["what differs"])
    assert claims["databento_zs"] == [
        "1 of 1 files are named ohlcv-1m and contain ohlcv-1h",
        "contains ZL, which its name does not mention",
        "contains no bar of ZS",
        "no manifest.json: sizes and hashes cannot be verified",
    ]

    books = {row["job"]: row for row in found.json["books"]}
    assert [books[JOB][n] for n in ("records", "published", "conflicts")] == [6, 6, 0]
    names = ("records", "published", "duplicates", "quarantined", "conflicts", "difference")
    assert [books[WRONG_JOB][name] for name in names] == [3, 1, 0, 1, 1, 0]
    page = {row["job"]: row for row in found.html_tables["The books, job by job"]}
    assert (page[WRONG_JOB]["quarantined"], page[WRONG_JOB]["in conflict"]) == ("1", "1")
    assert page["all jobs"]["records read"] == "9"

    (blocked,) = found.json["staging"]
    assert (blocked["path"], blocked["verdict"]) == ("zl_daily_aggregated.parquet", "blocked")
    (row,) = found.html_tables["Staging files and the sources in them"]
    assert (row["source inside"], row["verdict"]) == ("none named", "blocked")
    assert "prices come from Databento alone" in row["reason"]

    failed = [(c["name"], c["table"]) for c in found.json["checks"] if c["state"] == "fails"]
    assert failed == [("no_overlapping_loads_disagree", RAW_1H)]
    incidents = [n for n in found.html.all("details") if n.attributes.get("class") == "fold"]
    fails = [node for node in incidents if node.all("span")[0].text() == "fails"]
    assert [node.attributes["id"] for node in fails] == [
        "incident-databento_futures_ohlcv_1h-no_overlapping_loads_disagree"
    ]
    (row,) = found.html_tables[f"Expected and found: {failed[0][0]} on {RAW_1H}"]
    assert (row["where"], row["actual"]) == ("ZL|1h", "1 conflicting bar")
    (offender,) = found.html_tables[f"Offenders: {failed[0][0]} on {RAW_1H}"]
    assert (offender["where"], offender["symbol"]) == ("ZL|1h", "ZL.v.0")
    (incident,) = [i for i in found.json["incidents"] if i["state"] == "fails"]
    assert (incident["since"], incident["last_passed"]) == (str(NOW), None)

    decisions = {d["kind"]: d for d in found.json["decisions"]}
    assert set(decisions) == {"conflict", "quarantine", "file"}
    rows = found.html_tables["Needs action"]
    assert [row["kind"] for row in rows] == [d["kind"] for d in found.json["decisions"]]
    file_id = next(row["command"] for row in rows if row["kind"] == "conflict").split()[-1]
    assert decisions["conflict"]["command"] == f"cbi unload --file {file_id}"
    assert found.json["next_step"]["command"] == decisions["conflict"]["command"]

    verdict = "FAIL: 1 check result failed; 2 records quarantined or in conflict; 2 files missing"
    assert verdict in found.html.text()
    assert f"**{verdict}" in found.markdown


@pytest.mark.full
def test_audit_reports_renamed_and_removed_files(troubled: Project, drive: Path) -> None:
    wrong = raw(drive, "databento_zs") / WRONG_JOB / MISNAMED
    wrong.rename(wrong.with_name("other.json"))
    (raw(drive, "databento_zl") / JOB / f"{NAME}.ohlcv-1h.dbn.zst").unlink()
    found = audit(troubled)
    troubles = {t["kind"]: t for t in found.json["drive"]["troubles"] if t["kind"] != "missing"}
    assert troubles["renamed"]["path"].endswith(f"{WRONG_JOB}/other.json")
    assert troubles["renamed"]["why"].endswith(MISNAMED)
    assert troubles["gone"]["path"].endswith(f"{JOB}/{NAME}.ohlcv-1h.dbn.zst")
    # the manifest lists both files of the job now, and the job's bars are still there
    missing = [t for t in found.json["drive"]["troubles"] if t["kind"] == "missing"]
    assert len(missing) == 2
    assert found.audit.rows_of(RAW_1H) == 7


@pytest.mark.full
def test_figures_are_equal_in_all_three_documents(troubled: Project) -> None:
    with open_session(troubled, now=NOW) as session:
        verbs.check(session)
    found = audit(troubled)
    shown = found.html_tables
    reference = {name: rows for name, rows in shown.items() if name.startswith("Columns of ")}
    assert f"Columns of {DAILY_ML_MATRIX.id}" in reference
    assert markdown_tables(found.markdown) == {
        name: rows for name, rows in shown.items() if name not in reference
    }
    rows = {row["table"]: row["rows"] for row in shown["Tables with rows"]}
    assert rows == {t["id"]: f"{t['rows']:,}" for t in found.json["tables"] if t["rows"]}
    # 6 + 1 bars: the table, its partitions, the books and the headline
    assert rows[RAW_1H] == "7"
    assert [(p["root"], p["rows"]) for p in found.json["partitions"]] == [("ZL", 7)]
    (anonymous,) = shown["Continuous bars whose contract is unknown"]
    assert (anonymous["anonymous"], anonymous["named by a job of"]) == ("7", "ZL.FUT")
    assert anonymous["or by"] == "cbi resolve --symbol ZL"
    assert sum(row["published"] for row in found.json["books"]) == 7
    facts = found.html.all("dl")[0]
    names = [node.text() for node in facts.all("dt")]
    values = dict(zip(names, (node.text() for node in facts.all("dd")), strict=True))
    assert values["bars in the raw tables"] == "7"
    assert values["check results that fail"] == "1"
    missing = sum(need["missing"] for need in found.json["needs"])
    assert values["trade dates wanted and missing"] == f"{missing:,}"
    assert "- trade dates wanted and missing: **" + f"{missing:,}**" in found.markdown
    for need in found.json["needs"]:
        assert need["wanted"] == need["published"] + need["gaps"] + need["missing"]
    with open_session(troubled, now=NOW) as session:
        plan = make_plan(session, Scope(roots=("ZL",), timeframes=("1m",)))
    (need,) = (n for n in found.json["needs"] if (n["root"], n["timeframe"]) == ("ZL", "1m"))
    assert need["about_usd"] == plan.cost_usd > 0
    (row,) = (r for r in shown["What the universe needs and the tables have"]
              if (r["root"], r["timeframe"]) == ("ZL", "1m"))  # fmt: skip
    assert row["about, USD"] == f"{plan.cost_usd:,.2f}"
    loads = sum(load["published"] for load in found.json["loads"] if load["timeframe"])
    assert loads == 7


@pytest.mark.full
@pytest.mark.both_warehouses
def test_audit_of_empty_home_passes(project: Project) -> None:
    found = audit(project)
    assert found.json["sound"] is True
    assert "Nothing is loaded yet." in found.html.text()
    assert {t["rows"] for t in found.json["tables"] if t["id"] != "ops.ledger_version"} == {0}
    assert found.json["next_step"]["command"] == "cbi plan"
    assert {c["state"] for c in found.json["checks"]} == {"not run"}
    assert all(need["published"] == 0 for need in found.json["needs"])


@pytest.mark.full
def test_audit_without_drive_shows_the_last_scan(make_project: Any, drive: Path) -> None:
    unset = audit(make_project("unset", cbi_drive=None))
    assert unset.json["drive"]["path"] is None
    assert unset.json["next_step"]["command"] == "cbi config --check"
    project = make_project()
    put_lines(drive, [record(0)])
    load_once(project)
    drive.rename(drive.with_name("elsewhere"))
    gone = audit(project)
    assert gone.json["drive"]["mounted"] is False
    assert gone.json["drive"]["troubles"] == []
    assert gone.json["drive"]["bar_files"] == 1
    assert "is not mounted: this is its state when it was last read" in gone.html.text()
    loading = next(c for c in gone.json["checklists"] if c["before"] == "load")
    items = {item["text"]: item["ok"] for item in loading["items"]}
    assert items["The drive is mounted"] is False
    assert items["Every bar file was read completely"] is None


@pytest.mark.full
def test_next_step_is_load_build_check_plan_in_turn(project: Project, drive: Path) -> None:
    # MES ends with the evening before 7 January, which no build makes a session of
    evening = [record(n, "MES.v.0") for n in (0, 8)]
    put_lines(drive, [*(record(n) for n in range(4)), *evening])
    found = audit(project)
    assert (found.audit.drive.waiting_files, found.audit.drive.waiting_records) == (1, 6)
    assert found.audit.lights.next.command == "cbi load"
    load_once(project)
    assert audit(project).audit.lights.next.command == "cbi build"
    with open_session(project, now=NOW) as session:
        build(session)
    assert audit(project).audit.lights.next.command == "cbi check"
    with open_session(project, now=NOW) as session:
        verbs.check(session)
    assert audit(project).audit.lights.next.command == "cbi plan"


@pytest.mark.full
def test_history_counts_results_after_each_run(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    put_lines(drive, [record(0, close="11.000000000")], "b.json", WRONG_JOB)
    load_once(project, now=LATER)
    found = audit(project, LATER)
    # twelve checks of one partition a load; fresh and uniform warn of a root wanted since 2010
    moments = [(m["at"], m["partitions"], m["failed"]) for m in found.json["history"]]
    assert moments == [(str(NOW), 12, 0), (str(LATER), 12, 1)]
    figures = [node.attributes["id"] for node in found.html.all("h3") if "id" in node.attributes]
    assert "history-title" in figures
    stale = {c["name"]: c["stale"] for c in found.json["checks"] if c["table"] == RAW_1H}
    assert stale["no_duplicate_bars"] is False


@pytest.mark.full
def test_conflicting_observations_need_action(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0)])
    staging = drive / "TrainingData" / "staging"
    staging.mkdir(parents=True)
    moment = dt.datetime(2025, 1, 2, tzinfo=dt.UTC)
    frame = {
        "time": [moment, moment],
        "indicator": ["ten_year_treasury"] * 2,
        "value": [4.5, 4.6],
        "source_name": ["FRED"] * 2,
    }
    pl.DataFrame(frame).write_parquet(staging / "macro.parquet")
    waiting = audit(project)
    assert waiting.audit.staging.select("path", "verdict").rows() == [("macro.parquet", "waiting")]
    load_all(project)
    found = audit(project)
    (decision,) = found.json["decisions"]
    assert (decision["kind"], decision["count"]) == ("staging conflict", 2)
    (staging / "macro.parquet").unlink()
    assert audit(project).audit.staging["present"].to_list() == [False]
