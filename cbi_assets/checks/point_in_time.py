"""Check that the matrix knows nothing of the future: rebuild it from less data, and compare."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import polars as pl

from cbi_assets.build.assemble import assemble, assembly_reads, feature_legs, matrix_slices
from cbi_assets.build.bar_inventory import inventory_queries, read_inventory
from cbi_assets.build.build_slices import NO_CUTOFF, BuildSlices, Owed, within
from cbi_assets.build.session_rows import HoursReader
from cbi_assets.build.zone_rows import ZoneStart, zone_start
from cbi_assets.checks.check import Check, CheckContext, PlannedRunner
from cbi_assets.checks.inline_sql import inline_params
from cbi_assets.checks.sliced_table import book_of
from cbi_assets.checks.slices import Slice
from cbi_assets.features.matrix import ZONE_ROOTS
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult, failed_upstream
from cbi_assets.market.bars import Columns
from cbi_assets.tables import BUILD_SLICES, DAILY_ML_MATRIX, MACRO_OBSERVATIONS
from cbi_assets.warehouse.base import Statement, Warehouse

AS_OF_DATES: Final = 3
"""How many dates the input is cut off at."""

_OBSERVED: Final = Statement(
    "SELECT DATE_TRUNC(DATE(available_at), MONTH) AS month, load_id, COUNT(*) AS row_count "
    f"FROM `{MACRO_OBSERVATIONS.id}` GROUP BY month, load_id ORDER BY month, load_id"
)
"""What became available in each month."""

_STATES: Final = Statement(
    f"SELECT table_id, root, month, rule, ledger, state FROM `{BUILD_SLICES.id}` "
    "WHERE table_id = @table_id AND state IS NOT NULL",
    {"table_id": DAILY_ML_MATRIX.id},
)
"""What the golden zone remembers at the end of each month."""

_OBSERVATIONS: Final = "observations"
_HINT: Final = "if bars were loaded since, run `cbi build`"
_NOT_COMPARED: Final = {"symbol", "data_date", "ingestion_ts"}


def _run(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Rebuild the matrix from the raw bars up to a few trade dates, and compare it by column.

    Rows up to each date must equal the table's. The dates are drawn from the table's own, all but
    one of them from those that most roots have; the seed is the session's date, so that each day
    checks others. Like a build, this leaves out roots whose bars failed a check, also as legs:
    their rows wait.

    Unless the check is a full one, it rebuilds and compares only months whose bars or observations
    have changed since they passed. Of a month or two, the dates are the newest, as of which all
    their rows are compared, and another. It takes the sessions before them from their table, and
    what the golden zone carries into them from ops.build_slices.
    """
    (check,) = checks
    session = context.session
    failed = failed_upstream(session.warehouse, session.universe.select(), context.results)
    roots = [root for root in context.roots_in(check.table) if root not in failed]
    if not roots:
        return []
    legs = [leg for leg in feature_legs(session.project, roots) if leg not in failed]
    owed = _owed(context, [*roots, *legs])
    columns = ", ".join(DAILY_ML_MATRIX.column_names)
    sql = f"SELECT {columns} FROM `{context.table_id(check.table)}` WHERE symbol IN UNNEST(@roots)"
    due = [root for root in roots if root in owed.windows["root"]]
    span = {"first": owed.windows["first"].min(), "last": owed.windows["last"].max()}
    query = Statement(f"{sql} AND data_date BETWEEN @first AND @last", {"roots": due, **span})
    seed = int(f"{session.now:%Y%m%d}")
    with session.reading_ahead([query, *inventory_queries(owed.windows)] if due else ()):
        stored = pl.DataFrame(schema=DAILY_ML_MATRIX.polars_schema)
        if due:
            stored = _inside(session.warehouse.query(query.sql, query.params), owed.windows)
        dates = _draw(stored, seed, full=context.full)
        windows = owed.windows if dates else owed.windows.clear()
        inventory = read_inventory(session.warehouse, windows)
    hours = HoursReader(session.warehouse)
    legs = [leg for leg in feature_legs(session.project, due) if leg not in failed]
    zones = {} if context.full or not dates else _zones(session.warehouse, owed, [*due, *legs])
    found = [pl.DataFrame(schema=_DIFFERENCE)]
    reads = [assembly_reads(session, [*due, *legs], owed.windows, date) for date in dates]
    with session.reading_ahead(chain.from_iterable(reads)):
        for date in reversed(dates):  # the newest first: the others need no more bars than it does
            known = inventory.filter(pl.col("trade_date") <= date)
            made = assemble(
                session, due, legs, owed.windows, known, date, whole=True, zones=zones, hours=hours
            )
            rebuilt = _inside(made.matrix, owed.windows)
            found.append(_compare(stored, rebuilt, date))
    differing = pl.concat(reversed(found))
    _store(context, owed.months, passed=set(roots) - set(differing["root"]))
    expected = f"none as of {', '.join(map(str, dates)) or 'any date'} (seed {seed})"
    results = []
    for root in roots:
        own = differing.filter(root=root)
        rows = plural(own["data_date"].n_unique(), check.noun)
        params = {"roots": [root], "as_of": max(dates, default=NO_CUTOFF)}
        paste = session.warehouse.to_dialect(
            inline_params(f"{sql} AND data_date <= @as_of", params)
        )
        results.append(
            check.result(
                context,
                root,
                own.height,
                own.head(20).to_dicts(),
                paste,
                expected=expected,
                actual=rows if own.is_empty() else f"{rows} ({_HINT})",
            )
        )
    return results


run_point_in_time: Final = PlannedRunner(lambda *_: (_OBSERVED, _STATES), _run)
"""Rebuilds the matrix as of some dates, and compares it."""


def _zones(warehouse: Warehouse, owed: Owed, roots: Sequence[str]) -> dict[str, ZoneStart]:
    """Return where the golden zone of each root starts: its memory knows no later bar."""
    stored = warehouse.query(_STATES.sql, _STATES.params)
    return {root: zone_start(stored, owed, root) for root in ZONE_ROOTS if root in roots}


def _owed(context: CheckContext, roots: Sequence[str]) -> Owed:
    """Return the months whose bars or observations have changed since their rows passed.

    All months, if the check is a full one.
    """
    warehouse, book = context.session.warehouse, book_of(context)
    passed = pl.DataFrame(
        [
            (DAILY_ML_MATRIX.id, root, month, piece.rule, piece.ledger)
            for (root, month), piece in book.stored(DAILY_ML_MATRIX.id).items()
        ],
        schema=BUILD_SLICES.schema_of("table_id", "root", "month", "rule", "ledger"),
        orient="row",
    )
    ledger = book.bar_ledger.filter(pl.col("root").is_in(list(roots)))
    slices = BuildSlices(_with_observations(warehouse, ledger), passed, whole=context.full)
    built = matrix_slices(context.session.project, roots)
    return slices.owed(replace(built, sources=(*built.sources, _OBSERVATIONS)))


def _with_observations(warehouse: Warehouse, ledger: pl.DataFrame) -> pl.DataFrame:
    """Add to each root's months a hash of the observations that were available by their end.

    So a value that arrives late makes the month owed in which it became available, and those after
    it: it may be used until a newer one is, and in windows of a year. Observations are never
    changed in place: where loads and numbers are the same, the values are.
    """
    loaded = warehouse.query(_OBSERVED.sql)
    so_far, hashes = hashlib.sha256(), []
    for month, load_id, rows in loaded.iter_rows():
        so_far.update(f"{month} {load_id} {rows}\n".encode())
        hashes.append((month, so_far.hexdigest()[:32]))
    known = pl.DataFrame(
        hashes, schema={"month": pl.Date, "ledger": pl.String}, orient="row"
    ).unique("month", keep="last", maintain_order=True)
    months = ledger.select("root", "month").unique().sort("month")
    observed = months.join_asof(known, on="month", strategy="backward").drop_nulls("ledger")
    rows = observed.select(pl.lit(_OBSERVATIONS).alias("timeframe"), "root", "month", "ledger")
    return pl.concat([ledger, rows])


def _store(context: CheckContext, months: pl.DataFrame, passed: Collection[str]) -> None:
    """Record the months of roots that passed; those without bars are removed."""
    rows = months.filter(pl.col("root").is_in(list(passed)))
    gone = rows.filter(pl.col("ledger").is_null()).select("root", "month").rows()
    checked = rows.drop_nulls("ledger").select("root", "month", "rule", "ledger").rows()
    context.store(DAILY_ML_MATRIX.id, [Slice(*row) for row in checked], gone)


def _inside(rows: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Return the matrix' rows in these WINDOWS."""
    if not rows.width:
        return rows
    renamed = rows.rename({"symbol": "root"})
    return within(renamed, windows, "data_date").rename({"root": "symbol"})


def _draw(stored: pl.DataFrame, seed: int, *, full: bool) -> list[dt.date]:
    """Draw one date from all, so that the oldest are checked too, the rest from the common ones.

    Of a month or two draw the newest and one other, unless `full`: a date costs the features of all
    rows.
    """
    if stored.is_empty():
        return []
    if not full and stored["data_date"].dt.truncate("1mo").n_unique() <= 2:
        *earlier, newest = stored["data_date"].unique().sort()
        return [*random.Random(seed).sample(earlier, min(1, len(earlier))), newest]
    draw = random.Random(seed)
    counts = stored.group_by("data_date").agg(pl.col("symbol").n_unique().alias("roots"))
    most = counts["roots"].max()
    shared = counts.filter(2 * pl.col("roots") > most)["data_date"].sort().to_list()
    first = draw.choice(counts["data_date"].sort().to_list())
    others = [date for date in shared if date != first]
    return sorted([first, *draw.sample(others, min(AS_OF_DATES - 1, len(others)))])


_DIFFERENCE: Final[Columns] = {
    "root": pl.String,
    "data_date": pl.Date,
    "as_of": pl.Date,
    "column": pl.String,
    "stored": pl.String,
    "rebuilt": pl.String,
}


def _compare(stored: pl.DataFrame, rebuilt: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    """Return the cells that differ up to `as_of`; a row that one side lacks differs in its key."""
    rebuilt = rebuilt if rebuilt.width else stored.clear()
    key = ["symbol", "data_date"]
    both = (
        stored.filter(pl.col("data_date") <= as_of)
        .with_columns(exists=True)
        .join(rebuilt.with_columns(exists=True), on=key, how="full", coalesce=True, suffix="_new")
    )
    found = []
    for name in ["exists", *(n for n in DAILY_ML_MATRIX.column_names if n not in _NOT_COMPARED)]:
        new = pl.col(f"{name}_new")
        old = pl.col(name)
        if name != "exists":
            old = _cast(name, stored.schema[name], rebuilt.schema[name])
        differs = old.ne_missing(new)
        if name != "exists":
            differs &= pl.col("exists").eq_missing(pl.col("exists_new"))
        rows = both.filter(differs)
        found.append(
            rows.select(
                pl.col("symbol").alias("root"),
                "data_date",
                pl.lit(as_of).alias("as_of"),
                pl.lit("symbol" if name == "exists" else name).alias("column"),
                _text(rows[name]).alias("stored"),
                _text(rows[f"{name}_new"]).alias("rebuilt"),
            )
        )
    return pl.concat(found).select(pl.col(name).cast(kind) for name, kind in _DIFFERENCE.items())


def _cast(name: str, stored: pl.DataType, rebuilt: pl.DataType) -> pl.Expr:
    """Cast a stored column; fields that its STRUCT lacks are null (`table_matches_its_spec`)."""
    column = pl.col(name)
    if isinstance(stored, pl.Struct) and isinstance(rebuilt, pl.Struct):
        existing = {field.name for field in stored.fields}
        fields = [
            (column.struct.field(field.name) if field.name in existing else pl.lit(None)).alias(
                field.name
            )
            for field in rebuilt.fields
        ]
        column = pl.when(column.is_not_null()).then(pl.struct(fields))
    return column.cast(rebuilt)


def _text(values: pl.Series) -> pl.Series:
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
