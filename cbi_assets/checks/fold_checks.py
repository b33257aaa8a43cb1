"""Check the folds of training tables: no target window touches another role's dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from cbi_assets.checks.check import Check, CheckContext
from cbi_assets.checks.training_slices import (
    ALL_FOLDS,
    UNCHANGED,
    folds_due,
    stored_windows,
)
from cbi_assets.config.training import TrainingTable
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.tables import FOLDS, TRAINING
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.read_ahead import query_alike


def run_folds(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Compare the target windows of every fold's rows with the dates of its other roles.

    Unless the context is full, only of roots of which a fold or a table has changed.
    """
    (check,) = checks
    warehouse, training = context.session.warehouse, context.session.project.training
    folds = warehouse.query(ALL_FOLDS.sql).sort("table", "fold", "from_date")
    chosen = {
        name: training.tables[name]
        for name in folds["table"].unique(maintain_order=True)
        if name in training.tables
        and (context.roots is None or training.tables[name].root in context.roots)
    }
    by_root: dict[str, list[pl.DataFrame]] = {table.root: [] for table in chosen.values()}
    due = folds_due(context, folds, chosen)
    chosen = {name: table for name, table in chosen.items() if table.root in due}
    windows = {name: stored_windows(context, name) for name in chosen}
    windows |= _read_windows(context, {n: chosen[n] for n, own in windows.items() if own is None})
    for name, own in windows.items():
        assert own is not None
        unpurged = find_unpurged(name, folds.filter(table=name), own)
        by_root[chosen[name].root].append(unpurged)
    sql = warehouse.to_dialect(f"SELECT * FROM `{FOLDS.id}` ORDER BY `table`, fold, from_date")
    results = []
    for root, parts in by_root.items():
        if root not in due:
            unchanged = f"{plural(0, check.noun)}, {UNCHANGED}"
            results.append(check.result(context, root, 0, [], sql, actual=unchanged))
            continue
        found = pl.concat(parts)
        if found.is_empty():
            context.store(FOLDS.id, [due[root]])
        results.append(check.result(context, root, found.height, found.head(20).to_dicts(), sql))
    return results


def _read_windows(
    context: CheckContext, tables: Mapping[str, TrainingTable]
) -> dict[str, pl.DataFrame]:
    """Return the windows of all dates of these tables' rows."""
    dates = {n: "data_date" if t.bar is None else "trade_date" for n, t in tables.items()}
    queries = [
        Statement(
            f"SELECT {dates[name]} AS first, MAX(target_date) AS last FROM `{TRAINING[name].id}` "
            f"WHERE symbol = @root GROUP BY {dates[name]}",
            {"root": table.root},
        )
        for name, table in tables.items()
    ]
    answers = query_alike(context.session.warehouse, queries)
    return {name: rows.sort("first") for name, rows in zip(tables, answers, strict=True)}


def find_unpurged(table: str, folds: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in a role whose window reaches another role, or that follow too soon.

    Parameters
    ----------
    table : str
        The training table.
    folds : pl.DataFrame
        Its rows of training.folds.
    windows : pl.DataFrame
        first and last: each date that has rows, and the last date that their targets see.
    """
    spans = folds.pivot("role", index="fold", values=["from_date", "to_date"])
    rows = windows.join(spans, how="cross")

    def in_role(role: str) -> pl.Expr:
        return pl.col("first").is_between(pl.col(f"from_date_{role}"), pl.col(f"to_date_{role}"))

    def reaches(role: str) -> pl.Expr:
        return pl.col("last") >= pl.col(f"from_date_{role}")

    # The embargo: a row within the horizon after validation starts inside a validation window.
    validated = (
        rows.filter(in_role("valid")).group_by("fold").agg(pl.col("last").max().alias("seen"))
    )
    rows = rows.join(validated, on="fold", how="left")
    return (
        rows.with_columns(
            problem=pl.when(in_role("train") & reaches("valid"))
            .then(pl.lit("a training window touches validation"))
            .when(in_role("train") & reaches("test"))
            .then(pl.lit("a training window touches test"))
            .when(in_role("valid") & reaches("test"))
            .then(pl.lit("a validation window touches test"))
            .when(in_role("test") & (pl.col("first") <= pl.col("seen")))
            .then(pl.lit("a test row is within the horizon after validation"))
        )
        .filter(pl.col("problem").is_not_null())
        .select(pl.lit(table).alias("table"), "fold", pl.col("first").alias("date"), "problem")
    )
