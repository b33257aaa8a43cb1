"""The books balance for any mix of records, and the table equals that of a simple model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbi_assets.ledger.books import books_by_file, books_by_table
from cbi_assets.load.load import LoadOutcome
from cbi_assets.session import Project
from cbi_assets_tests.helpers import copy_home, load_once, open_warehouse, query, table
from cbi_assets_tests.load.lines import put_lines, record

JOBS = ("GLBX-20250110-AAAAAAAAAA", "GLBX-20250111-BBBBBBBBBB", "GLBX-20250112-CCCCCCCCCC")
FAULTS: tuple[dict[str, str | None], ...] = (
    {"volume": "-1"},
    {"open": "99.000000000"},
    {"low": None},
    {"ts_event": "2025-01-06T15:20:00.000000000Z"},
)


@dataclass(frozen=True)
class Bar:
    """A record to write: its key, one of three versions of its volume, and its fault if any."""

    symbol: str
    place: int
    version: int
    fault: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.symbol, self.place

    def line(self) -> str:
        change = FAULTS[self.fault] if self.fault is not None else {}
        return record(self.place, self.symbol, **{"volume": str(5 + self.version)} | change)


BARS = st.builds(
    Bar,
    st.sampled_from(["ZL.v.0", "ZL.v.0", "ZS.v.0", "XX.v.0"]),
    st.integers(0, 4),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([None, None, None, *range(len(FAULTS))]),
)
FILE = st.lists(BARS, min_size=1, max_size=8)
LOAD = st.lists(st.tuples(st.sampled_from(JOBS), FILE), min_size=1, max_size=3)
LOADS = st.lists(LOAD, min_size=1, max_size=3)
Loads = list[list[tuple[str, list[Bar]]]]


@dataclass
class Model:
    """Loads in plain Python: the published bar wins, else the first one read."""

    published: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    books: dict[str, Counter[str]] = field(default_factory=dict)
    known: set[tuple[str, ...]] = field(default_factory=set)

    def load(self, files: list[tuple[str, list[Bar]]]) -> None:
        """Load the files in path order, except those whose bytes were loaded before."""
        new = []
        for path, bars in sorted(files):
            # compare lines, not bars: a fault that replaces ts_event makes two bars one line
            content = tuple(bar.line() for bar in bars)
            if content not in self.known:
                self.known.add(content)
                new.append((path, bars))
        # while the table is empty, the canary needs a valid bar in the first file of known roots
        known_roots = [bars for _, bars in new if any(bar.symbol != "XX.v.0" for bar in bars)]
        if not self.published and known_roots:
            assert any(bar.fault is None and bar.symbol != "XX.v.0" for bar in known_roots[0])
        for path, bars in new:
            entry = self.books[path] = Counter(records=len(bars))
            for bar in bars:
                entry[self.classify(path, bar)] += 1

    def classify(self, path: str, bar: Bar) -> str:
        if bar.symbol == "XX.v.0":
            return "outside_universe"
        if bar.fault is not None:
            return "quarantined"
        winner = self.published.get(bar.key)
        if winner is None:
            self.published[bar.key] = (bar.version, path)
            return "published"
        return "duplicates" if winner[0] == bar.version else "conflicts"


COLUMNS = (
    "records",
    "published",
    "duplicates",
    "quarantined",
    "conflicts",
    "reopened",
    "not_loaded",
    "outside_universe",
)


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(LOADS)
def test_books_balance_for_any_mix(
    tmp_path_factory: pytest.TempPathFactory, new_home: Path, loads: Loads
) -> None:
    assert_books_balance(*copy_home(new_home, tmp_path_factory.mktemp("mix")), loads)


@pytest.mark.full
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(LOADS)
def test_books_balance_for_twenty_mixes(
    tmp_path_factory: pytest.TempPathFactory, new_home: Path, loads: Loads
) -> None:
    assert_books_balance(*copy_home(new_home, tmp_path_factory.mktemp("mix")), loads)


def assert_books_balance(project: Project, drive: Path, loads: Loads) -> None:
    model = Model()
    for number, files in enumerate(loads):
        paths = [(f"{job}/{number}{place}.json", bars) for place, (job, bars) in enumerate(files)]
        if number == 0:  # a first file with a valid bar, for the canary
            paths.insert(0, (f"{JOBS[0]}/0.json", [Bar("ZS.v.0", 0, 0)]))
        for path, bars in paths:
            job, _, name = path.partition("/")
            put_lines(drive, [bar.line() for bar in bars], name, job)
        outcome = load_once(project)
        model.load(paths)
        assert_equal_to_model(project, model, outcome)


def assert_equal_to_model(project: Project, model: Model, outcome: LoadOutcome) -> None:
    with open_warehouse(project) as warehouse:
        by_file = books_by_file(warehouse)
    assert set(by_file["difference"]) == {0}
    assert set(books_by_table(by_file)["difference"]) == {0}
    found = {row["path"]: {c: row[c] for c in COLUMNS} for row in by_file.to_dicts()}
    assert found == {path: {c: e[c] for c in COLUMNS} for path, e in model.books.items()}

    bars = table(project)
    assert bars.height == bars.select("symbol", "ts_event").n_unique()
    paths = dict(query(project, "SELECT id, path FROM `ops.source_files`").iter_rows())
    assert {
        (row["symbol"], row["ts_event"].hour - 15): (
            row["volume"] - 5,
            paths[row["source_file_id"]],
        )
        for row in bars.to_dicts()
    } == model.published

    quarantined = query(project, "SELECT record FROM `ops.quarantined_bars`")
    assert quarantined.height == sum(e["quarantined"] for e in model.books.values())
    assert all(quarantined["record"])
    conflicts = query(project, "SELECT root FROM `ops.bar_conflicts`")
    assert conflicts.height == sum(e["conflicts"] for e in model.books.values())
    failed = {r.root for r in outcome.checks if r.failed}
    checked = {r.root for r in outcome.checks}
    assert failed == set(conflicts["root"]) & checked
