"""Publish the folds of training tables, and the counts of ops.training_builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from cbi_assets.features.folds import FoldSizes, walk_forward
from cbi_assets.session import Session
from cbi_assets.tables import FOLDS, TRAINING_BUILDS
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.merge import merge_rows, merge_rows_where


def publish_summaries(
    session: Session,
    digests: Mapping[str, str],
    counts: Mapping[str, pl.DataFrame],
    folds: pl.DataFrame,
    done: Sequence[Statement],
) -> pl.DataFrame:
    """Replace the folds and the rows of ops.training_builds of these tables; return the latter.

    `digests` and COUNTS are by table; `folds` are all that exist, and those that are the same stay.
    `done` are statements of the same transaction.
    """
    warehouse, training = session.warehouse, session.project.training
    builds = pl.DataFrame(schema=TRAINING_BUILDS.polars_schema)
    statements = list(done)
    if digests:
        entries, fresh = [], {}
        for name, digest in digests.items():
            table, folded = training.tables[name], training.folds_of(name)
            # A bar's target never leaves its session: a date between two roles is more than enough.
            horizon = table.horizon if table.bar is None else 1
            sizes = FoldSizes(folded.train, folded.valid, folded.test)
            dates = counts[name]["trade_date"].sort()
            own = walk_forward(dates.to_list(), horizon, sizes)
            fresh[name] = own.select(pl.lit(name).alias("table"), pl.all()).select(
                FOLDS.column_names
            )
            entries.append(
                {
                    "table": name,
                    "symbol": table.root,
                    "built_at": session.now,
                    **counts[name].drop("trade_date").sum().row(0, named=True),
                    "first_date": dates.min(),
                    "last_date": dates.max(),
                    "folds": own["fold"].n_unique(),
                    "inputs": digest,
                }
            )
        builds = pl.DataFrame(entries, schema=TRAINING_BUILDS.polars_schema)
        changed = {name: own for name, own in fresh.items() if not _is_same(folds, name, own)}
        if changed:
            staged = warehouse.stage_frame("folds_rows", pl.concat(changed.values()))
            where = "t.`table` IN UNNEST(@names)"
            statements.append(merge_rows_where(FOLDS, staged, where, {"names": list(changed)}))
        staged = warehouse.stage_frame("training_builds_rows", builds)
        statements.append(merge_rows(TRAINING_BUILDS, staged))
    if statements:
        warehouse.transact(statements)
    return builds


def _is_same(folds: pl.DataFrame, name: str, own: pl.DataFrame) -> bool:
    return (
        folds.filter(table=name)
        .select(FOLDS.column_names)
        .sort(FOLDS.key)
        .equals(own.sort(FOLDS.key))
    )
