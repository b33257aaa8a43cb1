"""Databento's symbology API names anonymous continuous bars, if a person asks, and once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cbi_assets import verbs
from cbi_assets.databento_api.symbology import resolve_ids
from cbi_assets.errors import HomeError, ServiceError
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.resolve import Resolved
from cbi_assets.load.symbology_answers import Answer, read_answers
from cbi_assets.session import Project, open_session
from cbi_assets.tables import INSTRUMENT_CONFLICTS, INSTRUMENTS, SYMBOLOGY_REQUESTS
from cbi_assets_tests.databento_api.buying import clients_of
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import NOW, load_once, query
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, put_symbology, record
from cbi_assets_tests.load.test_naming import JAN, contracts, hours

MONDAY, TUESDAY, WEDNESDAY = (dt.date(2025, 1, day) for day in (6, 7, 8))


@pytest.fixture
def knowing(vendor: Vendor) -> Vendor:
    """The vendor, whose instrument 10 is ZLH5 to Monday, 2025-01-06, and ZLK5 from then on."""
    vendor.instruments = {10: [("ZLH5", JAN[0], TUESDAY), ("ZLK5", TUESDAY, JAN[3])]}
    return vendor


def resolve(project: Project, vendor: Vendor, *roots: str) -> tuple[Resolved, LoadOutcome]:
    with open_session(project, now=NOW) as session:
        return verbs.resolve(session, clients_of(vendor), roots or ("ZL",))


def asked(vendor: Vendor) -> list[tuple[str, str, str]]:
    names = ("symbols", "start_date", "end_date")
    requests = vendor.requests_to("symbology.resolve")
    return [(p[names[0]], p[names[1]], p[names[2]]) for p in (r.params for r in requests)]


@pytest.mark.full
@pytest.mark.both_warehouses
def test_resolve_names_the_bars_and_asks_about_no_instrument_twice(
    project: Project, drive: Path, knowing: Vendor
) -> None:
    zs = record(symbol="ZS.v.0", instrument_id=20)  # of which Databento knows nothing
    put_lines(drive, [*hours(), zs])
    load_once(project)
    assert asked(knowing) == []
    resolved, outcome = resolve(project, knowing, "ZL", "ZS")
    assert asked(knowing) == [
        ("10", "2025-01-06", "2025-01-08"),
        ("20", "2025-01-06", "2025-01-07"),
    ]
    assert (resolved.anonymous, resolved.instruments, resolved.unknown) == (2, 2, 1)
    assert outcome.renamed == {("ZL", "1h"): 4}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, "ZLK2025", 2)]
    names = query(project, f"SELECT raw_symbol, source, to_date FROM `{INSTRUMENTS.id}`")
    assert sorted(names.rows()) == [("ZLH5", "api", TUESDAY), ("ZLK5", "api", WEDNESDAY)]
    ledger = query(
        project,
        "SELECT instrument_ids, from_date, to_date, names, unknown, cost_usd "
        f"FROM `{SYMBOLOGY_REQUESTS.id}` ORDER BY to_date DESC",
    )
    assert [(list(ids), *rest) for ids, *rest in ledger.iter_rows()] == [
        (["10"], MONDAY, WEDNESDAY, 2, 0, 0.0),
        (["20"], MONDAY, TUESDAY, 0, 1, 0.0),
    ]

    again, outcome = resolve(project, knowing, "ZL", "ZS")
    assert (again.anonymous, again.asked_before, again.answers) == (1, 1, ())
    assert (len(asked(knowing)), outcome.load_id) == (2, None)
    # a later day of an instrument is another question
    put_lines(drive, [record(48)], job=LATER_JOB)
    load_once(project)
    resolve(project, knowing, "ZL", "ZS")
    assert asked(knowing)[2:] == [("10", "2025-01-08", "2025-01-09")]
    assert contracts(project)[-1] == (8, "ZLK2025", 1)


@pytest.mark.full
def test_an_answer_that_a_file_contradicts_is_a_conflict(
    project: Project, drive: Path, knowing: Vendor
) -> None:
    put_lines(drive, hours())
    put_symbology(drive, {"ZLN5": [(10, TUESDAY, WEDNESDAY)]})
    load_once(project)
    resolved, _ = resolve(project, knowing)  # of Monday, which the file does not name
    assert asked(knowing) == [("10", "2025-01-06", "2025-01-07")]
    assert contracts(project) == [(6, "ZLH2025", 2), (7, "ZLN2025", 2)]
    put_symbology(drive, {"ZLM5": [(10, MONDAY, TUESDAY)]}, "GLBX-20250110-QQQQQQQQQQ")
    load_once(project)
    assert contracts(project) == [(6, None, 2), (7, "ZLN2025", 2)]
    disputed = query(project, f"SELECT * FROM `{INSTRUMENT_CONFLICTS.id}` ORDER BY raw_symbol")
    assert disputed.select("raw_symbol", "source", "path").rows() == [
        ("ZLH5", "api", resolved.answers[0].path),
        ("ZLM5", "symbology.json", "GLBX-20250110-QQQQQQQQQQ/symbology.json"),
    ]


def test_an_answer_saved_by_a_killed_run_is_used_and_recorded(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    put_lines(drive, hours(1))
    load_once(project)
    response: dict[str, Any] = {
        "result": {"10": [{"d0": "2025-01-06", "d1": "2025-01-07", "s": "ZLH5"}]}
    }
    Answer("GLBX.MDP3", (10,), MONDAY, TUESDAY, NOW, response).save(project.home)
    resolved, outcome = resolve(project, vendor)
    assert (asked(vendor), resolved.asked_before) == ([], 1)
    assert outcome.renamed == {("ZL", "1h"): 2}
    assert query(project, f"SELECT names FROM `{SYMBOLOGY_REQUESTS.id}`").item() == 1


def test_read_answers_names_a_damaged_file(project: Project) -> None:
    answer = Answer("GLBX.MDP3", (10,), MONDAY, TUESDAY, NOW, {"result": {}})
    answer.save(project.home)
    assert read_answers(project.home) == [answer]
    path = project.home.root / answer.path
    for text in ("{", path.read_text().replace("2025-01-07", "2025-01-09")):
        path.write_text(text)
        with pytest.raises(HomeError, match=rf"{answer.path}: damaged .* Delete it"):
            read_answers(project.home)


@pytest.mark.parametrize("answer", [None, [], {}, {"result": {"10": [{"s": "ZLH5"}]}}])
def test_resolve_ids_raises_for_an_answer_without_mappings(
    answer: Any, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = clients_of(vendor)
    monkeypatch.setattr(clients.symbology, "resolve", lambda **arguments: answer)
    with pytest.raises(ServiceError, match="returned no mappings"):
        resolve_ids(clients, "GLBX.MDP3", [10], MONDAY, TUESDAY)
