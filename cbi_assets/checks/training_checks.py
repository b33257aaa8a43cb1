"""Check the training tables: nothing leaks, and targets roll as the ledger says."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import polars as pl

from cbi_assets.build.bar_targets import known_rows
from cbi_assets.build.build_slices import EVER
from cbi_assets.build.training import closes_query, steps_from, training_roots
from cbi_assets.checks.check import Check, CheckContext
from cbi_assets.checks.inline_sql import inline_params
from cbi_assets.checks.recomputed_targets import (
    Closes,
    Rolls,
    inconsistent_bars,
    recompute,
    rolled_by_ledger,
    same,
)
from cbi_assets.checks.slices import SLICES
from cbi_assets.checks.training_rows import StoredRows, draw, read_rows
from cbi_assets.checks.training_slices import (
    ALL_FOLDS,
    MATRIX_MONTHS,
    MONTHS_BUILT,
    UNCHANGED,
    read_rows_due,
    with_windows,
)
from cbi_assets.features.targets import SESSION, UTC_DAY, daily_targets
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.tables import DAILY_ML_MATRIX_FLAT, ROLL_CALENDAR
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Statement

CUTS: Final = 3
"""Dates at which the input is cut off."""

SAMPLED_ROWS: Final = 200

_NAMES: Final = [column.name for column in FEATURES if column.name not in ("symbol", "data_date")]
_UTC: Final = pl.Datetime("us", "UTC")


def run_training(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Run a training table's checks; a table that no build has made yet has no results.

    Unless the context is full, only the months that have changed since they passed are checked.
    """
    spec = checks[0].table
    table = context.session.project.training.tables.get(spec.name)
    if table is None or context.session.warehouse.live_table(spec) is None:
        return []
    if context.roots is not None and table.root not in context.roots:
        return []
    found_due = read_rows_due(context)
    due, stored = found_due.due[spec.name], found_due.rows.get(spec.name)
    if stored is None and (due.slices or context.full):
        stored = read_rows(context, {spec.name: (table, None)})[spec.name]
    results = []
    for check in checks:
        sql = f"SELECT * FROM `{spec.id}` WHERE symbol = @root"
        params: dict[str, object] = {"root": table.root}
        if stored is None:
            paste = context.session.warehouse.to_dialect(inline_params(sql, params))
            unchanged = f"{plural(0, check.noun)}, {UNCHANGED}"
            results.append(check.result(context, table.root, 0, [], paste, actual=unchanged))
            continue
        found = _CHECKS[check.name](context, stored)
        at = found[spec.key[1]][0] if found.height else stored.rows[spec.key[1]].max()
        if at is not None:
            sql += f" AND {spec.key[1]} = @at"
            params["at"] = at
        paste = context.session.warehouse.to_dialect(inline_params(sql, params))
        expected = f"none (seed {stored.seed})"
        sample = found.head(20).to_dicts()
        results.append(
            check.result(context, table.root, found.height, sample, paste, expected=expected)
        )
    if all(result.passed for result in results) and len(checks) == len(_CHECKS):
        passed = [] if stored is None else with_windows(due, stored.windows)
        context.store(spec.id, passed, due.gone)
    return results


def find_leaks(context: CheckContext, stored: StoredRows) -> pl.DataFrame:
    """Return rows that know the future: key, and what is wrong.

    A target that was known by a date must be what the input up to that date gives, and one that was
    not must not follow from it. A feature must be that of the matrix row, which must have been
    known by then.
    """
    rows = stored.rows
    if rows.is_empty():
        return rows.select(TRAINING_KEY[stored.table.bar is None])
    key = TRAINING_KEY[stored.table.bar is None]
    root = stored.table.root
    matrix = _matrix_dates(context, root)
    flat = _features(context, stored)
    joined = rows.join(flat, on="data_date", how="left", suffix="_matrix", maintain_order="left")
    if stored.table.bar is None:
        closes = matrix.select(target_date="data_date", last_close="timestamp")
        parts = [
            rows.join(closes, on="target_date", how="left")
            .filter(pl.col("target_known_at") < pl.col("last_close"))
            .select(*key, leak=pl.lit("its target is dated before its last close")),
            *(
                _leaks_of_targets(context, stored, cut)
                for cut in _cuts(stored, matrix["data_date"])
            ),
        ]
    else:
        known = known_rows(
            matrix.select(
                "data_date", "timestamp", "ingestion_ts", price_source="source_price_source"
            ),
            matrix.select(trade_date="data_date", last_end=pl.lit(None, _UTC)),
        )
        parts = [
            rows.join(known.drop("ingestion_ts"), on="data_date")
            .filter(pl.col("known_at") > pl.col("bar_end"))
            .select(*key, leak=pl.lit("its matrix row was not known by bar_end")),
            rows.filter(pl.col("target").is_not_null())
            .filter(~(pl.col("target_known_at") > pl.col("bar_end")).fill_null(False))
            .select(*key, leak=pl.lit("its target is dated before its bar ends")),
        ]
    parts.append(
        joined.with_columns(_first_differing(tuple(rows.columns)).alias("column"))
        .filter(pl.col("column").is_not_null())
        .select(*key, leak=pl.format("{} is not the matrix row's", "column"))
    )
    return pl.concat(parts).unique(key, keep="first", maintain_order=True)


@cache
def _first_differing(columns: tuple[str, ...]) -> pl.Expr:
    """Return the name of the first feature that differs from the matrix row's; null if none."""
    names = [name for name in _NAMES if name in columns]
    return (
        pl.concat_list(
            pl.when(pl.col(name).ne_missing(pl.col(f"{name}_matrix"))).then(pl.lit(name))
            for name in names
        )
        .list.drop_nulls()
        .list.first()
    )


TRAINING_KEY: Final = {True: ["data_date"], False: ["bar_end"]}


def _matrix_dates(context: CheckContext, root: str) -> pl.DataFrame:
    """Return what the checks need of all matrix rows of a root, sorted."""
    query = _matrix_query(context)
    every = context.once(
        ("matrix dates",), lambda: context.session.warehouse.query(query.sql, query.params)
    )
    return every.filter(symbol=root).drop("symbol").sort("data_date")


def _features(context: CheckContext, stored: StoredRows) -> pl.DataFrame:
    """Return the matrix rows that a table's rows may have their features from."""
    root = stored.table.root
    if stored.is_whole:
        return context.once(("flat", root), lambda: _read_features(context, [stored]))
    due = list(read_rows_due(context).rows.values())
    every = context.once(("flat", "due"), lambda: _read_features(context, due))
    return every.filter(symbol=root)


def _read_features(context: CheckContext, stored: Sequence[StoredRows]) -> pl.DataFrame:
    """Return the matrix rows of these tables' roots, from their first row to the last."""
    dates = pl.concat([each.rows["data_date"].drop_nulls() for each in stored])
    return context.session.warehouse.query(
        f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}` "
        "WHERE symbol IN UNNEST(@roots) AND data_date BETWEEN @first AND @last",
        {
            "roots": sorted({each.table.root for each in stored}),
            "first": dates.min() or EVER,
            "last": dates.max() or EVER,
        },
    )


def _matrix_query(context: CheckContext) -> Statement:
    return Statement(
        "SELECT symbol, data_date, timestamp, ingestion_ts, source_price_source, source_roll_rule "
        f"FROM `{DAILY_ML_MATRIX_FLAT.id}` WHERE symbol IN UNNEST(@roots)",
        {"roots": training_roots(context.session)},
    )


def _rolls_query(context: CheckContext) -> Statement:
    return Statement(
        "SELECT root, roll_date, decided_on, from_contract, to_contract "
        f"FROM `{ROLL_CALENDAR.id}` WHERE root IN UNNEST(@roots)",
        {"roots": training_roots(context.session)},
    )


def training_queries(context: CheckContext) -> list[Statement]:
    """Return what the checks of training tables ask first, if some of these have changed."""
    return [
        SLICES,
        ALL_FOLDS,
        MATRIX_MONTHS,
        MONTHS_BUILT,
        _matrix_query(context),
        _rolls_query(context),
        closes_query(training_roots(context.session)),
    ]


def _cuts(stored: StoredRows, every: pl.Series) -> list[dt.date]:
    """Draw dates before the newest, of which the input that exists is the whole.

    If some months are checked, it is one of the two weeks before, of `every` date of the matrix and
    so the same for all tables of a root: a date costs its whole history.
    """
    dates = stored.rows["data_date"].unique().sort().to_list()
    count = CUTS
    if not stored.is_whole:
        count = 1
        dates = every.filter(every <= dates[-1]).to_list()[-11:]
    earlier = dates[:-1]
    return random.Random(stored.seed).sample(earlier, min(count, len(earlier)))


def _leaks_of_targets(context: CheckContext, stored: StoredRows, cut: dt.date) -> pl.DataFrame:
    """Return rows whose target differs from what was known at the end of a date."""
    before = stored.rows.filter(pl.col("data_date") <= cut)
    root = stored.table.root
    known = _closes_of(context, root).filter(pl.col("trade_date") <= cut)
    steps = context.once(("steps", root, cut), lambda: steps_from(context.session, root, known))
    if steps is None:
        rebuilt = before.select("data_date", rebuilt=pl.lit(None, pl.Float64))
    else:
        exists = pl.col("data_date").is_in(steps.closes["trade_date"].implode())
        fresh = daily_targets(before.filter(exists), steps, stored.table.horizon)
        rebuilt = fresh.select("data_date", rebuilt="target")
    by_then = dt.datetime.combine(cut + dt.timedelta(days=1), dt.time(), dt.UTC)
    return (
        before.join(rebuilt, on="data_date", how="left", maintain_order="left")
        .with_columns(
            known=pl.when(pl.col("target_known_at") <= by_then).then(pl.col("target")),
        )
        .filter(~same(pl.col("known"), pl.col("rebuilt")))
        .select(
            "data_date",
            leak=pl.format(
                "target known at {} is {}, from input up to {} it is {}",
                pl.col("target_known_at").dt.strftime("%Y-%m-%d %H:%M"),
                pl.col("known").cast(pl.String).fill_null("unknown"),
                pl.lit(str(cut)),
                pl.col("rebuilt").cast(pl.String).fill_null("unknown"),
            ),
        )
    )


def find_inconsistent(context: CheckContext, stored: StoredRows) -> pl.DataFrame:
    """Return sampled rows whose target is not what closes and the roll ledger give.

    close(exit) / close(entry), times from_close / to_close of each roll between, less 1.
    """
    key = TRAINING_KEY[stored.table.bar is None]
    known = stored.rows.filter(pl.col("target").is_not_null())
    if stored.table.bar is not None:
        return inconsistent_bars(stored.rows, known).select(*key, "target", "recomputed")
    known = rolled_by_ledger(stored.rows, _matrix_dates(context, stored.table.root))
    places = draw(range(known.height), SAMPLED_ROWS, stored.seed)
    rows = known[sorted(places)]
    root = stored.table.root
    closes, rolls = context.once(("closes", root), lambda: _read_closes(context, root))
    recomputed = [recompute(row, closes, rolls) for row in rows.iter_rows(named=True)]
    return (
        rows.with_columns(pl.Series("recomputed", recomputed, pl.Float64))
        .filter(~same(pl.col("target"), pl.col("recomputed")))
        .select(*key, "target", "recomputed", "entry_contract", "exit_contract", "rolls_between")
    )


def _closes_of(context: CheckContext, root: str) -> pl.DataFrame:
    query = closes_query(training_roots(context.session))
    every = context.once(
        ("sessions",), lambda: context.session.warehouse.query(query.sql, query.params)
    )
    return every.filter(root=root)


def _read_closes(context: CheckContext, root: str) -> tuple[Closes, Rolls]:
    """Read the closes of a root's sessions, and its rolls."""
    sessions = _closes_of(context, root)
    kind = (
        pl.when(pl.col("built_from").is_in(INTRADAY))
        .then(pl.lit(SESSION))
        .otherwise(pl.lit(UTC_DAY))
    )
    closes = {
        (kind, contract, date): close
        for kind, contract, date, close in sessions.sort(
            pl.col("symbol").str.contains(".", literal=True), descending=True
        )
        .select(kind.alias("kind"), "contract_key", "trade_date", "close")
        .iter_rows()
    }
    query = _rolls_query(context)
    every = context.once(
        ("rolls",), lambda: context.session.warehouse.query(query.sql, query.params)
    )
    rolls = every.filter(root=root).drop("root").sort("roll_date").rows()
    return closes, rolls


_CHECKS: Final[dict[str, Callable[[CheckContext, StoredRows], pl.DataFrame]]] = {
    "targets_do_not_leak": find_leaks,
    "targets_are_roll_consistent": find_inconsistent,
}
