"""Publish the folds of training tables, and the counts of ops.training_builds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cbi_assets.config.training import Training
from cbi_assets.features.folds import FoldSizes, walk_forward
from cbi_assets.session import Session
from cbi_assets.tables import FOLDS, TRAINING, TRAINING_BUILDS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def publish_summaries(
    session: Session, digests: Mapping[str, str], done: Sequence[Statement]
) -> pl.DataFrame:
    """Replace the folds and the rows of ops.training_builds of these tables; return the latter.

    `done` are statements of the same transaction.
    """
    warehouse, training = session.warehouse, session.project.training
    builds = pl.DataFrame(schema=TRAINING_BUILDS.polars_schema)
    statements = list(done)
    if digests:
        summaries, dates = _summarize(warehouse, training, list(digests))
        entries, folds = [], []
        for name, digest in digests.items():
            table, folded = training.tables[name], training.folds_of(name)
            # A bar's target never leaves its session: a date between two roles is more than enough.
            horizon = table.horizon if table.bar is None else 1
            sizes = FoldSizes(folded.train, folded.valid, folded.test)
            own = walk_forward(dates[name], horizon, sizes)
            folds.append(own.with_columns(pl.lit(name).alias("table")))
            entries.append(
                {
                    "table": name,
                    "symbol": table.root,
                    "built_at": session.now,
                    **summaries[name],
                    "folds": own["fold"].n_unique(),
                    "inputs": digest,
                }
            )
        builds = pl.DataFrame(entries, schema=TRAINING_BUILDS.polars_schema)
        for target, rows in ((FOLDS, pl.concat(folds)), (TRAINING_BUILDS, builds)):
            statements.append(
                Statement(
                    f"DELETE FROM `{target.id}` WHERE `table` IN UNNEST(@names)",
                    {"names": list(digests)},
                )
            )
            if not rows.is_empty():
                names = ", ".join(f"`{name}`" for name in target.column_names)  # TABLE is a keyword
                staged = warehouse.stage_frame(
                    f"{target.name}_rows", rows.select(target.column_names)
                )
                statements.append(
                    Statement(f"INSERT INTO `{target.id}` ({names}) SELECT {names} FROM `{staged}`")
                )
    if statements:
        warehouse.transact(statements)
    return builds


def _summarize(
    warehouse: Warehouse, training: Training, tables: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dt.date]]]:
    """Return each table's counts, and the trade dates that its root has rows of."""
    dates = {n: "data_date" if training.tables[n].bar is None else "trade_date" for n in tables}
    rows = warehouse.query(
        " UNION ALL ".join(
            f"({load_sql('training/summary', own=n, table=TRAINING[n].id, date=date)})"
            for n, date in dates.items()
        )
    ).sort("date")
    summaries, found = {}, {}
    for name in tables:
        own = rows.filter(table_name=name).drop("table_name")
        counts = own.drop("date").sum().row(0, named=True)
        first, last = own["date"].min(), own["date"].max()
        summaries[name] = {**counts, "first_date": first, "last_date": last}
        found[name] = own["date"].to_list()
    return summaries, found
