"""Build the training tables from the matrix, the sessions and the bars, only where these changed.

A row takes its features from daily_ml_matrix_flat, in SQL, and its target from
`features.targets`. Nothing of a training table flows back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.build.bar_targets import RULES, MonthTexts, changed_bars, owed_months
from cbi_assets.build.build_slices import NO_CUTOFF, BuildSlices, Owed, span_of, store_slices
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
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
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
    of_bars = {n: t for n, t in wanted.items() if t.bar is not None}
    changes: dict[str, Change] = {}
    done: dict[TableSpec, pl.DataFrame] = {}
    with_tables = dict.fromkeys(table.root for table in wanted.values())
    for root in log_steps(with_tables, lambda root: f"building training tables of {root}"):
        inputs = read_inputs(session, root)
        daily = {n: t for n, t in wanted.items() if t.root == root and t.bar is None}
        own = None if root in changed else known
        changes |= _update_daily(warehouse, daily, inputs, own or {})
        own_bars = {n: t for n, t in of_bars.items() if t.root == root}
        if not own_bars:
            continue
        texts = inputs.month_texts()
        tables = [*(TRAINING[name] for name in own_bars), *DERIVED.values()]
        slices = BuildSlices.read(warehouse, tables, [root])
        for name, table in own_bars.items():
            owed = owed_months(name, table, slices, texts, changed.get(root, ()))
            changes[name] = _update_bars(warehouse, name, table, inputs, owed)
            done[TRAINING[name]] = owed.months
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
    tables: Mapping[str, TrainingTable],
    inputs: RootInputs,
    known: Mapping[str, str],
) -> dict[str, Change]:
    """Bring a root's tables of trade dates up to date, in one transaction.

    A table whose inputs have the `known` hash is not read.
    """
    rows = inputs.matrix.select("data_date", "ingestion_ts")
    fresh: dict[str, pl.DataFrame] = {}
    found: dict[str, Change] = {}
    for name, table in tables.items():
        own = rows.clear()
        if inputs.steps is not None and not rows.is_empty():
            with_session = pl.col("data_date").is_in(inputs.steps.closes["trade_date"].implode())
            own = rows.filter(with_session)
            targets = daily_targets(own, inputs.steps, table.horizon)
            own = own.join(targets, on="data_date", maintain_order="left")
        found[name] = Change(_digest(table, own))
        if found[name].digest != known.get(name):
            fresh[name] = own
    if not fresh:
        return found
    root = tables[next(iter(fresh))].root
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    existing = warehouse.query(
        " UNION ALL ".join(
            f"SELECT '{name}' AS `table`, {', '.join(columns)} "
            f"FROM `{TRAINING[name].id}` WHERE symbol = @root"
            for name in fresh
        ),
        {"root": root},
    )
    statements: list[Statement] = []
    counts: list[tuple[str, int]] = []
    for name, own in fresh.items():
        change, replacing = _replace_rows(warehouse, name, root, own, existing.filter(table=name))
        found[name] = replace(change, digest=found[name].digest)
        if replacing:
            statements += replacing
            counts.append((TRAINING[name].id, own.height))
    if statements:
        warehouse.transact([*statements, _assertion(root, counts)])
    return found


def _update_bars(
    warehouse: Warehouse, name: str, table: TrainingTable, inputs: RootInputs, owed: Owed
) -> Change:
    """Bring what is owed of a table of bars up to date."""
    written = removed = 0
    if not owed.months.is_empty():
        for fresh, dates in changed_bars(
            warehouse, name, table, inputs.steps, inputs.matrix, owed.windows
        ):
            # before the next batch, which is staged under the same name
            warehouse.transact(_replace_dates(warehouse, name, table.root, fresh, dates))
            written += fresh.height
            removed += 0 if fresh.height else len(dates)
    return Change(_digest(table, inputs.matrix), written, removed)


def _digest(table: TrainingTable, frame: pl.DataFrame) -> str:
    text = f"{RULES} {table.model_dump_json()} {frame.write_csv()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _replace_rows(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, existing: pl.DataFrame
) -> tuple[Change, list[Statement]]:
    """Replace the daily rows that differ from `fresh` in a target or in their matrix row."""
    spec = TRAINING[name]
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    if fresh.width < len(columns):
        fresh = existing.clear()
    kinds = [pl.col(name).cast(kind) for name, kind in spec.schema_of(*columns).items()]
    fresh, existing = fresh.select(kinds), existing.select(kinds)
    same = existing.join(fresh, on=columns, how="semi", nulls_equal=True).select("data_date")
    changed = fresh.join(same, on="data_date", how="anti")
    deleted = existing.select("data_date").join(same, on="data_date", how="anti")
    statements = [
        *_deletion(warehouse, spec, root, deleted),
        *_insertion(warehouse, spec, root, changed),
    ]
    gone = deleted.join(fresh, on="data_date", how="anti").height
    return Change("", changed.height, gone), statements


def _replace_dates(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, dates: Sequence[dt.date]
) -> list[Statement]:
    """Return the statements that replace all rows of bars of these trade dates."""
    spec = TRAINING[name]
    span = span_of([root], min(dates), max(dates))
    bounds = {name: span[name] for name in ("first_ts", "last_ts")}
    existing = warehouse.query(
        f"SELECT bar_end FROM `{spec.id}` WHERE symbol = @root "
        "AND bar_end >= @first_ts AND bar_end < @last_ts AND trade_date IN UNNEST(@dates)",
        {"root": root, "dates": list(dates), **bounds},
    )
    return [
        *_deletion(warehouse, spec, root, existing),
        *_insertion(warehouse, spec, root, fresh),
    ]


def _deletion(
    warehouse: Warehouse, spec: TableSpec, root: str, keys: pl.DataFrame
) -> list[Statement]:
    if keys.is_empty():
        return []
    date = spec.key[1]
    staged = warehouse.stage_frame(f"{spec.name}_delete", keys.select(date))
    sql = load_sql("training/delete_rows", rewritten=spec.id, deleted=staged, date=date)
    return [Statement(sql, {"root": root, "first": keys[date].min(), "last": keys[date].max()})]


def _insertion(
    warehouse: Warehouse, spec: TableSpec, root: str, fresh: pl.DataFrame
) -> list[Statement]:
    """Return the statement that inserts `fresh` with the features of the matrix."""
    if fresh.is_empty():
        return []
    own = fresh.drop("ingestion_ts", strict=False)
    staged = warehouse.stage_frame(f"{spec.name}_rows", own)
    features = [c.name for c in FEATURES if c.name not in ("symbol", "data_date")]
    sql = load_sql(
        "training/insert_rows",
        rewritten=spec.id,
        staged=staged,
        columns=", ".join(["symbol", *own.columns, *features, "training_weight"]),
    )
    rows = fresh["data_date"]
    span = {"first": rows.min() or NO_CUTOFF, "last": rows.max() or NO_CUTOFF}
    return [Statement(sql, {"root": root, **span})]


def _assertion(root: str, counts: Sequence[tuple[str, int]]) -> Assertion:
    """Return the assertion that each table has so many rows."""
    return Assertion(
        " UNION ALL ".join(
            f"SELECT '{table}' AS table_id, COUNT(*) AS row_count, @rows_{number} AS built "
            f"FROM `{table}` WHERE symbol = @root HAVING COUNT(*) <> @rows_{number}"
            for number, (table, _) in enumerate(counts)
        ),
        {"root": root, **{f"rows_{number}": rows for number, (_, rows) in enumerate(counts)}},
        subject="{0}",
        message="would contain {1} rows, {2} were built",
        remedy="Nothing was published.",
    )
