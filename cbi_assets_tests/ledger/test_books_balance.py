"""The books balance for any mix of records, and the table is what a plain model says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbi_assets.config.settings import Settings
from cbi_assets.ledger.books import books_by_file, books_by_table
from cbi_assets.load.load import LoadOutcome
from cbi_assets.session import Project
from cbi_assets_tests.helpers import load_once, open_warehouse, query, table
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
    """One record to write: its key, one of three versions of it, and what is wrong with it."""

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


@dataclass
class Model:
    """What loads do, in plain Python: the published bar wins, else the first one read."""

    published: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    books: dict[str, Counter[str]] = field(default_factory=dict)
    known: set[tuple[str, ...]] = field(default_factory=set)

    def load(self, files: list[tuple[str, list[Bar]]]) -> None:
        """Take files in path order, all but those whose bytes were seen before."""
        new = []
        for path, bars in sorted(files):
            # two bars may be one line: a fault can hide the place
            content = tuple(bar.line() for bar in bars)
            if content not in self.known:
                self.known.add(content)
                new.append((path, bars))
        # an empty table tries its first file with a wanted root before anything else
        named = [bars for _, bars in new if any(bar.symbol != "XX.v.0" for bar in bars)]
        if not self.published and named:
            assert any(bar.fault is None and bar.symbol != "XX.v.0" for bar in named[0])
        for path, bars in new:
            entry = self.books[path] = Counter(records=len(bars))
            for bar in bars:
                entry[self.decide(path, bar)] += 1

    def decide(self, path: str, bar: Bar) -> str:
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


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LOADS)
def test_books_balance_for_any_mix(
    tmp_path_factory: pytest.TempPathFactory, loads: list[list[tuple[str, list[Bar]]]]
) -> None:
    root, model = tmp_path_factory.mktemp("mix"), Model()
    drive = root / "drive"
    drive.mkdir()
    project = Project(Settings(_env_file=None, cbi_home=root / "home", cbi_drive=drive))  # type: ignore[call-arg]
    for number, files in enumerate(loads):
        named = [(f"{job}/{number}{place}.json", bars) for place, (job, bars) in enumerate(files)]
        # a first file that has a sound bar: the canary has tests of its own
        if number == 0:
            named.insert(0, (f"{JOBS[0]}/0.json", [Bar("ZS.v.0", 0, 0)]))
        for path, bars in named:
            job, _, name = path.partition("/")
            put_lines(drive, [bar.line() for bar in bars], name, job)
        outcome = load_once(project)
        model.load(named)
        assert_as_modelled(project, model, outcome)


def assert_as_modelled(project: Project, model: Model, outcome: LoadOutcome) -> None:
    with open_warehouse(project) as warehouse:
        by_file = books_by_file(warehouse)
    assert set(by_file["difference"]) == {0}
    assert set(books_by_table(by_file)["difference"]) == {0}
    found = {row["path"]: {c: row[c] for c in COLUMNS} for row in by_file.to_dicts()}
    assert found == {path: {c: e[c] for c in COLUMNS} for path, e in model.books.items()}

    held = table(project)
    assert held.height == held.select("symbol", "ts_event").n_unique()
    paths = dict(query(project, "SELECT id, path FROM `ops.source_files`").iter_rows())
    assert {
        (row["symbol"], row["ts_event"].hour - 15): (
            row["volume"] - 5,
            paths[row["source_file_id"]],
        )
        for row in held.to_dicts()
    } == model.published

    kept = query(project, "SELECT record FROM `ops.quarantined_bars`")
    assert kept.height == sum(e["quarantined"] for e in model.books.values())
    assert all(kept["record"])
    conflicts = query(project, "SELECT root FROM `ops.bar_conflicts`")
    assert conflicts.height == sum(e["conflicts"] for e in model.books.values())
    failed = {r.root for r in outcome.checks if r.failed}
    looked_at = {r.root for r in outcome.checks}
    assert failed == set(conflicts["root"]) & looked_at
