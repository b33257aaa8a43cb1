"""Find jobs whose date ranges overlap, to show what the audit compared bar by bar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.market.bars import Timeframe
from cbi_assets.warehouse.base import Statement, Warehouse


@dataclass(frozen=True)
class Overlap:
    """Two jobs whose files cover the same dates of one root in one timeframe."""

    root: str
    timeframe: Timeframe
    job: str
    other_job: str
    first: dt.datetime
    last: dt.datetime


LOADED_JOBS: Final = Statement(
    "SELECT timeframe, root, job_id, MIN(first_ts_event) AS first, MAX(last_ts_event) AS last "
    "FROM `ops.loads` WHERE published > 0 GROUP BY timeframe, root, job_id"
)
"""What the books say of the jobs that were loaded."""


def find_overlaps(
    warehouse: Warehouse,
    contents: Mapping[int, Content],
    todo: Mapping[Timeframe, Sequence[Slice]],
) -> list[Overlap]:
    """Return jobs to load whose dates overlap those of another job, loaded before or now."""
    overlaps: list[Overlap] = []
    loaded = warehouse.query(LOADED_JOBS.sql)
    for timeframe, slices in todo.items():
        earlier = loaded.filter(timeframe=timeframe)
        rows = [
            (s.root, contents[s.file_no].job_id, s.first_ts, s.last_ts) for s in slices if s.root
        ]
        schema = {"root": pl.String, "job_id": pl.String, "first": pl.Int64, "last": pl.Int64}
        new = (
            pl.DataFrame(rows, schema=schema, orient="row")
            .group_by("root", "job_id")
            .agg(pl.col("first").min(), pl.col("last").max())
            .with_columns(
                pl.from_epoch(pl.col("first", "last"), time_unit="us").dt.replace_time_zone("UTC")
            )
        )
        both = pl.concat([earlier.select(new.columns).cast(pl.Schema(new.schema)), new]).unique()
        pairs = (
            new.join(both, on="root", suffix="_other")
            .filter(
                pl.col("job_id").ne_missing(pl.col("job_id_other")),
                pl.col("first") <= pl.col("last_other"),
                pl.col("first_other") <= pl.col("last"),
            )
            .select(
                "root",
                pl.col("job_id", "job_id_other").fill_null("(no job)"),
                pl.max_horizontal("first", "first_other").alias("first"),
                pl.min_horizontal("last", "last_other").alias("last"),
            )
            .sort("root", "job_id", "job_id_other")
        )
        seen: set[tuple[str, frozenset[str]]] = set()
        for root, job, other, first, last in pairs.iter_rows():
            pair = (root, frozenset((job, other)))
            if pair not in seen:
                seen.add(pair)
                overlaps.append(Overlap(root, timeframe, job, other, first, last))
    return overlaps
