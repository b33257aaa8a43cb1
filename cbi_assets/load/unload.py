"""Unload: take one file's, load's or job's bars out again, ledger and all, in one transaction.

Bars that another loaded file holds too, and that were dropped there as duplicates, are not lost:
that file is reopened, and the next load decides on them again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
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
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Assertion, Params, Statement, Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

Scope = Literal["file", "load", "job"]

_COLUMN: dict[Scope, str] = {"file": "source_file_id", "load": "load_id", "job": "job_id"}


@dataclass(frozen=True)
class UnloadPlan:
    """What an unload would take out. `entries` has one row a file, timeframe and root:
    source_file_id, timeframe, root, records, published, first_ts_event, last_ts_event, path.
    `version` is the ledger's when it was looked up."""

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


def plan_unload(session: Session, scope: Scope, value: str) -> UnloadPlan:
    """Find what one file, load or job has in the books. A file may be given by its id's start.

    Raises UsageError when nothing is found, or when the id's start fits several files.
    """
    version = ledger_version(session.warehouse)
    entries = session.warehouse.query(
        f"SELECT loads.source_file_id, loads.timeframe, loads.root, loads.records, "
        f"loads.published, loads.first_ts_event, loads.last_ts_event, files.path "
        f"FROM `ops.loads` AS loads "
        f"JOIN `ops.source_files` AS files ON loads.source_file_id = files.id "
        f"WHERE STARTS_WITH(loads.{_COLUMN[scope]}, @value) "
        f"AND (@exact = '' OR loads.{_COLUMN[scope]} = @exact) "
        "ORDER BY loads.source_file_id, loads.timeframe, loads.root",
        {"value": value, "exact": "" if scope == "file" else value},
    )
    if not value or entries.is_empty():
        raise UsageError(
            f"--{scope} {value}: nothing of it is loaded. `cbi inventory` shows files and jobs, "
            "ops.loads the loads."
        )
    if scope == "file" and entries["source_file_id"].n_unique() > 1:
        raise UsageError(f"--file {value}: more than one file's id starts so. Give more of it.")
    return UnloadPlan(scope, value, entries, version)


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
        losers = _losers(warehouse, timeframe, of_timeframe, contents, slices)
        if losers:
            staged = stage(session, contents, losers, "_reopen")
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
    # Dagster still shows these partitions as they were; the next load reports them anew
    found = {(root, t) for _, t, root, *_ in plan.entries.iter_rows() if root}
    touched = tuple(sorted(found, key=lambda item: (TIMEFRAMES.index(item[1]), item[0])))
    PendingEvents(session.home).add(touched)
    warehouse.transact(with_version_guard(statements, plan.version))
    removed = before - _total(warehouse, timeframes)
    return UnloadOutcome(plan, removed, reopened, touched)


def _span(entries: pl.DataFrame) -> dict[str, dt.datetime]:
    """First and last bar of the entries, so that a statement touches their partitions only."""
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    first, last = entries["first_ts_event"].min(), entries["last_ts_event"].max()
    return {
        "first_ts": first if isinstance(first, dt.datetime) else epoch,
        "last_ts": last if isinstance(last, dt.datetime) else epoch,
    }


def _total(warehouse: Warehouse, timeframes: list[Timeframe]) -> int:
    return sum(sum(rows_by_root(warehouse, RAW[t]).values()) for t in timeframes)


def _losers(
    warehouse: Warehouse,
    timeframe: Timeframe,
    chosen: pl.DataFrame,
    contents: Mapping[int, Content],
    slices: list[Slice],
) -> list[Slice]:
    """Landed slices of other loaded files that dropped bars of the same roots."""
    losing = warehouse.query(
        "SELECT source_file_id, root FROM `ops.loads` "
        "WHERE timeframe = @timeframe AND duplicates + conflicts > 0",
        {"timeframe": timeframe},
    )
    taken = set(chosen.select("source_file_id", "root").iter_rows())
    roots = {root for _, root in taken}
    wanted = {row for row in losing.iter_rows() if row not in taken and row[1] in roots}
    found = [
        piece
        for piece in slices
        if piece.timeframe == timeframe
        and (contents[piece.file_no].source_file_id, piece.root) in wanted
    ]
    landed = {(contents[piece.file_no].source_file_id, piece.root) for piece in found}
    if missing := sorted(wanted - landed):
        raise UsageError(
            f"file {missing[0][0][:12]} repeats bars that would be taken out, and is no longer in "
            "the landing zone. Run `cbi inventory` with the drive mounted, then unload again."
        )
    return found
