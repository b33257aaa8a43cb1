"""Checks by month: what is owed is checked, the rest is kept, and a full check finds tampering."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbi_assets import verbs
from cbi_assets.checks.check import CheckContext
from cbi_assets.checks.sliced_table import SlicedTable
from cbi_assets.checks.slices import Slice, Span, owed_spans, read_slices
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Project, Session, open_session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.billing.recorded import RecordedProject
from cbi_assets_tests.helpers import NOW, copy_home, load_once, open_warehouse
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

HOURLY = RAW["1h"].id
JANUARY, FEBRUARY, MARCH, JUNE = (dt.date(2024, month, 1) for month in (1, 2, 3, 6))
JANUARY_2025 = dt.date(2025, 1, 1)
DECEMBER_HOURS = -24 * 20  # from Monday, 2025-01-06, to 2024-12-17
COPY = ", ".join(RAW["1h"].column_names)


@pytest.fixture(scope="module")
def new_home(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two bars of ZL and ZS, in December 2024 and in January 2025."""
    project, drive = copy_home(new_home, tmp_path_factory.mktemp("sliced"))
    hours = (DECEMBER_HOURS, DECEMBER_HOURS + 1, 0, 1)
    put_lines(drive, [record(n, symbol) for n in hours for symbol in ("ZL.v.0", "ZS.v.0")])
    load_once(project)
    return project.home.root


def change(project: Project, sql: str) -> None:
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(sql)])


def check(project: Project, full: bool = False) -> dict[tuple[str, str], CheckResult]:
    """Return the results of the 1h table, by check and root."""
    with open_session(project, now=NOW) as session:
        results = verbs.check(session, full=full)
    return {(r.name, r.root): r for r in results if r.table_id == HOURLY}


def asked_of_bars(project: RecordedProject) -> list[dict[str, dt.date]]:
    """Return the spans that statements read of the 1h table's bars, and forget what was asked."""
    spans = []
    for asked in project.take():
        values = {param.name: getattr(param, "value", None) for param in asked.params}
        if f"FROM `{HOURLY}`" in asked.sql and "COUNT(*) AS n FROM" not in asked.sql:
            spans.append({name: v.date() for name in ("first", "end") if (v := values.get(name))})
    return spans


def test_load_keeps_a_slice_of_each_root_and_month(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        slices = read_slices(warehouse, HOURLY)
    assert {key: piece.bars for key, piece in slices.items()} == {
        (root, month): 2
        for root in ("ZL", "ZS")
        for month in (dt.date(2024, 12, 1), dt.date(2025, 1, 1))
    }
    december = slices["ZL", dt.date(2024, 12, 1)]
    assert december.days == {"continuous ZL.v.0": [16]}  # the 17th
    assert [bars for _, _, bars in december.files] == [2]


@pytest.mark.full
def test_bars_of_the_largest_values_have_a_slice(project: Project, drive: Path) -> None:
    largest = {"open": "8999999999.000000000", "high": "8999999999.000000000"}
    put_lines(drive, [record(5, volume=str(2**63 - 1), **largest)], "b.json", job=LATER_JOB)
    load_once(project)
    assert not check(project, full=True)["source_is_databento", "ZL"].failed


@pytest.mark.full
def test_check_reads_no_bars_again_if_nothing_has_changed(project: Project) -> None:
    recorded = RecordedProject.of(project)
    with open_session(recorded, now=NOW) as session:
        session.warehouse  # noqa: B018
        before = {(r.name, r.root): r.actual for r in verbs.check(session) if r.timeframe == "1h"}
    assert asked_of_bars(recorded) == []
    after = {key: result.actual for key, result in check(project, full=True).items()}
    assert before == {key: actual for key, actual in after.items() if key in before}


@pytest.mark.full
def test_load_checks_only_the_months_of_its_bars(project: Project, drive: Path) -> None:
    put_lines(drive, [record(2)], "b.json", job=LATER_JOB)
    recorded = RecordedProject.of(project)
    with open_session(recorded, now=NOW) as session:
        verbs.load(session)
    january = {"first": dt.date(2025, 1, 1), "end": dt.date(2025, 2, 1)}
    assert [span for span in asked_of_bars(recorded) if span] == [january, january]


def test_bars_changed_by_another_program_are_found_by_a_full_check(project: Project) -> None:
    december = "root = 'ZL' AND ts_event < TIMESTAMP '2025-01-01 00:00:00+00'"
    change(project, f"UPDATE `{HOURLY}` SET close = close + 0.01 WHERE {december}")
    assert check(project)["source_is_databento", "ZL"].passed
    for full in (True, False, True):  # it stays found
        found = check(project, full=full)
        result = found["source_is_databento", "ZL"]
        assert result.failed
        assert result.actual.startswith("1 month changed by neither a load nor an unload: 2024-12")
        assert found["source_is_databento", "ZS"].passed
    change(project, f"UPDATE `{HOURLY}` SET close = close - 0.01 WHERE {december}")
    assert check(project, full=True)["source_is_databento", "ZL"].passed


def contents(session: Session) -> dict[tuple[str, dt.date], str]:
    """Return the hash of each slice's bars, as the warehouse contains them now."""
    context = CheckContext(session, scratch=HOURLY)
    slices = SlicedTable(context, "1h", HOURLY).check()
    return {key: piece.content for key, piece in slices.items()}


@pytest.mark.parametrize(
    "edit",
    [
        *(f"{name} = {name} + 0.0000000001" for name in ("open", "high", "low", "close")),
        "volume = volume + 1",
        "instrument_id = instrument_id + 1",
        "publisher_id = 2",
        "trade_date = DATE_ADD(trade_date, INTERVAL 1 DAY)",
        "contract = 'ZLH2025'",
        "load_id = 'other'",
        "loaded_at = TIMESTAMP_ADD(loaded_at, INTERVAL 1 SECOND)",
        "open = open + 0.07, high = high - 0.05",
        "open = 9000000001",
        # what one bar gains, another one loses
        "close = close + IF(EXTRACT(HOUR FROM ts_event) = 15, 0.01, -0.01)",
    ],
)
def test_any_edit_of_a_bar_changes_its_slices_content(
    in_january: tuple[Session, dict[tuple[str, dt.date], str]], edit: str
) -> None:
    session, before = in_january
    where = "root = 'ZL' AND ts_event >= TIMESTAMP '2025-01-01 00:00:00+00'"
    keep = session.warehouse.stage_query("kept", f"SELECT * FROM `{HOURLY}` WHERE {where}")
    session.warehouse.transact([Statement(f"UPDATE `{HOURLY}` SET {edit} WHERE {where}")])
    after = contents(session)
    session.warehouse.transact(
        [
            Statement(f"DELETE FROM `{HOURLY}` WHERE {where}"),
            Statement(f"INSERT INTO `{HOURLY}` ({COPY}) SELECT {COPY} FROM `{keep}`"),
        ]
    )
    assert {key for key in before if before[key] != after[key]} == {("ZL", JANUARY_2025)}
    assert contents(session) == before


@pytest.fixture(scope="module")
def in_january(
    new_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Session, dict[tuple[str, dt.date], str]]]:
    """An open session, and the hashes of its slices."""
    project, _ = copy_home(new_home, tmp_path_factory.mktemp("edited"))
    with open_session(project, now=NOW) as session:
        yield session, contents(session)


def test_a_full_check_finds_duplicates_and_a_check_after_it_keeps_them(project: Project) -> None:
    change(project, f"INSERT INTO `{HOURLY}` ({COPY}) SELECT {COPY} FROM `{HOURLY}`")
    assert check(project)["no_duplicate_bars", "ZL"].passed
    for full in (True, False):
        result = check(project, full=full)["no_duplicate_bars", "ZL"]
        assert result.actual == "4 duplicate bars"
        assert [row["ts_event"].month for row in result.sample] == [12, 12, 1, 1]


@pytest.mark.parametrize(
    ("key", "rule", "ledger", "months"),
    [
        (("ZL", JANUARY), "r", "l", []),
        (("ZL", JANUARY), "another", "l", [JANUARY, FEBRUARY]),
        (("ZL", JANUARY), "r", "another", [JANUARY, FEBRUARY]),
        (("ZL", MARCH), "r", "another", [MARCH]),  # no month follows
    ],
)
def test_slice_is_owed_if_its_rule_or_ledger_differs(
    key: tuple[str, dt.date], rule: str, ledger: str, months: list[dt.date]
) -> None:
    keys = [("ZL", month) for month in (JANUARY, FEBRUARY, MARCH)]
    stored = {each: Slice(*each, "r", "l") for each in keys}
    stored[key] = Slice(*key, rule, "l")
    spans = owed_spans(stored, dict.fromkeys(keys, "l") | {key: ledger}, {"ZL": "r"})
    found = [month for month in (JANUARY, FEBRUARY, MARCH) if any(s.contains(month) for s in spans)]
    assert found == months


def test_owed_months_far_apart_are_two_spans() -> None:
    spans = owed_spans({}, {("ZL", JANUARY): "l", ("ZL", JUNE): "l"}, {})
    midnights = [dt.datetime(2024, month, 1, tzinfo=dt.UTC) for month in (1, 3, 6, 7)]
    assert spans == [Span(*midnights[:2]), Span(*midnights[2:])]
