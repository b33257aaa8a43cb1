"""Loads and unloads give the same books and bars on both warehouses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.ledger.books import books_by_file
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.tables import ALL_TABLES, LEDGER_VERSION, LOAD_COSTS, RAW
from cbi_assets.verbs import build, load, unload
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.fingerprint import fingerprint
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import (
    NAME,
    NOW,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    open_warehouse,
    published,
    put_job,
    query,
)
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

pytestmark = pytest.mark.both_warehouses

HOURLY = RAW["1h"].id


def fill(drive: Path) -> None:
    """ZL: bars 0 to 3, one repeated and one malformed. Then another job: bar 3 again, bar 5, and
    two versions of ZS's bar 0; a record without a symbol; one of a root outside the universe."""
    put_lines(drive, [*(record(n) for n in range(4)), record(0), record(9, volume="-1")])
    clash = [record(0, "ZS.v.0"), record(0, "ZS.v.0", close="11.000000000")]
    others = [record(0, None), record(0, "XX.v.0")]
    put_lines(drive, [record(3), record(5), *clash, *others], job=LATER_JOB)


@pytest.mark.full
@pytest.mark.both_warehouses
def test_load_accounts_for_every_record(project: Project, drive: Path) -> None:
    fill(drive)
    outcome = load_once(project)
    assert outcome.published == 6
    assert outcome.unresolved == 1
    with open_warehouse(project) as warehouse:
        books = books_by_file(warehouse).drop("path", "source_file_id", "schema").to_dicts()
    columns = ("records", "published", "duplicates", "quarantined", "conflicts",
               "outside_universe", "difference")  # fmt: skip
    by_job = {book["job_id"]: tuple(book[name] for name in columns) for book in books}
    assert by_job[LATER_JOB] == (6, 2, 1, 1, 1, 1, 0)
    assert sorted(by_job.values())[1] == (6, 4, 1, 1, 0, 0, 0)
    aside = query(project, "SELECT reason, record FROM `ops.quarantined_bars` ORDER BY record_no")
    assert {json.loads(text)["volume"] for text in aside["record"]} == {"-1", "5"}
    (conflict,) = query(project, "SELECT * FROM `ops.bar_conflicts`").to_dicts()
    assert (conflict["version"]["close"], conflict["published"]["close"]) == (11.0, 12.0)
    assert (outcome.cost is None) == (project.settings.cbi_warehouse == "duckdb")
    costs = query(project, f"SELECT load_id FROM `{LOAD_COSTS.id}`")["load_id"].to_list()
    assert costs == ([] if outcome.cost is None else [outcome.load_id])

    again = load_once(project)
    assert (again.published, again.load_id) == (0, None)


@pytest.mark.full
def test_published_bars_equal_the_source(project: Project, drive: Path) -> None:
    records = bars(30)
    put_job(drive, {f"{NAME}.ohlcv-1h.dbn.zst": dbn_file(records)})
    load_once(project)
    assert published(project) == expected_rows(records)


@pytest.mark.full
def test_unload_reopens_and_a_reload_restores_the_bars(project: Project, drive: Path) -> None:
    fill(drive)
    load_once(project)
    before = fingerprints(project)
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        plan = plan_unload(session, "job", "GLBX-20250110-AAAAAAAAAA")
        outcome = unload(session, plan)
        assert (outcome.removed, outcome.reopened) == (4, 1)
        assert set(books_by_file(warehouse)["difference"]) <= {0}
    left = query(project, f"SELECT symbol, COUNT(*) AS n FROM `{HOURLY}` GROUP BY symbol")
    assert dict(left.iter_rows()) == {"ZL.v.0": 1, "ZS.v.0": 1}
    load_once(project)
    assert fingerprints(project) == before


def fingerprints(project: Project) -> dict[str, Any]:
    """Fingerprint every table without times, load IDs, hashes that include them, and SQL that is in
    each warehouse's own dialect."""
    leave_out = ("load_id", "loaded_at", "checked_at", "ledger", "content", "sql")
    per_run = (LOAD_COSTS, LEDGER_VERSION)
    with open_warehouse(project) as warehouse:
        return {
            spec.id: fingerprint(warehouse, spec, leave_out=leave_out)
            for spec in ALL_TABLES
            if spec not in per_run
        }


@pytest.mark.full
def test_both_warehouses_end_with_the_same_content(
    project: Project, make_project: MakeProject, drive: Path
) -> None:
    fill(drive)
    embedded = make_project("embedded", cbi_warehouse="duckdb")
    found = []
    for each in (project, embedded):
        load_once(each)
        with open_session(each, now=NOW) as session:
            build(session)
        found.append(fingerprints(each))
    assert found[0] == found[1]
    assert sum(part.rows for part in found[0][HOURLY].values()) == 6


def test_second_publication_from_the_same_version_is_refused(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from cbi_assets.load import load as loading

    put_lines(drive, [record(0), record(1)])
    find = loading.find_overlaps
    raised = False

    def interfere(warehouse: Warehouse, *args: Any) -> Any:
        nonlocal raised
        if not raised:
            raised = True
            warehouse.transact(
                [Statement("UPDATE `ops.ledger_version` SET version = version + 1 WHERE TRUE")]
            )
        return find(warehouse, *args)

    monkeypatch.setattr(loading, "find_overlaps", interfere)
    with open_session(project, now=NOW) as session:
        outcome = load(session)
    assert outcome.published == 2
    assert "another load published first; auditing again (attempt 2 of 3)" in caplog.messages
    assert query(project, "SELECT version FROM `ops.ledger_version`").item() == 2
