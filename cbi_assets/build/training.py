"""Build the training tables from the matrix, the sessions and the bars, only where these changed.

A row takes its features from daily_ml_matrix_flat, in SQL, and its target from
`features.targets`. Nothing of a training table flows back.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cbi_assets.build.assemble import front_month_chain
from cbi_assets.build.build_slices import (
    SLICE_READS,
    BuildSlices,
)
from cbi_assets.build.training_summaries import publish_summaries
from cbi_assets.build.training_update import RootInputs, TrainingUpdate
from cbi_assets.counted_steps import log_step
from cbi_assets.errors import CbiError
from cbi_assets.features.targets import Steps, steps_of
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.session import Session
from cbi_assets.tables import (
    DAILY_ML_MATRIX_FLAT,
    DERIVED,
    FOLDS,
    TRAINING,
    TRAINING_BUILDS,
)
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

MISSING: Final = {
    "not yet": "not_yet",
    "roll step unknown": "roll_unknown",
    "gap or session break": "gaps",
    "price not positive": "other_missing",
}
"""The columns of ops.training_builds that count rows without a target, by reason."""

_BUILDS: Final = Statement(
    f"SELECT {', '.join(f'`{name}`' for name in TRAINING_BUILDS.column_names)} "
    f"FROM `{TRAINING_BUILDS.id}`"
)
_FOLDS: Final = Statement(
    f"SELECT {', '.join(f'`{name}`' for name in FOLDS.column_names)} FROM `{FOLDS.id}`"
)


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
    wanted = {n: t for n, t in session.project.training.tables.items() if t.root in roots}
    if not wanted:
        return TrainingOutcome({}, {}, pl.DataFrame(schema=TRAINING_BUILDS.polars_schema))
    with session.reading_ahead(training_reads(session)):
        before = session.warehouse.query(_BUILDS.sql)
        known = dict(before.select("table", "inputs").iter_rows())
        with_tables = dict.fromkeys(t.root for t in wanted.values())
        inputs = _read_inputs(session, with_tables, training_roots(session))
        wanted = {
            n: t for n, t in wanted.items() if not inputs[t.root].matrix.is_empty() or n in known
        }
        if not wanted:
            return TrainingOutcome({}, {}, before.sort("table"))
        session.warehouse.create_tables([TRAINING[name] for name in wanted])
        _check_view(session.warehouse)
        tables = [*(TRAINING[name] for name in wanted), *DERIVED.values()]
        slices = BuildSlices.read(
            session.warehouse, tables, list(dict.fromkeys(t.root for t in wanted.values()))
        )
        folds = session.warehouse.query(_FOLDS.sql)
    update = TrainingUpdate(session.warehouse, wanted, slices, inputs, changed or {})
    statements = [*update.daily(), *update.bars()]
    for name, change in update.changes.items():
        if change.written or change.removed:
            logger.info("%s: %d rows written, %d removed", name, change.written, change.removed)
    digests = {
        name: change.digest
        for name, change in update.changes.items()
        if change.digest != known.get(name) or change.written or change.removed
    }
    rows = pl.concat(
        [
            before.filter(~pl.col("table").is_in(list(digests))),
            publish_summaries(session, digests, update.counts, folds, statements),
        ],
        how="vertical_relaxed",
    )
    return TrainingOutcome(
        {name: update.changes[name].written for name in wanted},
        {name: update.changes[name].removed for name in wanted},
        rows.sort("table"),
    )


def training_reads(session: Session) -> list[Statement]:
    """Return what a build of training tables asks first."""
    roots = training_roots(session)
    return [_BUILDS, _FOLDS, *SLICE_READS, _matrix_query(roots), closes_query(roots)]


def training_roots(session: Session) -> list[str]:
    """Return the roots that have training tables."""
    return sorted({table.root for table in session.project.training.tables.values()})


def _matrix_query(roots: Sequence[str]) -> Statement:
    return Statement(load_sql("training/matrix_rows"), {"roots": list(roots)})


def _read_inputs(
    session: Session, roots: Iterable[str], every: Sequence[str]
) -> dict[str, RootInputs]:
    """Return the matrix rows and the daily returns of some of the roots that are read."""
    queries = (_matrix_query(every), closes_query(every))
    matrix, closes = (session.warehouse.query(query.sql, query.params) for query in queries)
    return {
        root: RootInputs(
            matrix.filter(symbol=root).drop("symbol"),
            steps_from(session, root, closes.filter(root=root)),
        )
        for root in roots
    }


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


def read_inputs(session: Session, root: str) -> RootInputs:
    """Read a root's matrix rows and its daily returns, from what the build published."""
    return _read_inputs(session, [root], [root])[root]


def closes_query(roots: Sequence[str]) -> Statement:
    """Return the query of the closes of roots' sessions."""
    return Statement(load_sql("training/session_closes"), {"roots": list(roots)})


def steps_from(session: Session, root: str, sessions: pl.DataFrame) -> Steps | None:
    """Compute a root's daily returns from the closes of its sessions."""
    if sessions.is_empty():
        return None
    chain = front_month_chain(sessions, session.universe)
    return steps_of(root, sessions, chain.front_months, session.universe.calendars()[root])
