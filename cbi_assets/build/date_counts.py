"""Count a training table's rows by trade date, and by what their targets lack.

`ops.build_slices` keeps the counts of tables of bars: these have millions of rows.
"""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_right
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import within
from cbi_assets.features.targets import BREAK, GAP, NOT_POSITIVE, NOT_YET, ROLL

COUNTS: Final = pl.Schema(
    {
        "trade_date": pl.Date(),
        **dict.fromkeys(
            ("row_count", "targets", "not_yet", "roll_unknown", "gaps", "other_missing"), pl.Int64()
        ),
    }
)

_STORED: Final = ("root", "month", "rule", "ledger", "state")


def count_by_date(rows: pl.DataFrame, date: str) -> pl.DataFrame:
    """Return COUNTS of rows of a training table; `date` is their column of trade dates."""
    if "target" not in rows.columns:
        return pl.DataFrame(schema=COUNTS)
    why = pl.col("target_missing").fill_null("")
    return (
        rows.group_by(pl.col(date).alias("trade_date"))
        .agg(
            row_count=pl.len(),
            targets=pl.col("target").count(),
            not_yet=(why == NOT_YET).sum(),
            roll_unknown=why.str.starts_with(ROLL).sum(),
            gaps=(why.str.starts_with(GAP) | why.str.starts_with(BREAK)).sum(),
            other_missing=why.str.starts_with(NOT_POSITIVE).sum(),
        )
        .select(pl.col(name).cast(kind) for name, kind in COUNTS.items())
        .sort("trade_date")
    )


def stored_counts(months: pl.DataFrame) -> pl.DataFrame | None:
    """Return COUNTS of what is stored of a table's months; None if a month lacks them."""
    if months["state"].null_count():
        return None
    rows = [
        (dt.date.fromisoformat(date), *counts)
        for state in months["state"]
        for date, counts in json.loads(state).items()
    ]
    return pl.DataFrame(rows, schema=COUNTS, orient="row").sort("trade_date")


def update_counts(
    known: pl.DataFrame, read: pl.DataFrame, windows: pl.DataFrame, root: str
) -> pl.DataFrame:
    """Return COUNTS after those of the dates in a root's WINDOWS were read."""
    own = known.with_columns(root=pl.lit(root))
    stale = within(own, windows).select("trade_date")
    return pl.concat([known.join(stale, on="trade_date", how="anti"), read]).sort("trade_date")


def months_to_store(stored: pl.DataFrame, owed: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """Return the months of a table to store: those that were owed, and those of other counts.

    A trade date is counted in the newest month that is not after it, else in the first: its bars
    may be of the month before.

    Parameters
    ----------
    stored, owed : pl.DataFrame
        Months with root, month, rule and ledger, as stored, with `state`, and as in `Owed`.
    counts : pl.DataFrame
        COUNTS of all dates.
    """
    kept = stored.join(owed, on="month", how="anti").select(_STORED)
    fresh = owed.filter(pl.col("ledger").is_not_null())
    months = sorted([*kept["month"], *fresh["month"]])
    states: dict[dt.date, dict[str, list[int]]] = {month: {} for month in months}
    for date, *own in counts.iter_rows():
        if months:
            states[months[max(bisect_right(months, date) - 1, 0)]][date.isoformat()] = own
    texts = pl.DataFrame(
        [(month, json.dumps(state, separators=(",", ":"))) for month, state in states.items()],
        schema={"month": pl.Date(), "state": pl.String()},
        orient="row",
    )
    recorded = kept.drop("state").join(texts, on="month")
    changed = recorded.join(kept, on=["month", "state"], how="anti")
    return pl.concat(
        [owed.join(texts, on="month", how="left").select(_STORED), changed.select(_STORED)]
    )
