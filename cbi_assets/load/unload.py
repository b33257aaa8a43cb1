"""Unload: remove the bars and ledger entries of one file, load or job, in one transaction.

Bars that another loaded file has too, and that were dropped there as duplicates, are not lost: that
file is reopened, and the next load decides on them again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.errors import UsageError
from cbi_assets.ledger.books import books_balance
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.pending_events import Partition, PendingEvents
from cbi_assets.ledger.versions import ledger_version, with_version_guard
from cbi_assets.load.audit import reject, stage
from cbi_assets.load.partition_profiles import PartitionProfile
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.timestamps import EPOCH
from cbi_assets.warehouse.base import Assertion, Params, Statement, Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

Scope = Literal["file", "load", "job"]

_ENTRIES = (
    "SELECT loads.source_file_id, loads.timeframe, loads.root, loads.records, "
    "loads.published, loads.first_ts_event, loads.last_ts_event, files.path "
    "FROM `ops.loads` AS loads "
    "JOIN `ops.source_files` AS files ON loads.source_file_id = files.id"
)

_COLUMN: dict[Scope, str] = {"file": "source_file_id", "load": "load_id", "job": "job_id"}


@dataclass(frozen=True)
class UnloadPlan:
    """What an unload would remove.

    `entries` has one row per file, timeframe and root: source_file_id, timeframe, root, records,
    published, first_ts_event, last_ts_event, path. `version` is the ledger's when they were read.
    """

    scope: Scope
    value: str
    entries: pl.DataFrame
    version: int

    @property
    def bars(self) -> int:
        """Bars that would leave the tables."""
        return int(self.entries["published"].sum())

    @property
    def files(self) -> int:
        """Files concerned."""
        return self.entries["source_file_id"].n_unique()


@dataclass(frozen=True)
class UnloadOutcome:
    """What an unload removed, and the records of other files that it reopened."""

    plan: UnloadPlan
    removed: int
    reopened: int
    partitions: tuple[Partition, ...]
    checks: list[CheckResult] = field(default_factory=list)
    profiles: list[PartitionProfile] = field(default_factory=list)


def plan_unload(session: Session, scope: Scope, value: str) -> UnloadPlan:
    """Find what one file, load or job has in the books. A file ID may be abbreviated.

    Raises UsageError if nothing is found, or if the abbreviated ID matches several files.
    """
    version = ledger_version(session.warehouse)
    entries = session.warehouse.query(
        f"{_ENTRIES} WHERE STARTS_WITH(loads.{_COLUMN[scope]}, @value) "
        f"AND (@exact = '' OR loads.{_COLUMN[scope]} = @exact) "
        "ORDER BY loads.source_file_id, loads.timeframe, loads.root",
        {"value": value, "exact": "" if scope == "file" else value},
    )
    if not value or entries.is_empty():
        raise UsageError(
            "nothing of it is loaded",
            subject=f"--{scope} {value}",
            remedy="`cbi inventory` lists files and jobs, ops.loads the loads.",
        )
    if scope == "file" and entries["source_file_id"].n_unique() > 1:
        raise UsageError(
            "it matches more than one file's ID",
            subject=f"--file {value}",
            remedy="Give more of it.",
        )
    return UnloadPlan(scope, value, entries, version)


def entries_of_files(
    session: Session, job: str, file_ids: Collection[str], roots: Collection[str]
) -> UnloadPlan:
    """Return a plan that takes these roots out of these files, on behalf of `job`; maybe empty."""
    version = ledger_version(session.warehouse)
    entries = session.warehouse.query(
        f"{_ENTRIES} WHERE loads.source_file_id IN UNNEST(@files) "
        "AND loads.root IN UNNEST(@roots) "
        "ORDER BY loads.source_file_id, loads.timeframe, loads.root",
        {"files": sorted(file_ids), "roots": sorted(roots)},
    )
    return UnloadPlan("job", job, entries, version)


def unload_bars(session: Session, plan: UnloadPlan) -> UnloadOutcome:
    """Remove the plan's bars from the tables and the ledger.

    Raises UsageError if a file that repeats these bars is no longer landed.
    """
    warehouse = session.warehouse
    chosen = warehouse.stage_frame("chosen", plan.entries.drop("path"))
    contents = {content.file_no: content for content in session.catalog.contents().values()}
    slices = session.catalog.slices()
    statements: list[Statement] = []
    reopened = 0
    timeframes = [t for t in TIMEFRAMES if t in set(plan.entries["timeframe"])]
    for timeframe in timeframes:
        of_timeframe = plan.entries.filter(pl.col("timeframe") == timeframe)
        params: Params = {"timeframe": timeframe} | _span(of_timeframe)
        names = {"table": RAW[timeframe].id, "chosen": chosen}
        names["removed"] = warehouse.stage_query(
            f"removed_{timeframe}", load_sql("unload/removed_keys", **names), params
        )
        repeating = _repeating_slices(warehouse, timeframe, of_timeframe, contents, slices)
        if repeating:
            staged = stage(session, contents, repeating, "_reopen")
            names["reopened"] = warehouse.stage_query(
                f"reopened_{timeframe}",
                load_sql("unload/reopened", **(names | reject(warehouse, staged))),
                staged.params,
            )
            counted = warehouse.query(f"SELECT SUM(records) AS n FROM `{names['reopened']}`")
            reopened += int(counted["n"][0] or 0)
            statements.append(Statement(load_sql("unload/reopen_records", **names), params))
        statements += [
            Statement(load_sql("unload/delete_bars", **names), params),
            Statement(load_sql("unload/delete_conflicts", **names), params),
            Assertion(
                load_sql("unload/assert_removed", **names),
                params,
                subject="{0}",
                message="{1} bars could not be removed",
            ),
        ]
    for ledger in ("ops.loads", "ops.quarantined_bars", "ops.bar_conflicts"):
        statements.append(
            Statement(load_sql("unload/delete_entries", ledger=ledger, chosen=chosen))
        )
    statements += [
        Statement(load_sql("unload/delete_files", chosen=chosen)),
        Statement(load_sql("unload/mark_partial", chosen=chosen)),
        books_balance("Nothing was removed."),
    ]
    before = _total(warehouse, timeframes)
    # Dagster shows these partitions unchanged until they are reported, here or by the next load.
    found = {(root, t) for _, t, root, *_ in plan.entries.iter_rows() if root}
    touched = tuple(sorted(found, key=lambda item: (TIMEFRAMES.index(item[1]), item[0])))
    PendingEvents(session.home).add(touched)
    warehouse.transact(with_version_guard(statements, plan.version))
    removed = before - _total(warehouse, timeframes)
    return UnloadOutcome(plan, removed, reopened, touched)


def _span(entries: pl.DataFrame) -> dict[str, dt.datetime]:
    """Return the first and last bar of the entries, so that statements touch only their months."""
    first, last = entries["first_ts_event"].min(), entries["last_ts_event"].max()
    return {
        "first_ts": first if isinstance(first, dt.datetime) else EPOCH,
        "last_ts": last if isinstance(last, dt.datetime) else EPOCH,
    }


def _total(warehouse: Warehouse, timeframes: list[Timeframe]) -> int:
    return sum(sum(rows_by_root(warehouse, RAW[t]).values()) for t in timeframes)


def _repeating_slices(
    warehouse: Warehouse,
    timeframe: Timeframe,
    chosen: pl.DataFrame,
    contents: Mapping[int, Content],
    slices: list[Slice],
) -> list[Slice]:
    """Return landed slices of other loaded files that dropped bars of the same roots."""
    dropped = warehouse.query(
        "SELECT source_file_id, root FROM `ops.loads` "
        "WHERE timeframe = @timeframe AND duplicates + conflicts > 0",
        {"timeframe": timeframe},
    )
    removed = set(chosen.select("source_file_id", "root").iter_rows())
    roots = {root for _, root in removed}
    wanted = {row for row in dropped.iter_rows() if row not in removed and row[1] in roots}
    found = [
        piece
        for piece in slices
        if piece.timeframe == timeframe
        and (contents[piece.file_no].source_file_id, piece.root) in wanted
    ]
    landed = {(contents[piece.file_no].source_file_id, piece.root) for piece in found}
    if missing := sorted(wanted - landed):
        raise UsageError(
            "it repeats bars that would be removed, and is no longer in the landing zone",
            subject=f"file {missing[0][0][:12]}",
            remedy="Run `cbi inventory` with the drive mounted, then unload again.",
        )
    return found
