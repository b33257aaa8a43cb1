"""The books of staging: the outcome of every row of every file."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

import polars as pl

from cbi_assets.load.staging.read import StagingFile

Verdict = Literal["loaded", "partly", "refused", "blocked", "unread"]

REASONS_SHOWN: Final = 6
"""Most reasons in one file's books; each row's own is in ops.refused_observations."""


@dataclass(frozen=True)
class Entry:
    """One source of one file: the columns of ops.staging_files without the load's own."""

    file_id: str
    path: str
    source: str
    layout: str
    file_verdict: Verdict
    verdict: Verdict
    reason: str
    row_count: int
    observations: int
    published: int
    duplicates: int
    refused: int
    conflicts: int
    seen_at: dt.datetime


@dataclass
class Books:
    """What a load publishes and records: frames for the tables, and the entries."""

    observations: list[pl.DataFrame] = field(default_factory=list)
    bars: list[pl.DataFrame] = field(default_factory=list)
    refused: list[pl.DataFrame] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def ledger(self, rules: str) -> pl.DataFrame:
        """Return the entries as rows of ops.staging_files."""
        frame = pl.DataFrame([asdict(entry) for entry in self.entries])
        return frame.with_columns(
            pl.col("seen_at").dt.cast_time_unit("us"), rules_hash=pl.lit(rules)
        )


def unreadable_entry(
    file: StagingFile, reason: str, seen_at: dt.datetime, frame: pl.DataFrame | None = None
) -> Entry:
    """Return the entry of a file refused as a whole: blocked for its content, or unread."""
    verdict: Verdict = "unread" if frame is None else "blocked"
    rows = 0 if frame is None else frame.height
    layout = "" if frame is None else "prices"
    counts = (rows, rows, 0, 0, rows, 0)
    return Entry(file.id, file.path, "", layout, verdict, verdict, reason, *counts, seen_at=seen_at)


def record_file(
    books: Books,
    file: StagingFile,
    layout: str,
    frame: pl.DataFrame,
    validated: pl.DataFrame,
    seen_at: dt.datetime,
) -> None:
    """Record a validated file. `validated` has row_no, item, source, series_id, verdict, reason."""
    left = validated.filter(pl.col("verdict").is_in(["refused", "conflict"]))
    if not left.is_empty():
        books.refused.append(_listed(file, frame, left))
    file_verdict = _verdict(validated)
    by_source = validated.with_columns(pl.col("source").fill_null("")).partition_by(
        "source", as_dict=True, maintain_order=True
    )
    if not by_source:  # no row at all
        by_source = {("",): validated}
    for (source,), rows in sorted(by_source.items(), key=lambda item: str(item[0][0])):
        counts = dict(rows["verdict"].value_counts().iter_rows())
        books.entries.append(
            Entry(
                file.id,
                file.path,
                str(source),
                layout,
                file_verdict,
                _verdict(rows),
                _reasons(rows),
                rows["row_no"].n_unique(),
                rows.height,
                counts.get("published", 0),
                counts.get("duplicate", 0),
                counts.get("refused", 0),
                counts.get("conflict", 0),
                seen_at,
            )
        )


def _verdict(rows: pl.DataFrame) -> Verdict:
    taken = rows["verdict"].is_in(["published", "duplicate"])
    if taken.all():
        return "loaded"
    return "partly" if taken.any() else "refused"


def _reasons(rows: pl.DataFrame) -> str:
    """Return the most common reasons with their counts."""
    found = (
        rows.filter(pl.col("reason").is_not_null())
        .group_by("reason")
        .len()
        .sort(["len", "reason"], descending=[True, False])
    )
    shown = [f"{count:,}: {reason}" for reason, count in found.head(REASONS_SHOWN).iter_rows()]
    rest = found[REASONS_SHOWN:]["len"].sum()
    return "; ".join([*shown, *([f"{rest:,} for other reasons"] if rest else [])])


def _listed(file: StagingFile, frame: pl.DataFrame, left: pl.DataFrame) -> pl.DataFrame:
    """Return rows of ops.refused_observations."""
    wanted = left["row_no"].unique().sort()
    rows = frame[(wanted - 1).to_list()]
    plain = [
        column
        if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.String
        else pl.Series(column.name, [None if v is None else str(v) for v in column], pl.String)
        for column in rows
    ]
    records = pl.DataFrame(
        {"row_no": wanted, "record": pl.select(pl.struct(plain).struct.json_encode()).to_series()}
    )
    return left.join(records, on="row_no", how="left", maintain_order="left").select(
        pl.lit(file.id).alias("source_file_id"),
        "row_no",
        "item",
        "source",
        "series_id",
        "verdict",
        "reason",
        "record",
    )
