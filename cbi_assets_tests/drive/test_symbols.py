"""Symbols are resolved by (instrument id, UTC date); an unresolved record is quarantined."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets.demo.encoder import mappings
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    MAPPED,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    text_file,
)

JANUARY = (dt.date(2025, 1, 1), dt.date(2025, 2, 1))
UNRESOLVED = text_file(bars(24), "json", mapped=())


def reasons(project: Project) -> dict[int, str]:
    rows = query(project, "SELECT record_no, reason FROM `ops.quarantined_bars`").rows()
    return dict(rows)


@pytest.mark.full
def test_record_is_quarantined_if_its_id_has_two_symbols_that_day(
    project: Project, drive: Path
) -> None:
    """Of 24 bars from 15:00 UTC, the first nine are on the day that both symbols share."""
    seventh = dt.date(2025, 1, 7)
    both = mappings({"ZL.v.0": [(10, *JANUARY)], "ZLH5": [(10, JANUARY[0], seventh)]})
    put_job(drive, {f"{NAME}.dbn.zst": dbn_file(bars(24), mapped=both)}, mapped=both)
    outcome = load_once(project)
    why = "instrument 10 stands for ZL.v.0 and ZLH5 on that day: ask for them in separate jobs"
    assert reasons(project) == dict.fromkeys(range(1, 10), why)
    assert published(project) == expected_rows(bars(24)[9:])
    assert outcome.unresolved == 9


@pytest.mark.full
def test_record_is_quarantined_if_its_id_has_no_symbol_that_day(
    project: Project, drive: Path
) -> None:
    mapped = mappings({"ZL.v.0": [(10, dt.date(2025, 1, 7), dt.date(2025, 1, 8))]})
    put_job(drive, {f"{NAME}.json": UNRESOLVED}, mapped=mapped)
    outcome = load_once(project)
    why = "no symbol for instrument 10 on 2025-01-06 (UTC)"
    assert reasons(project) == dict.fromkeys(range(1, 10), why)
    assert published(project) == expected_rows(bars(24)[9:])
    assert outcome.has_failures


@pytest.mark.full
def test_late_symbology_resolves_quarantined_records(project: Project, drive: Path) -> None:
    folder = put_job(drive, {f"{NAME}.json": UNRESOLVED}, sidecars=())
    assert load_once(project).unresolved == 24
    assert published(project) == []
    put_job(drive, {}, sidecars=("symbology",))
    assert sorted(file.name for file in folder.iterdir()) == [f"{NAME}.json", "symbology.json"]
    outcome = load_once(project)
    assert (outcome.survey.read, outcome.published, outcome.unresolved) == (2, 24, 0)
    assert published(project) == expected_rows(bars(24))
    assert reasons(project) == {}


def test_late_symbology_moves_records_outside_the_universe(project: Project, drive: Path) -> None:
    """The records leave quarantine, count as outside the universe, and the books balance."""
    put_job(drive, {f"{NAME}.json": UNRESOLVED}, sidecars=())
    load_once(project)
    other = mappings({"XX.v.0": [(10, *JANUARY)]})
    put_job(drive, {}, mapped=other, sidecars=("symbology",))
    outcome = load_once(project)
    assert (outcome.published, outcome.unresolved) == (0, 0)
    assert reasons(project) == {}
    books = query(project, "SELECT records, outside_universe, status FROM `ops.source_files`")
    assert books.rows() == [(24, 24, "loaded")]


@pytest.mark.full
def test_late_symbology_of_one_copy_resolves_the_file_once(project: Project, drive: Path) -> None:
    """A copy with symbols and one without do not land the file again and again."""
    put_job(drive, {f"{NAME}.json": UNRESOLVED}, job="a", sidecars=())
    put_job(drive, {f"{NAME}.json": UNRESOLVED}, job="b", sidecars=())
    assert load_once(project).unresolved == 24
    put_job(drive, {}, job="b", sidecars=("symbology",))
    assert load_once(project).published == 24
    outcome = load_once(project)
    assert (outcome.survey.read, outcome.published) == (0, 0)
    assert published(project) == expected_rows(bars(24))


@pytest.mark.full
def test_symbols_in_records_override_the_sidecar(project: Project, drive: Path) -> None:
    other = mappings({"ZS.v.0": [(10, *JANUARY)]})
    put_job(drive, {f"{NAME}.json": text_file(bars(24), mapped=MAPPED)}, mapped=other)
    assert refusals(load_once(project)) == {}
    assert published(project) == expected_rows(bars(24))
