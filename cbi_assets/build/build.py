"""Build: sessions, rolls, continuous series and daily_ml_matrix, in one transaction."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from cbi_assets.build.assemble import (
    Assembled,
    assemble,
    assembly_reads,
    feature_legs,
    matrix_slices,
)
from cbi_assets.build.bar_inventory import inventory_queries, read_inventory
from cbi_assets.build.build_slices import (
    NO_CUTOFF,
    SLICE_READS,
    BuildSlices,
    store_slices,
    within,
)
from cbi_assets.build.derive import DeriveOutcome, derive, derived_queries, derived_tables
from cbi_assets.build.replace_rows import (
    Replacement,
    assert_totals,
    existing_query,
    replace_rows,
)
from cbi_assets.build.stitch_statistics import record_stitch
from cbi_assets.build.zone_rows import with_memories, zone_start
from cbi_assets.features.matrix import ZONE_ROOTS
from cbi_assets.ledger.check_results import FAILED_UPSTREAM, CheckResult, failed_upstream
from cbi_assets.session import Session
from cbi_assets.tables import CONTINUOUS, DAILY_ML_MATRIX, ROLL_CALENDAR, SESSIONS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.row_counts import count_rows

logger = logging.getLogger(__name__)

BUILD_READS: Final = (FAILED_UPSTREAM, *SLICE_READS)
"""What a build asks first."""


@dataclass(frozen=True)
class BuildOutcome:
    """What a build found and wrote.

    `rows` of the matrix by root; `rolled` are the roots with rolls; `skipped` names the failed
    checks that kept a root out; `replaced` is what was written to each table, and empty if the
    build only made a `preview`.
    """

    rows: dict[str, int]
    skipped: dict[str, list[str]]
    first: dt.date | None = None
    last: dt.date | None = None
    rolled: tuple[str, ...] = ()
    checks: list[CheckResult] = field(default_factory=list)
    replaced: list[Replacement] = field(default_factory=list)
    derived: DeriveOutcome | None = None
    sessions_built: int = 0
    preview: pl.DataFrame | None = None

    @property
    def has_failures(self) -> bool:
        """Whether a root was kept out or a check of what was built failed."""
        return bool(self.skipped) or any(result.failed for result in self.checks)

    @property
    def changed_months(self) -> dict[str, set[dt.date]]:
        """The months (first days) in which rows of the matrix changed, by root."""
        found: dict[str, set[dt.date]] = {}
        for item in self.replaced:
            if item.spec is DAILY_ML_MATRIX:
                for root, date in item.keys.select("symbol", "data_date").iter_rows():
                    found.setdefault(root, set()).add(date.replace(day=1))
        return found


def build_tables(
    session: Session,
    *,
    roots: tuple[str, ...] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
    whole: bool = False,
    limit: int | None = None,
) -> BuildOutcome:
    """Update sessions, rolls, continuous series and matrix from the raw tables.

    Writes only rows that differ. See `verbs.build` for the parameters; `limit` returns the newest
    rows as a preview and publishes nothing.
    """
    warehouse = session.warehouse
    chosen = session.universe.select(roots)
    failed = failed_upstream(warehouse, session.universe.select())
    skipped = {root: reasons for root, reasons in failed.items() if root in chosen}
    buildable = [root for root in chosen if root not in skipped]
    legs = feature_legs(session.project, buildable)
    for leg in legs:
        if leg in failed:
            logger.warning("features that need %s stay empty: its bars failed a check", leg)
    legs = [leg for leg in legs if leg not in failed]
    every = [*buildable, *legs]
    logger.info("looking for changed bars of %d roots", len(every))
    tables = derived_tables(buildable)
    slices = BuildSlices.read(
        warehouse, [DAILY_ML_MATRIX, *(built.table for built in tables.values())], every, whole
    )
    owed = slices.owed(matrix_slices(session.project, every))
    windows = pl.concat([owed.windows, *(slices.owed(built).windows for built in tables.values())])
    of_derived = pl.concat(slices.owed(built).windows for built in tables.values()).unique()
    is_derived = limit is None and bool(buildable)
    reads = [
        *inventory_queries(windows.unique()),
        *(derived_queries(of_derived) if is_derived else ()),
    ]
    with session.reading_ahead(reads):
        inventory = read_inventory(warehouse, windows.unique())
        derived = None
        if is_derived:
            derived = derive(
                session,
                tuple(buildable),
                whole=whole,
                slices=slices,
                inventory=inventory,
                failed={},  # of those that may be built
            )
    reads = assembly_reads(session, every, owed.windows, NO_CUTOFF)
    if limit is None:
        reads += [existing_query(spec, buildable) for spec in (SESSIONS, ROLL_CALENDAR, CONTINUOUS)]
    with session.reading_ahead(reads):
        made = assemble(
            session,
            buildable,
            legs,
            owed.windows,
            within(inventory, owed.windows),
            whole=whole,
            zones={
                root: zone_start(slices.stored, owed, root) for root in ZONE_ROOTS if root in every
            },
        )
        matrix = made.matrix
        if not matrix.is_empty():
            matrix = matrix.filter(
                pl.col("data_date").is_between(start or dt.date.min, end or dt.date.max)
            )
        if limit is not None:
            return _preview(matrix, skipped, limit)
        months = with_memories(owed.months, made.zone_memories)
        months = months.filter(pl.col("root").is_in(buildable))
        done = store_slices(warehouse, {DAILY_ML_MATRIX: months}) if not (start or end) else []
        replaced = _publish(warehouse, made, matrix, buildable, start, end, done)
    _record_stitch(session, made)
    return BuildOutcome(
        **_extent(matrix),
        skipped=skipped,
        rolled=tuple(sorted(set(made.rolls["root"]))),
        replaced=replaced,
        derived=derived,
        sessions_built=made.sessions_built,
    )


def _record_stitch(session: Session, made: Assembled) -> None:
    """Record what justifies the stitch, from the sessions just built."""
    stitch = session.project.sources.stitch
    if stitch is None or made.matrix.is_empty():
        return
    own = made.matrix.filter(pl.col("symbol") == stitch.root)
    if own.is_empty():
        return
    closes = own.select(date="data_date", close=pl.col("market_data").struct.field("close"))
    record_stitch(session, closes)


def _publish(
    warehouse: Warehouse,
    made: Assembled,
    matrix: pl.DataFrame,
    roots: list[str],
    start: dt.date | None,
    end: dt.date | None,
    done: list[Statement],
) -> list[Replacement]:
    tables = (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)
    row_counts = count_rows(warehouse, tables)
    replaced = [
        replace_rows(warehouse, SESSIONS, made.sessions, roots),
        replace_rows(warehouse, ROLL_CALENDAR, made.rolls, roots),
        replace_rows(warehouse, CONTINUOUS, made.continuous, roots),
        replace_rows(
            warehouse,
            DAILY_ML_MATRIX,
            matrix,
            roots,
            root_column="symbol",
            start=start,
            end=end,
            leave_out=("ingestion_ts",),
        ),
    ]
    for item in replaced:
        logger.info(
            "%s: %s rows to write, %s to remove",
            item.spec.id,
            f"{item.written:,}",
            f"{item.removed:,}",
        )
    statements = [statement for item in replaced for statement in item.statements]
    if statements := [*statements, *assert_totals(replaced, row_counts), *done]:
        warehouse.transact(statements)
    return replaced


def _preview(matrix: pl.DataFrame, skipped: dict[str, list[str]], limit: int) -> BuildOutcome:
    if matrix.is_empty():
        return BuildOutcome({}, skipped)
    newest = matrix.sort("data_date", "symbol", descending=[True, False]).head(limit)
    return BuildOutcome(**_extent(newest), skipped=skipped, preview=newest)


def _extent(matrix: pl.DataFrame) -> dict[str, Any]:
    if matrix.is_empty():
        return {"rows": {}}
    counts = dict(matrix.group_by("symbol").len().sort("symbol").iter_rows())
    return {"rows": counts, "first": matrix["data_date"].min(), "last": matrix["data_date"].max()}
