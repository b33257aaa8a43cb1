"""What an audit knows: one frozen model, read in one snapshot, from which all documents are made.

Dates are trade dates unless a field says UTC; instants are UTC. None is unknown, never zero.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cbi_assets.market.bars import Timeframe
from cbi_assets.report.judgements import Checklist, Decision, Plan, Since, Step

GapKind = Literal["closed session", "no trade", "vendor's gap", "lost"]
TroubleKind = Literal["missing", "gone", "renamed", "misnamed", "refused", "changing", "unlisted"]
CheckState = Literal["holds", "warns", "fails", "not run"]


@dataclass(frozen=True)
class Table:
    """One table: rows, and the first and last date of its rows where it has dates."""

    id: str
    description: str
    rows: int
    first: dt.date | None
    last: dt.date | None


@dataclass(frozen=True)
class Partition:
    """What a raw table holds of one root. `last_session` is the newest trade date of which a
    session can be built: the evening before it alone makes none."""

    root: str
    timeframe: Timeframe
    rows: int
    outrights: int
    spreads: int
    continuous: int
    trade_dates: int
    first: dt.date
    last: dt.date
    last_session: dt.date | None


@dataclass(frozen=True)
class Month:
    """Trade dates of one root and timeframe that have a bar, of those that the month has."""

    root: str
    timeframe: Timeframe
    month: dt.date
    held: int
    possible: int


@dataclass(frozen=True)
class Books:
    """What became of the records of one job's files: records = published + duplicates +
    quarantined + conflicts + reopened + not_loaded + outside_universe, or `difference` is not 0."""

    job: str
    schema: str
    files: int
    records: int
    published: int
    duplicates: int
    quarantined: int
    conflicts: int
    reopened: int
    not_loaded: int
    outside_universe: int
    difference: int


@dataclass(frozen=True)
class Load:
    """One load of bars into one timeframe, or one of staging (`timeframe` empty)."""

    load_id: str
    timeframe: str
    loaded_at: dt.datetime
    files: int
    records: int
    published: int
    duplicates: int
    set_aside: int


@dataclass(frozen=True)
class Folder:
    """One folder of the drive: what names say, what content says, and where they disagree."""

    folder: str
    says: str
    content: str
    encoding: str
    files: int
    bytes: int
    records: int
    first: dt.date | None
    last: dt.date | None
    verdict: str
    disagreements: tuple[str, ...]


@dataclass(frozen=True)
class Trouble:
    """One file or folder of the drive that is not as it should be."""

    kind: TroubleKind
    path: str
    why: str


@dataclass(frozen=True)
class Drive:
    """The drive: `mounted` now, else as it was last seen. `waiting` are files of bars that the
    books do not know in full."""

    path: str | None
    mounted: bool
    free_bytes: int | None
    files: int
    bytes: int
    bar_files: int
    folders: tuple[Folder, ...]
    troubles: tuple[Trouble, ...]
    waiting_files: int
    waiting_records: int


@dataclass(frozen=True)
class StagingSource:
    """The rows of one source in one staging file: verdict and books. `present` is None where the
    folder is not there to look."""

    path: str
    source: str
    layout: str
    file_verdict: str
    verdict: str
    reason: str
    rows: int
    observations: int
    published: int
    duplicates: int
    refused: int
    conflicts: int
    present: bool | None


@dataclass(frozen=True)
class SourceRule:
    """One line of the frozen hierarchy: who may give what."""

    source: str
    gives: str
    rule: str


@dataclass(frozen=True)
class Need:
    """A wanted root and timeframe, in trade dates: wanted = published + gaps + missing.

    `also_held` tells of bars of the root in other series, which the universe does not count.
    """

    root: str
    name: str
    tier: int
    timeframe: Timeframe
    series: str
    wanted: int
    published: int
    gaps: int
    missing: int
    ranges: tuple[str, ...]
    also_held: str


@dataclass(frozen=True)
class Gap:
    """Dates in a row, inside a held range, on which a root has no bar in a timeframe."""

    root: str
    timeframe: Timeframe
    kind: GapKind
    first: dt.date
    last: dt.date
    dates: int
    why: str


@dataclass(frozen=True)
class Offender:
    """A partition on which a check did not hold."""

    partition: str
    expected: str
    actual: str


@dataclass(frozen=True)
class Check:
    """A check of a table, by its last results. `stale`: something was loaded after it ran."""

    table: str
    name: str
    sentence: str
    severity: str
    state: CheckState
    partitions: int
    failed: int
    checked_at: dt.datetime | None
    stale: bool
    offenders: tuple[Offender, ...]


@dataclass(frozen=True)
class Moment:
    """How the checks of all tables stood after one run of some of them."""

    at: dt.datetime
    failed: int
    warned: int
    partitions: int


@dataclass(frozen=True)
class Session:
    """One row of daily_ml_matrix as a chart needs it; prices in native units."""

    date: dt.date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    pivot: float | None
    zone_state: int | None
    triggered: bool | None


@dataclass(frozen=True)
class Roll:
    """The continuous series is of another contract from this date on."""

    date: dt.date
    contract: str | None


@dataclass(frozen=True)
class Chart:
    """The newest sessions of one root, its rolls among them, and the levels of the last row."""

    root: str
    name: str
    units: str
    sessions: tuple[Session, ...]
    rolls: tuple[Roll, ...]
    pivots: Mapping[str, float]
    fibonacci: Mapping[str, float]
    swings: Mapping[str, str]
    golden_zone: Mapping[str, float]


@dataclass(frozen=True)
class Audit:
    """Everything one audit found. Its documents hold nothing that is not here."""

    made_at: dt.datetime
    through: dt.date
    home: str
    demo: bool
    warehouse: str
    ledger_version: int
    tables: tuple[Table, ...]
    partitions: tuple[Partition, ...]
    months: tuple[Month, ...]
    books: tuple[Books, ...]
    loads: tuple[Load, ...]
    drive: Drive
    staging: tuple[StagingSource, ...]
    sources: tuple[SourceRule, ...]
    needs: tuple[Need, ...]
    gaps: tuple[Gap, ...]
    checks: tuple[Check, ...]
    history: tuple[Moment, ...]
    charts: tuple[Chart, ...]
    plan: Plan | None
    checklists: tuple[Checklist, ...] = ()
    decisions: tuple[Decision, ...] = ()
    next_step: Step = field(default_factory=lambda: Step("cbi audit", ""))
    since: Since = field(default_factory=lambda: Since(None, ()))

    def rows_of(self, table_id: str) -> int:
        """Rows of a table."""
        return next(table.rows for table in self.tables if table.id == table_id)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks whose severity is ERROR and that did not hold."""
        return tuple(check for check in self.checks if check.state == "fails")

    @property
    def fell_short(self) -> bool:
        """Whether a check failed, records or a file were set aside, or the books do not balance."""
        return (
            bool(self.failed)
            or any(row.quarantined or row.conflicts or row.difference for row in self.books)
            or any(trouble.kind in SHORT for trouble in self.drive.troubles)
        )


SHORT: tuple[TroubleKind, ...] = ("missing", "refused", "unlisted")
"""Troubles of the drive by which data fell short; the others are told only."""
