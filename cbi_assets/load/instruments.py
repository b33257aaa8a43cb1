"""Which contract each instrument id stood for, from what every file on the drive says."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import polars as pl

from cbi_assets.drive.file_records import FileRecord, FormatDetails
from cbi_assets.drive.mappings import FileNames, join_intervals
from cbi_assets.market.symbology import contract_name, parse_symbol
from cbi_assets.tables import INSTRUMENT_CONFLICTS, INSTRUMENTS

CLAIMS: Final = INSTRUMENT_CONFLICTS.polars_schema
"""Columns of claims: what one source says of an instrument, as in ops.instrument_conflicts."""

CHANGES: Final = INSTRUMENTS.schema_of(
    "dataset", "instrument_id", "root", "from_date", "to_date", "contract"
)
"""Columns of changes: the contract that an instrument has now, null for none."""

_KEY: Final = ["dataset", "instrument_id"]

Interval = tuple[dt.date, dt.date]
"""From a date to before a date, UTC."""

Named = tuple[dt.date, dt.date, str, str]
"""From a date to before a date: root and contract."""


@dataclass(frozen=True, eq=False)
class Names:
    """The names of all instruments: rows of both tables of `tables/instrument_tables.py`."""

    instruments: pl.DataFrame
    conflicts: pl.DataFrame


def claims_of(sources: Iterable[FileNames], files: Iterable[FileRecord]) -> pl.DataFrame:
    """Return what the sources claim (CLAIMS).

    A sidecar that does not state its dataset has that of its folder's bars; none if they are of
    several.
    """
    by_folder: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if (
            isinstance(file.details, FormatDetails)
            and file.details.dataset
            and file.area == "drive"
        ):
            by_folder[file.folder].add(file.details.dataset)
    parts = [pl.DataFrame(schema=CLAIMS)]
    for source in sources:
        of_folder = by_folder[source.path.rpartition("/")[0] or "."]
        dataset = source.dataset or (next(iter(of_folder)) if len(of_folder) == 1 else None)
        if dataset is not None:
            stated = {"dataset": dataset, "source": source.source, "path": source.path}
            rows = source.names.with_columns(pl.lit(v).alias(n) for n, v in stated.items())
            parts.append(rows.select(*CLAIMS))
    return pl.concat(parts)


def resolve_names(
    claims: pl.DataFrame, existing: pl.DataFrame, months_after: Mapping[str, int]
) -> Names:
    """Return the names that all sources agree on, and what they disagree about.

    What `existing` (rows of INSTRUMENTS) says of other dates and instruments stays: its sources are
    on another drive or in another home. `months_after` is as for `contract_name`.
    """
    stated = join_intervals(claims, "dataset")
    kept = subtract_dates(existing, stated).select(*CLAIMS.names()[:6], path=pl.lit(""))
    stated = join_intervals(pl.concat([stated, kept.select(stated.columns)]), "dataset")
    disputed = (
        stated.join(stated, on=_KEY)
        .filter(
            pl.col("raw_symbol") != pl.col("raw_symbol_right"),
            pl.col("from_date") < pl.col("to_date_right"),
            pl.col("from_date_right") < pl.col("to_date"),
        )
        .select(
            *_KEY,
            "raw_symbol",
            from_date=pl.max_horizontal("from_date", "from_date_right"),
            to_date=pl.min_horizontal("to_date", "to_date_right"),
        )
        .unique()
    )
    agreed = subtract_dates(stated, disputed)
    sources = (
        pl.concat([claims, kept])
        .group_by(*_KEY, "raw_symbol")
        .agg(pl.col("source").str.split("+").explode().unique().sort().str.join("+"))
    )
    conflicts = (
        disputed.join(claims.rename({"from_date": "d0", "to_date": "d1"}), on=[*_KEY, "raw_symbol"])
        .filter(pl.col("d0") < pl.col("to_date"), pl.col("from_date") < pl.col("d1"))
        .select(*CLAIMS)
        .unique()
        .sort(*CLAIMS)
    )
    named = agreed.join(sources, on=[*_KEY, "raw_symbol"], how="left")
    return Names(_outrights(named, months_after), conflicts)


def changes_between(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return the dates on which an instrument has another contract than before (CHANGES)."""
    columns = [*_KEY, "from_date", "to_date", "root", "contract"]
    differing = pl.concat(
        [
            before.join(after, on=columns, how="anti").select(_KEY),
            after.join(before, on=columns, how="anti").select(_KEY),
        ]
    ).unique()
    old, new = (
        _by_instrument(rows.join(differing, on=_KEY, how="semi").select(columns))
        for rows in (before, after)
    )
    changes = []
    for dataset, number in differing.sort(_KEY).iter_rows():
        rows = [*old[dataset, number], *new[dataset, number]]
        for first, end in pairwise(sorted({day for row in rows for day in row[:2]})):
            was, now = (_at(first, side[dataset, number]) for side in (old, new))
            if was != now:
                root = (now or was or ("", ""))[0]
                changes.append((dataset, number, root, first, end, now[1] if now else None))
    return pl.DataFrame(changes, schema=CHANGES, orient="row")


def _by_instrument(rows: pl.DataFrame) -> dict[tuple[str, int], list[Named]]:
    found: dict[tuple[str, int], list[Named]] = defaultdict(list)
    for dataset, number, *named in rows.iter_rows():
        found[dataset, number].append(tuple(named))
    return found


def _at(day: dt.date, rows: Iterable[Named]) -> tuple[str, str] | None:
    """Return root and contract on a day, None if there is none."""
    return next((row[2:] for row in rows if row[0] <= day < row[1]), None)


def subtract_dates(names: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """Return rows without the dates on which `taken` has the same instrument."""
    is_touched = names.join(taken.select(_KEY).unique(), on=_KEY, how="semi")
    if is_touched.is_empty():
        return names
    away: Mapping[tuple[str, int], list[Interval]] = defaultdict(list)
    for dataset, number, first, end in taken.select(*_KEY, "from_date", "to_date").iter_rows():
        away[dataset, number].append((first, end))
    rows = []
    for row in is_touched.iter_rows(named=True):
        whole = (row["from_date"], row["to_date"])
        for first, end in _pieces(whole, away[row["dataset"], row["instrument_id"]]):
            rows.append(row | {"from_date": first, "to_date": end})
    rest = names.join(taken.select(_KEY).unique(), on=_KEY, how="anti")
    return pl.concat([rest, pl.DataFrame(rows, schema=names.schema)])


def _pieces(whole: Interval, taken: Iterable[Interval]) -> list[Interval]:
    """Return what is left of an interval without others."""
    left = []
    start, end = whole
    for first, last in sorted(taken):
        if first > start:
            left.append((start, min(first, end)))
        start = max(start, last)
        if start >= end:
            return [piece for piece in left if piece[0] < piece[1]]
    return [piece for piece in (*left, (start, end)) if piece[0] < piece[1]]


def _outrights(named: pl.DataFrame, months_after: Mapping[str, int]) -> pl.DataFrame:
    """Return the rows of INSTRUMENTS among names; a spread stands behind no continuous symbol."""
    rows = [
        row
        | {
            "root": parsed.root,
            "contract": contract_name(row["raw_symbol"], row["from_date"], months_after),
        }
        for row in named.iter_rows(named=True)
        if (parsed := parse_symbol(row["raw_symbol"])).kind == "outright"
    ]
    frame = pl.DataFrame(rows, schema=INSTRUMENTS.polars_schema)
    return frame.sort("dataset", "instrument_id", "from_date")
