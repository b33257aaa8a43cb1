"""What an audit contains: figures read in one snapshot, and what follows from them.

Each figure is a frame whose columns are the keys of its rows in `audit.json`. Dates are trade dates
unless a name says UTC; timestamps are UTC. Null means unknown, never zero.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cbi_assets.drive.trust import Trust
from cbi_assets.report.lights import Lights

TroubleKind = Literal["missing", "gone", "renamed", "misnamed", "refused", "changing", "unlisted"]
DecisionKind = Literal["plan", "conflict", "quarantine", "staging conflict", "file"]
ChangeKind = Literal["rows", "files", "checks", "gaps", "decisions"]

FAILURES: tuple[TroubleKind, ...] = ("missing", "refused", "unlisted")
"""Problems with a file that fail the audit; the other kinds are only reported."""


@dataclass(frozen=True, eq=False)
class Drive:
    """The drive's files: current if `mounted`, else as of its last scan.

    `trusts` counts the files in each state of trust, `jobs` has them by job. `waiting_files` and
    `waiting_records` are bar files that are not loaded, or only in part.
    """

    path: str | None
    mounted: bool
    free_bytes: int | None
    files: int
    bytes: int
    bar_files: int
    listing: pl.DataFrame
    folders: pl.DataFrame
    troubles: pl.DataFrame
    trusts: Mapping[Trust, int]
    jobs: pl.DataFrame
    waiting_files: int
    waiting_records: int

    def count(self, *kinds: TroubleKind) -> int:
        """Return how many files have a problem of one of these kinds."""
        return int(self.troubles["kind"].is_in(kinds).sum())


@dataclass(frozen=True, eq=False)
class Chart:
    """A root's newest sessions and rolls, and the levels of its last row in daily_ml_matrix."""

    root: str
    name: str
    units: str
    sessions: pl.DataFrame
    rolls: pl.DataFrame
    pivots: Mapping[str, float]
    fibonacci: Mapping[str, float]
    swings: Mapping[str, str]
    golden_zone: Mapping[str, float]


@dataclass(frozen=True)
class PlanStatus:
    """The newest download plan of this home, and the state of its approval.

    `current` counts the requests whose days are all still missing.
    """

    plan_hash: str
    made_at: dt.datetime
    through: dt.date
    requests: int
    current: int
    cost_usd: float | None
    bytes: int | None
    basis: str
    approval: str


@dataclass(frozen=True)
class Item:
    """One line of a checklist. `ok` is None if it cannot be known yet; `figure` says why."""

    text: str
    ok: bool | None
    figure: str


@dataclass(frozen=True)
class Checklist:
    """The conditions for a load, a download or a build."""

    before: Literal["load", "download", "build"]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Decision:
    """Something that needs action: how much of it, and the command that settles or shows it."""

    kind: DecisionKind
    what: str
    count: int
    command: str


@dataclass(frozen=True)
class Change:
    """A figure that differs from the previous audit's. None if it did not or does not exist."""

    kind: ChangeKind
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Since:
    """Changes since the audit made at `previous`, or None and a `note` if there is none to use."""

    previous: dt.datetime | None
    changes: tuple[Change, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything one audit found. Its documents contain nothing else, the JSON all but `daily`."""

    made_at: dt.datetime
    through: dt.date
    home: str
    demo: bool
    warehouse: str
    ledger_version: int
    tables: pl.DataFrame
    partitions: pl.DataFrame
    months: pl.DataFrame
    books: pl.DataFrame
    loads: pl.DataFrame
    drive: Drive
    acceptances: pl.DataFrame
    staging: pl.DataFrame
    sources: pl.DataFrame
    needs: pl.DataFrame
    gaps: pl.DataFrame
    checks: pl.DataFrame
    history: pl.DataFrame
    check_runs: pl.DataFrame
    incidents: pl.DataFrame
    daily: pl.DataFrame
    arrivals: pl.DataFrame
    rolls: pl.DataFrame
    charts: tuple[Chart, ...]
    plan: PlanStatus | None
    lights: Lights
    checklists: tuple[Checklist, ...] = ()
    decisions: tuple[Decision, ...] = ()
    since: Since = Since(None, ())

    def rows_of(self, table_id: str) -> int:
        """Return a table's number of rows."""
        return int(self.tables.row(by_predicate=pl.col("id") == table_id, named=True)["rows"])

    @property
    def raw_rows(self) -> int:
        """Bars in the raw tables."""
        return int(self.partitions["rows"].sum())

    @property
    def failed(self) -> pl.DataFrame:
        """The checks of severity ERROR that fail."""
        return self.checks.filter(pl.col("state") == "fails")

    @property
    def failed_results(self) -> int:
        """Failing results, one per check and partition."""
        return int(self.failed["failed"].sum())

    @property
    def lost_dates(self) -> int:
        """Trade dates inside a range whose bars are missing for no known reason."""
        return int(self.gaps.filter(pl.col("kind") == "lost")["dates"].sum())

    @property
    def missing_dates(self) -> int:
        """Trade dates that are wanted, not published, and not missing at the vendor."""
        return int(self.needs["missing"].sum())

    @property
    def has_failures(self) -> bool:
        """Whether a check fails, records or files are unusable, or the books do not balance."""
        lacking = self.books.select("quarantined", "conflicts", "difference")
        return (
            not self.failed.is_empty()
            or any(column.cast(pl.Boolean).any() for column in lacking)
            or self.drive.count(*FAILURES) > 0
        )
