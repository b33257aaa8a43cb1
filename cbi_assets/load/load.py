"""Load: scan the drive, audit what is new, and publish it with its books in one transaction."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from cbi_assets.config.universe import Universe, select_timeframes
from cbi_assets.counted_steps import log_steps
from cbi_assets.drive.catalog import Slice
from cbi_assets.drive.survey import Survey, survey
from cbi_assets.drive.trust import Trust
from cbi_assets.drive.walk import Entry
from cbi_assets.errors import DamagedPackError, LedgerMovedError
from cbi_assets.ledger.books import (
    KNOWN_TRUSTS,
    LOAD_COUNTS,
    PUBLISHED_ROWS,
    BooksEntry,
    QuarantinedFile,
    published_rows,
    quarantined_files,
    source_file_statements,
)
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.pending_events import Partition, PendingEvents
from cbi_assets.ledger.versions import VERSION, ledger_version, with_version_guard
from cbi_assets.load.accept import accepted_keys
from cbi_assets.load.audit import Audited, audit, publication, stage
from cbi_assets.load.canary import CanaryCheck, run_canary
from cbi_assets.load.file_trust import changed_trusts, trust_by_file, trust_statements
from cbi_assets.load.landed import ENTRIES, Landed, recorded_entries
from cbi_assets.load.naming import NAME_TABLES, Naming, names_query
from cbi_assets.load.overlaps import LOADED_JOBS, Overlap, find_overlaps
from cbi_assets.load.partition_profiles import PartitionLoad, PartitionProfile
from cbi_assets.load.superseded import ACCEPTED_JOBS
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import JobCost, Statement
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

_READ_FIRST: Final = (VERSION, ENTRIES, KNOWN_TRUSTS, *map(names_query, NAME_TABLES))
"""What every load reads."""

_READ_AHEAD: Final = (PUBLISHED_ROWS, LOADED_JOBS, ACCEPTED_JOBS)
"""What it reads if there is something to publish; the rows once more afterwards."""

MAX_ATTEMPTS = 3
"""How often a load audits, if other loads keep publishing first or landed packs are damaged."""


@dataclass(frozen=True)
class LoadOutcome:
    """What a load found and did. `load_id` is None if nothing was new.

    `renamed` counts bars published before whose contract it changed, because a source names their
    instrument now. `stopped` says by timeframe why its canary stopped it; `checks` and `profiles`
    are of the partitions that changed; `cost` is None if the warehouse bills nothing.
    """

    survey: Survey
    load_id: str | None = None
    partitions: list[PartitionLoad] = field(default_factory=list)
    renamed: dict[Partition, int] = field(default_factory=dict)
    unresolved: int = 0
    quarantined: list[QuarantinedFile] = field(default_factory=list)
    stopped: dict[Timeframe, str] = field(default_factory=dict)
    overlaps: list[Overlap] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    profiles: list[PartitionProfile] = field(default_factory=list)
    cost: JobCost | None = None

    @property
    def published(self) -> int:
        """Bars published."""
        return sum(partition.published for partition in self.partitions)

    @property
    def has_failures(self) -> bool:
        """Whether a check failed, a file was refused, or a record was quarantined."""
        return (
            bool(self.stopped)
            or bool(self.unresolved)
            or any(result.failed for result in self.checks)
            or any(part.quarantined or part.conflicts for part in self.partitions)
            or bool(self.survey.refused)
            or bool(self.survey.unreadable)
        )


def inventory(session: Session, choose: Callable[[Entry], bool] | None = None) -> Survey:
    """Scan the drive and staging, and detect what each file is from its content.

    With `choose`, only the new files that it accepts are read; the others wait.
    """

    def scan(accepted: frozenset[str]) -> Survey:
        return survey(
            session.settings.cbi_drive,
            session.settings.staging,
            session.home,
            session.catalog,
            replace(session.project.rules, accepted=accepted),
            session.progress,
            choose,
        )

    found = scan(frozenset())
    # Only damaged manifests, which are rare, need the warehouse.
    refused = {file.acceptance_key for file in found.refused if file.fault == "manifest"}
    accepted = accepted_keys(session.warehouse) & refused if refused else frozenset()
    if not accepted:
        return found
    again = scan(accepted)
    return replace(again, read=found.read + again.read)


def load_bars(
    session: Session,
    partitions: Collection[Partition] | None,
    check: CanaryCheck,
    *,
    landed_only: bool = False,
) -> LoadOutcome:
    """Publish all that is new on the drive for these partitions (None: everything).

    `check` decides whether the first file of an empty table may be published; with `landed_only`
    no file is read but those of a damaged pack, again. Raises UsageError for a wrong setting, and
    AuditError if staging and landing disagree; then nothing was published.
    """
    found = inventory(session, choose=(lambda entry: False) if landed_only else None)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return _Load(session, found, partitions, check).run()
        except DamagedPackError as error:
            if attempt == MAX_ATTEMPTS:
                raise
            logger.warning("%s: %s; reading its files again", error.subject, error.problem)
            found = inventory(session, choose=_as_landed(found) if landed_only else None)
        except LedgerMovedError:
            if attempt == MAX_ATTEMPTS:
                raise
            logger.warning(
                "another load published first; auditing again (attempt %d of %d)",
                attempt + 1,
                MAX_ATTEMPTS,
            )
    raise AssertionError("unreachable")


def _as_landed(found: Survey) -> Callable[[Entry], bool]:
    """Return whether a file is as it was when it was landed: a new one may still be copied."""
    stamps = {
        (file.area, file.path): (file.stamp.size, file.stamp.mtime_ns)
        for file in found.files
        if file.stamp is not None
    }
    return lambda entry: stamps.get((entry.area, entry.path)) == (entry.size, entry.mtime_ns)


def choose_partitions(
    universe: Universe, roots: tuple[str, ...] = (), timeframes: tuple[str, ...] = ()
) -> list[Partition] | None:
    """Return the partitions of these roots and timeframes; None, for all, if neither is given.

    Raises UsageError for a root outside the universe or an unknown timeframe.
    """
    chosen = [
        (root, timeframe)
        for root in universe.select(roots)
        for timeframe in select_timeframes(timeframes)
    ]
    return chosen if roots or timeframes else None


class _Load:
    """One attempt to publish what is new: its slices, its audit and its transaction."""

    def __init__(
        self,
        session: Session,
        found: Survey,
        partitions: Collection[Partition] | None,
        check: CanaryCheck,
    ) -> None:
        self._session = session
        self._check = check
        self._warehouse = session.warehouse
        self._survey = found
        self._everything = partitions is None
        self._chosen = set(
            partitions
            if partitions is not None
            else ((root, timeframe) for root in session.universe.roots for timeframe in TIMEFRAMES)
        )
        self._now = session.now
        self._landed = Landed(found, session.catalog.slices())
        self._contents = self._landed.contents

    def run(self) -> LoadOutcome:
        with self._session.reading_ahead(_READ_AHEAD):
            return self._run()

    def _run(self) -> LoadOutcome:
        with self._session.reading_ahead(_READ_FIRST):
            version = ledger_version(self._warehouse)
            recorded, reopened = recorded_entries(self._warehouse)
            known = self._warehouse.query(KNOWN_TRUSTS.sql)
            naming = Naming(self._session)
        resolved = self._now_resolved(recorded)
        recorded -= resolved
        todo = self._todo(recorded - reopened)
        stopped: dict[Timeframe, str] = {}
        for timeframe, slices in list(todo.items()):
            if reason := run_canary(self._session, self._contents, slices, self._check):
                stopped[timeframe] = reason
                del todo[timeframe]
        changed = changed_trusts(self._survey, known)
        denials = self._denials(changed, known, recorded)
        new_files = self._new_files(resolved, known)
        if not todo and not new_files and not naming.is_new:
            if changed:
                if denials:
                    PendingEvents(self._session.home).add(denials)
                statements = trust_statements(self._warehouse, changed)
                self._warehouse.transact(with_version_guard(statements, version))
            return LoadOutcome(self._survey, stopped=stopped)
        load_id = self._load_id(todo, naming)
        before = published_rows(self._warehouse)
        overlaps = find_overlaps(self._warehouse, self._contents, todo)
        audited = self._audit(todo)
        renamed = naming.rename(load_id)
        statements = [*naming.statements(), *renamed.statements, *self._delete_entries(resolved)]
        for timeframe, audit_outcome in audited.items():
            names = naming.stage(timeframe, todo[timeframe])
            statements += publication(
                audit_outcome,
                names,
                load_id,
                self._now,
                replaces_entries=any(self._landed.entry(p) in recorded for p in todo[timeframe]),
            )
        touched = {(s.root, t) for t, slices in todo.items() for s in slices if s.root}
        PendingEvents(self._session.home).add(touched | denials | renamed.bars.keys())
        statements += trust_statements(self._warehouse, changed)
        statements += self._record_files(todo, recorded, new_files)
        self._warehouse.transact(with_version_guard(statements, version))
        partitions, unresolved = self._partitions(audited, before)
        has_quarantined = any(a.books["quarantined"].sum() for a in audited.values())
        return LoadOutcome(
            self._survey,
            load_id=load_id,
            partitions=partitions,
            renamed=renamed.bars,
            unresolved=unresolved,
            quarantined=quarantined_files(self._warehouse, load_id) if has_quarantined else [],
            stopped=stopped,
            overlaps=overlaps,
        )

    def _now_resolved(self, recorded: set[BooksEntry]) -> set[BooksEntry]:
        """Return entries of unresolved records whose file has since been landed with symbols."""
        current = {self._landed.entry(piece) for piece in self._landed.slices if not piece.root}
        landed = {content.source_file_id for content in self._contents.values()}
        return {entry for entry in recorded - current if entry[0] in landed and not entry[2]}

    def _delete_entries(self, entries: set[BooksEntry]) -> list[Statement]:
        """Return the statements that delete these ledger entries."""
        if not entries:
            return []
        columns = ["source_file_id", "timeframe", "root"]
        frame = pl.DataFrame(sorted(entries), schema=columns, orient="row")
        chosen = self._warehouse.stage_frame("resolved", frame)
        return [
            Statement(load_sql("unload/delete_entries", ledger=ledger, chosen=chosen))
            for ledger in ("ops.loads", "ops.quarantined_bars")
        ]

    def _todo(self, settled: set[BooksEntry]) -> dict[Timeframe, list[Slice]]:
        """Return the slices to load by timeframe, in the order of landing."""
        todo: dict[Timeframe, list[Slice]] = {}
        waiting = self._landed.without(settled)
        named = [piece for piece in waiting if (piece.root, piece.timeframe) in self._chosen]
        with_names = {piece.file_no for piece in named}
        for piece in waiting:
            # Unresolved records load together with the rest of their file.
            if (piece.root, piece.timeframe) in self._chosen or (
                not piece.root and (self._everything or piece.file_no in with_names)
            ):
                todo.setdefault(piece.timeframe, []).append(piece)
        return {t: sorted(todo[t], key=_order) for t in TIMEFRAMES if t in todo}

    def _audit(self, todo: Mapping[Timeframe, Sequence[Slice]]) -> dict[Timeframe, Audited]:
        records = {t: sum(piece.records for piece in slices) for t, slices in todo.items()}
        return {
            timeframe: audit(
                self._warehouse,
                stage(self._session, self._contents, todo[timeframe]),
                RAW[timeframe].id,
            )
            for timeframe in log_steps(
                todo,
                lambda timeframe: f"auditing {records[timeframe]:,} records of {timeframe}",
                weigh=records.__getitem__,
                logger=logger,
            )
        }

    def _load_id(self, todo: Mapping[Timeframe, Iterable[Slice]], naming: Naming) -> str:
        digest = hashlib.sha256()
        if not todo:
            digest.update(repr(naming.changes.rows()).encode())
        for timeframe, slices in todo.items():
            for piece in slices:
                file_id = self._contents[piece.file_no].source_file_id
                digest.update(f"{file_id} {timeframe} {piece.root}\n".encode())
        return f"L{self._now:%Y%m%dT%H%M%S}-{digest.hexdigest()[:8]}"

    def _new_files(self, resolved: set[BooksEntry], known: pl.DataFrame) -> set[int]:
        ids = set(known["id"]) - {file_id for file_id, _, _ in resolved}
        return {n for n in self._landed.on_drive if self._contents[n].source_file_id not in ids}

    @staticmethod
    def _denials(
        changed: Mapping[str, Trust], known: pl.DataFrame, recorded: set[BooksEntry]
    ) -> set[Partition]:
        """Return the partitions with bars of files that are refused now, or no longer are."""
        before = dict(known.select("id", "trust").iter_rows())
        denied = {i for i, now in changed.items() if "refused" in (now, before[i])}
        return {
            (root, timeframe) for file_id, timeframe, root in recorded if file_id in denied and root
        }

    def _record_files(
        self,
        todo: Mapping[Timeframe, Sequence[Slice]],
        recorded: set[BooksEntry],
        new_files: set[int],
    ) -> list[Statement]:
        loaded = set(recorded)
        touched = set(new_files)
        for slices in todo.values():
            for piece in slices:
                loaded.add(self._landed.entry(piece))
                touched.add(piece.file_no)
        return source_file_statements(
            self._warehouse,
            self._contents,
            [piece for piece in self._landed.slices if piece.file_no in touched],
            touched,
            loaded,
            self._session.universe,
            trust_by_file(self._survey),
        )

    def _partitions(
        self, audited: Mapping[Timeframe, Audited], before: Mapping[tuple[str, str], int]
    ) -> tuple[list[PartitionLoad], int]:
        partitions: list[PartitionLoad] = []
        unresolved = 0
        after = published_rows(self._warehouse)
        for timeframe, outcome in audited.items():
            counted = outcome.books.rename({"fresh": "published"})
            by_root = counted.group_by("root").agg(
                pl.len().alias("files"), pl.col(LOAD_COUNTS).sum()
            )
            for row in by_root.sort("root").iter_rows(named=True):
                root = row["root"]
                if not root:
                    unresolved += row["records"]
                    continue
                partitions.append(
                    PartitionLoad(
                        timeframe=timeframe,
                        rows_before=before.get((root, timeframe), 0),
                        rows_after=after.get((root, timeframe), 0),
                        **row,
                    )
                )
        return partitions, unresolved


def _order(piece: Slice) -> tuple[int, str, str]:
    return piece.file_no, piece.root, piece.pack
