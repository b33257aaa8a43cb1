"""Build the training tables from the matrix, the sessions and the bars, only where these changed.

A row takes its features from daily_ml_matrix_flat, in SQL, and its target from
`features.targets`. Nothing of a training table flows back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.build.bar_targets import changed_bars
from cbi_assets.build.build_slices import NO_CUTOFF
from cbi_assets.config.training import Training, TrainingTable
from cbi_assets.errors import CbiError
from cbi_assets.features.folds import FoldSizes, walk_forward
from cbi_assets.features.targets import TARGET_COLUMNS, Steps, daily_targets, steps_of
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Session
from cbi_assets.tables import (
    DAILY_ML_MATRIX,
    DAILY_ML_MATRIX_FLAT,
    FOLDS,
    TRAINING,
    TRAINING_BUILDS,
    TableSpec,
)
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

_RULES: Final = 1
"""Increase it if the formula of a target or the layout of folds changes: all rows are compared."""

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


def build_training(
    session: Session, roots: Collection[str], changed: Collection[str] = ()
) -> TrainingOutcome:
    """Update the training tables of these roots, and their folds.

    Parameters
    ----------
    session : Session
        The session.
    roots : collection of str
        The roots whose tables to update. A table is made with its root's first matrix row.
    changed : collection of str
        Roots whose matrix this process has just changed: their tables are compared row by row,
        whatever ops.training_builds says.
    """
    warehouse, training = session.warehouse, session.project.training
    wanted = {n: t for n, t in training.tables.items() if t.root in roots}
    if not wanted:
        return TrainingOutcome({}, {}, pl.DataFrame(schema=TRAINING_BUILDS.polars_schema))
    before = warehouse.query(f"SELECT * FROM `{TRAINING_BUILDS.id}`")
    known = dict(before.select("table", "inputs").iter_rows())
    having_rows = rows_by_root(warehouse, DAILY_ML_MATRIX)
    wanted = {n: t for n, t in wanted.items() if t.root in having_rows or n in known}
    if wanted:
        warehouse.create_tables([TRAINING[name] for name in wanted])
        _check_view(warehouse)
    written, removed = dict.fromkeys(wanted, 0), dict.fromkeys(wanted, 0)
    entries = []
    for root in dict.fromkeys(table.root for table in wanted.values()):
        inputs = read_inputs(session, root)
        for name, table in wanted.items():
            if table.root != root:
                continue
            digest, change = _change(
                warehouse, name, table, inputs, None if root in changed else known.get(name)
            )
            if change is None:
                continue
            written[name], removed[name] = change.written, change.removed
            if change.written or change.removed:
                logger.info("%s: %d rows written, %d removed", name, change.written, change.removed)
            if digest != known.get(name) or change.written or change.removed:
                entries.append(_publish_summary(session, training, name, digest))
    rows = pl.concat(
        [
            before.filter(~pl.col("table").is_in([e["table"] for e in entries])),
            pl.DataFrame(entries, schema=TRAINING_BUILDS.polars_schema),
        ],
        how="vertical_relaxed",
    )
    return TrainingOutcome(written, removed, rows.sort("table"))


def _check_view(warehouse: Warehouse) -> None:
    """Raise CbiError if the view of the matrix has other columns: rows are inserted by place."""
    found = warehouse.query(f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}` WHERE FALSE")
    if tuple(found.columns) != DAILY_ML_MATRIX_FLAT.column_names:
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
    params = {"root": root, "until": until}
    sessions = session.warehouse.query(load_sql("training/session_closes"), params)
    if sessions.is_empty():
        return None
    chain = front_month_chain(sessions, session.universe)
    return steps_of(root, sessions, chain.front_months, session.universe.calendars()[root])


@dataclass(frozen=True)
class Change:
    """How many rows were written and removed."""

    written: int
    removed: int


def _change(
    warehouse: Warehouse, name: str, table: TrainingTable, inputs: RootInputs, known: str | None
) -> tuple[str, Change | None]:
    """Bring a table up to date; return the hash of its inputs, and None if that is `known`."""
    if table.bar is not None:
        written = removed = 0
        digest = _digest(table, inputs.matrix)
        for fresh, dates in changed_bars(warehouse, name, table, inputs.steps, inputs.matrix):
            # before the next batch, which is staged under the same name
            warehouse.transact(_replace_dates(warehouse, name, table.root, fresh, dates))
            written += fresh.height
            removed += 0 if fresh.height else len(dates)
        return digest, Change(written, removed)
    rows = inputs.matrix.select("data_date", "ingestion_ts")
    if inputs.steps is None or rows.is_empty():
        fresh = rows.clear()
        digest = _digest(table, fresh)
    else:
        with_session = pl.col("data_date").is_in(inputs.steps.closes["trade_date"].implode())
        rows = rows.filter(with_session)
        fresh = rows.join(
            daily_targets(rows, inputs.steps, table.horizon), on="data_date", maintain_order="left"
        )
        digest = _digest(table, fresh)
    if digest == known:
        return digest, None
    return digest, _replace_rows(warehouse, name, table.root, fresh)


def _digest(table: TrainingTable, frame: pl.DataFrame) -> str:
    text = f"{_RULES} {table.model_dump_json()} {frame.write_csv()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _replace_rows(warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame) -> Change:
    """Replace the daily rows that differ from `fresh` in a target or in their matrix row."""
    spec = TRAINING[name]
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    existing = warehouse.query(
        f"SELECT {', '.join(columns)} FROM `{spec.id}` WHERE symbol = @root", {"root": root}
    )
    if fresh.width < len(columns):
        fresh = existing.clear()
    kinds = [pl.col(name).cast(kind) for name, kind in spec.schema_of(*columns).items()]
    fresh, existing = fresh.select(kinds), existing.select(kinds)
    same = existing.join(fresh, on=columns, how="semi", nulls_equal=True).select("data_date")
    changed = fresh.join(same, on="data_date", how="anti")
    deleted = existing.select("data_date").join(same, on="data_date", how="anti")
    if changed.is_empty() and deleted.is_empty():
        return Change(0, 0)
    statements = [
        *_deletion(warehouse, spec, root, deleted),
        *_insertion(warehouse, spec, root, changed),
        _assertion(spec, root, fresh.height),
    ]
    gone = deleted.join(fresh, on="data_date", how="anti").height
    warehouse.transact(statements)
    return Change(changed.height, gone)


def _replace_dates(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, dates: Sequence[dt.date]
) -> list[Statement]:
    """Return the statements that replace all rows of bars of these trade dates."""
    spec = TRAINING[name]
    existing = warehouse.query(
        f"SELECT bar_end FROM `{spec.id}` WHERE symbol = @root "
        "AND trade_date BETWEEN @first AND @last AND trade_date IN UNNEST(@dates)",
        {"root": root, "first": min(dates), "last": max(dates), "dates": list(dates)},
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
    return [Statement(sql, {"root": root})]


def _assertion(spec: TableSpec, root: str, rows: int) -> Assertion:
    return Assertion(
        f"SELECT COUNT(*) AS row_count FROM `{spec.id}` WHERE symbol = @root "
        "HAVING COUNT(*) <> @rows",
        {"root": root, "rows": rows},
        subject=spec.id,
        message=f"would contain {{0}} rows, {rows} were built",
        remedy="Nothing was published.",
    )


def _publish_summary(
    session: Session, training: Training, name: str, digest: str
) -> dict[str, Any]:
    """Replace a table's folds and its row of ops.training_builds; return that row."""
    warehouse, spec, table = session.warehouse, TRAINING[name], training.tables[name]
    date = "data_date" if table.bar is None else "trade_date"
    (counts,) = warehouse.query(load_sql("training/summary", table=spec.id, date=date)).to_dicts()
    dates = warehouse.query(
        f"SELECT DISTINCT {date} FROM `{spec.id}` WHERE symbol = @root ORDER BY {date}",
        {"root": table.root},
    )[date].to_list()
    sizes = training.folds_of(name)
    # A bar's target never leaves its session: a date between two roles is more than enough.
    horizon = table.horizon if table.bar is None else 1
    folds = walk_forward(dates, horizon, FoldSizes(sizes.train, sizes.valid, sizes.test))
    entry = {
        "table": name,
        "symbol": table.root,
        "built_at": session.now,
        **counts,
        "folds": folds["fold"].n_unique(),
        "inputs": digest,
    }
    statements = [
        Statement(f"DELETE FROM `{FOLDS.id}` WHERE `table` = @name", {"name": name}),
        Statement(f"DELETE FROM `{TRAINING_BUILDS.id}` WHERE `table` = @name", {"name": name}),
    ]
    for target, rows in (
        (FOLDS, folds.with_columns(pl.lit(name).alias("table"))),
        (TRAINING_BUILDS, pl.DataFrame([entry], schema=TRAINING_BUILDS.polars_schema)),
    ):
        if rows.is_empty():
            continue
        names = ", ".join(f"`{name}`" for name in target.column_names)  # TABLE is a keyword
        staged = warehouse.stage_frame(f"{target.name}_rows", rows.select(target.column_names))
        statements.append(
            Statement(f"INSERT INTO `{target.id}` ({names}) SELECT {names} FROM `{staged}`")
        )
    warehouse.transact(statements)
    return entry
