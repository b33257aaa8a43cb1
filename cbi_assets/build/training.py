"""Build the training tables from the matrix, the sessions and the bars, only where these changed.

A row takes its features from daily_ml_matrix_flat, in SQL, and its target from
`features.targets`. Nothing of a training table flows back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.build.bar_targets import (
    RULES,
    MonthTexts,
    changed_bars,
    owed_daily_months,
    owed_months,
)
from cbi_assets.build.build_slices import NO_CUTOFF, BuildSlices, Owed, store_slices
from cbi_assets.build.training_statements import BarBatch, assert_row_counts, replace_daily_rows
from cbi_assets.build.training_summaries import publish_summaries
from cbi_assets.config.training import TrainingTable
from cbi_assets.counted_steps import log_step, log_steps
from cbi_assets.errors import CbiError
from cbi_assets.features.targets import TARGET_COLUMNS, Steps, daily_targets, no_symbols, steps_of
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Session
from cbi_assets.tables import (
    DAILY_ML_MATRIX,
    DAILY_ML_MATRIX_FLAT,
    DERIVED,
    TRAINING,
    TRAINING_BUILDS,
    TableSpec,
)
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

MISSING: Final = {
    "not yet": "not_yet",
    "roll step unknown": "roll_unknown",
    "gap or session break": "gaps",
    "price not positive": "other_missing",
}
"""The columns of ops.training_builds that count rows without a target, by reason."""

_MONTH: Final = pl.col("data_date").dt.truncate("1mo")


@dataclass(frozen=True)
class TrainingOutcome:
    """What a build did to each training table it looked at.

    `written` and `removed` count rows by table, 0 and 0 if nothing changed; `builds` are the rows
    of ops.training_builds; `checks` are of the tables that changed.
    """

    written: dict[str, int]
    removed: dict[str, int]
    builds: pl.DataFrame
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def has_failures(self) -> bool:
        """Whether a check of a table failed."""
        return any(result.failed for result in self.checks)


@dataclass(frozen=True)
class RootInputs:
    """What the targets of a root's rows are computed from.

    Attributes
    ----------
    matrix : pl.DataFrame
        data_date, timestamp, ingestion_ts, price_source of its matrix rows, sorted by data_date.
    steps : Steps or None
        Its daily returns; None without sessions.
    """

    matrix: pl.DataFrame
    steps: Steps | None

    def month_texts(self) -> MonthTexts:
        """Return what rows of bars depend on besides the bars."""
        symbols = no_symbols() if self.steps is None else self.steps.symbols
        return MonthTexts.of(symbols.select("trade_date", pl.exclude("trade_date")), self.matrix)


def build_training(
    session: Session,
    roots: Collection[str],
    changed: Mapping[str, Collection[dt.date]] | None = None,
) -> TrainingOutcome:
    """Update the training tables of these roots, and their folds.

    Parameters
    ----------
    session : Session
        The session.
    roots : collection of str
        The roots whose tables to update. A table is made with its root's first matrix row.
    changed : mapping of str to dates, optional
        First days of the months whose matrix rows this process has just changed, by root: the rows
        of these are compared, whatever ops.training_builds and ops.build_slices say.
    """
    log_step("comparing the training tables")
    warehouse, training = session.warehouse, session.project.training
    changed = changed or {}
    wanted = {n: t for n, t in training.tables.items() if t.root in roots}
    if not wanted:
        return TrainingOutcome({}, {}, pl.DataFrame(schema=TRAINING_BUILDS.polars_schema))
    before = warehouse.query(f"SELECT * FROM `{TRAINING_BUILDS.id}`")
    known = dict(before.select("table", "inputs").iter_rows())
    having_rows = rows_by_root(warehouse, DAILY_ML_MATRIX)
    wanted = {n: t for n, t in wanted.items() if t.root in having_rows or n in known}
    if not wanted:
        return TrainingOutcome({}, {}, before.sort("table"))
    warehouse.create_tables([TRAINING[name] for name in wanted])
    _check_view(warehouse)
    changes: dict[str, Change] = {}
    done: dict[TableSpec, pl.DataFrame] = {}
    with_tables = dict.fromkeys(table.root for table in wanted.values())
    tables = [*(TRAINING[name] for name in wanted), *DERIVED.values()]
    slices = BuildSlices.read(warehouse, tables, list(with_tables))
    batch = BarBatch(warehouse)
    for root in log_steps(with_tables, lambda root: f"building training tables of {root}"):
        inputs = read_inputs(session, root)
        own, again = {n: t for n, t in wanted.items() if t.root == root}, changed.get(root, ())
        daily = {n: _daily_rows(inputs, t.horizon) for n, t in own.items() if t.bar is None}
        owed_days = {n: owed_daily_months(n, own[n], daily[n], slices, again) for n in daily}
        counts = _update_daily(warehouse, root, daily, owed_days)
        for name, rows in daily.items():
            changes[name] = Change(_digest(own[name], rows), *counts.get(name, (0, 0)))
            done[TRAINING[name]] = owed_days[name]
        texts = inputs.month_texts()
        for name, table in own.items():
            if table.bar is not None:
                owed = owed_months(name, table, slices, texts, again)
                changes[name] = _update_bars(batch, name, table, inputs, owed)
                done[TRAINING[name]] = owed.months
    batch.publish()
    for name, change in changes.items():
        if change.written or change.removed:
            logger.info("%s: %d rows written, %d removed", name, change.written, change.removed)
    digests = {
        name: change.digest
        for name, change in changes.items()
        if change.digest != known.get(name) or change.written or change.removed
    }
    rows = pl.concat(
        [
            before.filter(~pl.col("table").is_in(list(digests))),
            publish_summaries(session, digests, store_slices(warehouse, done)),
        ],
        how="vertical_relaxed",
    )
    return TrainingOutcome(
        {name: changes[name].written for name in wanted},
        {name: changes[name].removed for name in wanted},
        rows.sort("table"),
    )


def _check_view(warehouse: Warehouse) -> None:
    """Raise CbiError if the view of the matrix has other columns: rows are inserted by place."""
    found = warehouse.live_table(DAILY_ML_MATRIX_FLAT)
    names = tuple(column.name for column in found.columns) if found else ()
    if names != DAILY_ML_MATRIX_FLAT.column_names:
        raise CbiError(
            "an earlier version created it",
            subject=DAILY_ML_MATRIX_FLAT.id,
            remedy="Drop features.daily_ml_matrix and run `cbi build` again, which fills it.",
        )


def read_inputs(session: Session, root: str, until: dt.date = NO_CUTOFF) -> RootInputs:
    """Read a root's matrix rows and its daily returns, from what the build published to `until`."""
    warehouse = session.warehouse
    matrix = warehouse.query(load_sql("training/matrix_rows"), {"root": root})
    return RootInputs(matrix.filter(pl.col("data_date") <= until), read_steps(session, root, until))


def read_steps(session: Session, root: str, until: dt.date = NO_CUTOFF) -> Steps | None:
    """Compute a root's daily returns from the sessions up to `until`."""
    return steps_from(session, root, read_closes(session.warehouse, root, until))


def read_closes(warehouse: Warehouse, root: str, until: dt.date = NO_CUTOFF) -> pl.DataFrame:
    """Return the closes of a root's sessions up to `until`."""
    params = {"root": root, "until": until}
    return warehouse.query(load_sql("training/session_closes"), params)


def steps_from(session: Session, root: str, sessions: pl.DataFrame) -> Steps | None:
    """Compute a root's daily returns from the closes of its sessions."""
    if sessions.is_empty():
        return None
    chain = front_month_chain(sessions, session.universe)
    return steps_of(root, sessions, chain.front_months, session.universe.calendars()[root])


@dataclass(frozen=True)
class Change:
    """How many rows were written and removed, and the hash of what the table was built from."""

    digest: str
    written: int = 0
    removed: int = 0


def _update_daily(
    warehouse: Warehouse,
    root: str,
    tables: Mapping[str, pl.DataFrame],
    owed: Mapping[str, pl.DataFrame],
) -> dict[str, tuple[int, int]]:
    """Bring owed months of a root's tables of trade dates up to date, in one transaction.

    `tables` has all rows that they are to have. Returns how many rows were written and removed.
    """
    owed = {name: months for name, months in owed.items() if not months.is_empty()}
    if not owed:
        return {}
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    existing = warehouse.query(
        " UNION ALL ".join(
            f"SELECT '{name}' AS `table`, {', '.join(columns)} "
            f"FROM `{TRAINING[name].id}` WHERE symbol = @root"
            for name in owed
        ),
        {"root": root},
    )
    found: dict[str, tuple[int, int]] = {}
    statements: list[Statement] = []
    counts: list[tuple[str, int]] = []
    for name, months in owed.items():
        rows, before = tables[name], existing.filter(table=name)
        is_owed = _MONTH.is_in(months["month"].implode())
        # an earlier version recorded no months: what it left may be in one that has no rows now
        is_gone = ~pl.col("data_date").is_in(rows["data_date"].implode())
        fresh, before = rows.filter(is_owed), before.filter(is_owed | is_gone)
        written, removed, replacing = replace_daily_rows(warehouse, name, root, fresh, before)
        found[name] = written, removed
        if replacing:
            statements += replacing
            counts.append((TRAINING[name].id, rows.height))
    if statements:
        warehouse.transact([*statements, assert_row_counts(root, counts)])
    return found


def _daily_rows(inputs: RootInputs, horizon: int) -> pl.DataFrame:
    """Return data_date, ingestion_ts and TARGET_COLUMNS of the matrix rows that have a session."""
    rows = inputs.matrix.select("data_date", "ingestion_ts")
    if inputs.steps is None or rows.is_empty():
        return rows.clear()
    rows = rows.filter(pl.col("data_date").is_in(inputs.steps.closes["trade_date"].implode()))
    targets = daily_targets(rows, inputs.steps, horizon)
    return rows.join(targets, on="data_date", maintain_order="left")


def _update_bars(
    batch: BarBatch, name: str, table: TrainingTable, inputs: RootInputs, owed: Owed
) -> Change:
    """Bring what is owed of a table of bars up to date, at the latest when `batch` is published."""
    written = removed = 0
    if not owed.months.is_empty():
        for fresh, dates in changed_bars(
            batch.warehouse, name, table, inputs.steps, inputs.matrix, owed.windows
        ):
            batch.replace(name, table.root, fresh, dates)
            written += fresh.height
            removed += 0 if fresh.height else len(dates)
    return Change(_digest(table, inputs.matrix), written, removed)


def _digest(table: TrainingTable, frame: pl.DataFrame) -> str:
    text = f"{RULES} {table.model_dump_json()} {frame.write_csv()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
