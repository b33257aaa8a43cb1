"""The check that the matrix knows nothing of the future: rebuild it from less, and compare."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from typing import Final

import polars as pl

from cbi_assets.build.assemble import assemble, crush_legs
from cbi_assets.build.bar_inventory import NO_CUTOFF
from cbi_assets.checks.check import Check, CheckResult
from cbi_assets.checks.inline_sql import write_out
from cbi_assets.market.bars import Columns
from cbi_assets.session import Session
from cbi_assets.tables import DAILY_ML_MATRIX

POINT_IN_TIME: Final = Check(
    "matrix_is_point_in_time",
    "No row knows the future: built again from what was known on a date, every row up to it is the "
    "same.",
)

CUTS: Final = 3
"""Dates at which the input is cut off."""

_LEFT_OUT: Final = {"symbol", "data_date", "ingestion_ts"}


def check_point_in_time(
    session: Session,
    roots: Sequence[str],
    seed: int,
    failed: Sequence[str] = (),
    table: str = DAILY_ML_MATRIX.id,
) -> list[CheckResult]:
    """Rebuild these roots' rows from the raw bars up to a few trade dates and hold the table's rows
    up to each date against them, column by column.

    The dates are drawn from the table's own with `seed`, all but one of them from those that most
    roots have; both are told. `failed` are roots whose
    bars no crush may rest on. `table` is another id.
    """
    warehouse = session.warehouse
    columns = ", ".join(DAILY_ML_MATRIX.column_names)
    sql = f"SELECT {columns} FROM `{table}` WHERE symbol IN UNNEST(@roots)"
    held = warehouse.query(sql, {"roots": list(roots)})
    cuts = _draw(held, seed)
    legs = [leg for leg in crush_legs(session.universe, roots) if leg not in failed]
    differing = pl.concat(
        [
            _compare(
                held,
                assemble(session, roots, legs, whole=True, until=cut).matrix,
                cut,
            )
            for cut in cuts
        ]
        or [pl.DataFrame(schema=_DIFFERENCE)]
    )
    told = ", ".join(str(cut) for cut in cuts) or "no date"
    results = []
    for root in roots:
        own = differing.filter(pl.col("root") == root)
        rows = own.select("data_date").n_unique()
        results.append(
            CheckResult(
                check=POINT_IN_TIME,
                table_id=table,
                root=root,
                timeframe=None,
                passed=own.is_empty(),
                expected=f"no row differs when the data end on {told} (drawn with seed {seed})",
                actual="none does"
                if own.is_empty()
                else f"{rows} rows differ; if bars were loaded since, run `cbi build`",
                offenders=own.height,
                sample=own.head(20).to_dicts(),
                sql=warehouse.to_dialect(
                    write_out(
                        f"{sql} AND data_date <= @cut",
                        {"roots": [root], "cut": max(cuts, default=NO_CUTOFF)},
                    )
                ),
            )
        )
    return results


def _draw(held: pl.DataFrame, seed: int) -> list[dt.date]:
    """One date of all, so that the oldest have their turn; else of those that most roots have."""
    if held.is_empty():
        return []
    draw = random.Random(seed)
    counts = held.group_by("data_date").agg(pl.col("symbol").n_unique().alias("roots"))
    most = counts["roots"].max()
    shared = counts.filter(2 * pl.col("roots") > most)["data_date"].sort().to_list()
    first = draw.choice(counts["data_date"].sort().to_list())
    others = [date for date in shared if date != first]
    return sorted([first, *draw.sample(others, min(CUTS - 1, len(others)))])


_DIFFERENCE: Final[Columns] = {
    "root": pl.String,
    "data_date": pl.Date,
    "cut": pl.Date,
    "column": pl.String,
    "held": pl.String,
    "rebuilt": pl.String,
}


def _compare(held: pl.DataFrame, rebuilt: pl.DataFrame, cut: dt.date) -> pl.DataFrame:
    """The cells that differ up to `cut`; a row that only one side has differs in its key."""
    rebuilt = rebuilt if rebuilt.width else held.clear()
    key = ["symbol", "data_date"]
    both = (
        held.filter(pl.col("data_date") <= cut)
        .with_columns(there=True)
        .join(rebuilt.with_columns(there=True), on=key, how="full", coalesce=True, suffix="_new")
    )
    found = []
    for name in ["there", *(n for n in DAILY_ML_MATRIX.column_names if n not in _LEFT_OUT)]:
        new = pl.col(f"{name}_new")
        old = pl.col(name)
        if name != "there":
            old = old.cast(rebuilt.schema[name])
        differs = old.ne_missing(new)
        if name != "there":
            differs &= pl.col("there").eq_missing(pl.col("there_new"))
        rows = both.filter(differs)
        found.append(
            rows.select(
                pl.col("symbol").alias("root"),
                "data_date",
                pl.lit(cut).alias("cut"),
                pl.lit("symbol" if name == "there" else name).alias("column"),
                _text(rows[name]).alias("held"),
                _text(rows[f"{name}_new"]).alias("rebuilt"),
            )
        )
    return pl.concat(found).select(pl.col(name).cast(kind) for name, kind in _DIFFERENCE.items())


def _text(values: pl.Series) -> pl.Series:
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
