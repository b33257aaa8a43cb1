"""Check the slices of a raw table that are owed, and keep what was found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Final

import polars as pl

from cbi_assets.checks.check import CheckContext, run_together
from cbi_assets.checks.slices import (
    Slice,
    SliceBook,
    SliceKey,
    Span,
    digest,
    update_slices,
    whole_spans,
)
from cbi_assets.market.bars import SECONDS, Timeframe
from cbi_assets.market.ticks import TICKS
from cbi_assets.warehouse.sql_files import load_sql

SLICE_CHECKS: Final = (
    "no_duplicate_bars",
    "ohlc_is_consistent",
    "prices_are_on_tick",
    "prices_are_plausible",
    "schema_matches_timeframe",
)
"""The checks that find their offenders within a slice."""

_PROFILE: Final = "bar_profile"
_BEFORE: Final = dt.timedelta(days=31)
_SAMPLE: Final = 20
_GRAIN: Final = ("root", "month")


def book_of(context: CheckContext) -> SliceBook:
    """Return the stored slices and the ledger as the checks of a context share them."""
    return context.once(("slices",), lambda: SliceBook(context.session.warehouse))


class SlicedTable:
    """A raw table, or a scratch table with its columns, as slices."""

    def __init__(self, context: CheckContext, timeframe: Timeframe, table_id: str) -> None:
        self.id = table_id
        self._context = context
        self._timeframe = timeframe
        self._warehouse = context.session.warehouse
        self._first = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        self._end = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)

    @property
    def params(self) -> dict[str, Any]:
        """The values that the checks' SQL takes for all of the table."""
        return {
            "timeframe": self._timeframe,
            "micros": SECONDS[self._timeframe] * 1_000_000,
            "datasets": list(self._context.session.project.rules.datasets),
            "before": self._first,
            "first": self._first,
            "end": self._end,
        }

    @cached_property
    def ticks(self) -> pl.DataFrame:
        """The ticks of all roots of the universe."""
        ticks = self._context.session.universe.ticks()
        return pl.DataFrame(ticks, schema=TICKS, orient="row")

    def check(self, names: Sequence[str] = SLICE_CHECKS) -> dict[SliceKey, Slice]:
        """Check the slices that are owed, keep what was found, and return all slices.

        `run_checks` stores it. Of a scratch table, runs only the checks of these names, and stores
        nothing.
        """
        roots, spans = self.bounds() if self._context.full else ([], None)
        if self._context.scratch is not None:
            files = [name for name in names if name in SLICE_CHECKS]
            found = [self._read(span, roots, files) for span in spans or ()]
            return {key: piece for each in found for key, piece in each.items()}
        book = book_of(self._context)
        stored, ledger = book.stored(self.id), book.ledger(self._timeframe)
        roots = sorted({*roots, *(root for root, _ in stored.keys() | ledger.keys())})
        slices = update_slices(
            stored,
            ledger,
            {root: self._rule(root) for root in roots},
            spans,
            lambda span: self._read(span, roots, SLICE_CHECKS),
            partial(self._context.store, self.id),
        )
        return book.keep(self.id, slices)

    def bounds(self) -> tuple[list[str], list[Span]]:
        """Return the roots in the table, and spans that include all of its bars."""
        rows = self._warehouse.query(load_sql("checks/slice_bounds", table=self.id))
        if rows.is_empty():
            return [], []
        spans = whole_spans(rows["first_ts"].min(), rows["last_ts"].max())  # type: ignore[arg-type]
        return rows["root"].to_list(), spans

    def _rule(self, root: str) -> str:
        names = dict.fromkeys(("table", "ticks"), "")
        texts = [load_sql(f"checks/{name}", **names) for name in (*SLICE_CHECKS, _PROFILE)]
        return digest(*texts, str(self.ticks.filter(root=root).rows()))

    def _read(
        self, span: Span, roots: Sequence[str], checks: Sequence[str]
    ) -> dict[SliceKey, Slice]:
        """Return the slices with bars in a span."""
        params = self.params | {
            "roots": list(roots),
            "before": span.first - _BEFORE,
            "first": span.first,
            "end": span.end,
        }
        ticks = self.ticks.filter(pl.col("root").is_in(list(roots)))
        files = [*checks, _PROFILE]
        found = run_together(self._warehouse, files, {"table": self.id}, params, {"ticks": ticks})
        slices = _profiles(found.pop(_PROFILE), self._warehouse.row_hash)
        for key, findings in findings_by_slice(found).items():
            slices[key] = replace(slices[key], findings=findings)
        return slices


def sum_findings(name: str, slices: Iterable[Slice]) -> tuple[int, list[dict[str, Any]]]:
    """Return how many offenders a check found in slices of a root, and a sample of them."""
    found = [piece.findings[name] for piece in slices if name in piece.findings]
    rows = [row for each in found for row in each["sample"] if each["offenders"]]
    rows.sort(key=lambda row: (row["symbol"], row["ts_event"]))
    return sum(each["offenders"] for each in found), rows[:_SAMPLE]


def roots_of(slices: Mapping[SliceKey, Slice]) -> list[str]:
    """Return the roots that have bars."""
    return sorted({piece.root for piece in slices.values() if piece.bars})


def profile_frames(slices: Mapping[SliceKey, Slice]) -> dict[str, pl.DataFrame]:
    """Return what is known of all slices: bars by file (`files`), and trade dates (`days`).

    The trade dates of a root's outrights are those of one series.
    """
    files = [(piece.root, *file) for piece in slices.values() for file in piece.files]
    days = [
        (piece.root, symbol, kind, piece.month + dt.timedelta(days=day))
        for piece in slices.values()
        for series, offsets in piece.days.items()
        for kind, _, symbol in [series.partition(" ")]
        for day in offsets
    ]
    return {
        "files": pl.DataFrame(files, schema=_FILES, orient="row"),
        "days": pl.DataFrame(days, schema=_DAYS, orient="row").unique(),
    }


def closes_by_date(slices: Mapping[SliceKey, Slice]) -> pl.DataFrame:
    """Return by root and trade date the number of bars, and the most traded symbol's close.

    A trade date in two months has the close of the month in which more was traded.
    """
    rows = [
        (piece.root, piece.month + dt.timedelta(days=day), *values)
        for piece in slices.values()
        for day, *values in piece.closes
    ]
    found = pl.DataFrame(rows, schema=_CLOSES, orient="row").sort("volume")
    by_date = found.group_by("root", "trade_date").agg(
        pl.col("bars").sum(), pl.col("close").drop_nulls().last()
    )
    return by_date.sort("root", "trade_date")


def findings_by_slice(
    found: Mapping[str, pl.DataFrame],
) -> dict[SliceKey, dict[str, dict[str, Any]]]:
    """Return offenders and sample by slice and check, from the rows that each check returned."""
    findings: dict[SliceKey, dict[str, dict[str, Any]]] = {}
    for name, rows in found.items():
        for (root, month), own in rows.partition_by(*_GRAIN, as_dict=True).items():
            findings.setdefault((root, month), {})[name] = {
                "offenders": int(own["offenders"][0]),
                "sample": own.drop("offenders").to_dicts(),
            }
    return findings


def _profiles(profile: pl.DataFrame, row_hash: str) -> dict[SliceKey, Slice]:
    """Return slices without rule, ledger and findings.

    `row_hash` is the function that hashed the rows, by name and version.
    """
    # Which of several bars of the same start is the last, and a sum of floats, may differ.
    hashed = sorted(set(profile.columns) - {*_GRAIN, "close", "volume"})
    marked = profile.with_columns(
        text=pl.concat_str(pl.col(hashed).cast(pl.String).fill_null("-"), separator="|"),
        series=pl.when(kind="continuous")
        .then(pl.concat_str("kind", "symbol", separator=" "))
        .otherwise("kind"),
        day=(pl.col("trade_date") - pl.col("month")).dt.total_days(),
    )
    slices = marked.group_by(_GRAIN).agg(
        pl.col("text").sort(),
        pl.col("bars").sum(),
        pl.col("first_ts_event").min(),
        pl.col("last_ts_event").max(),
        pl.col("symbol").unique().sort().alias("symbols"),
    )
    files = _by_slice(marked.group_by(*_GRAIN, "dataset", "source_file_id").agg(pl.sum("bars")))
    days = _by_slice(marked.group_by(*_GRAIN, "series").agg(pl.col("day").unique().sort()))
    closes = _by_slice(_closes(marked))
    published = _by_slice(_published(marked))
    how = digest(load_sql(f"checks/{_PROFILE}", table=""), row_hash)[:8]
    return {
        (root, month): Slice(
            root=root,
            month=month,
            rule="",
            ledger="",
            content=f"{how}-{digest(*texts)}",
            bars=bars,
            first_ts_event=first,
            last_ts_event=last,
            symbols=symbols,
            files=sorted(files[root, month]),
            days=dict(sorted(days[root, month])),
            closes=sorted(closes[root, month]),
            published=sorted(published.get((root, month), [])),
        )
        for root, month, texts, bars, first, last, symbols in slices.iter_rows()
    }


def _by_slice(frame: pl.DataFrame) -> dict[SliceKey, list[tuple[Any, ...]]]:
    """Return a frame's rows by slice, without the slice's key."""
    found: dict[SliceKey, list[tuple[Any, ...]]] = {}
    for root, month, *values in frame.iter_rows():
        found.setdefault((root, month), []).append(tuple(values))
    return found


def _published(marked: pl.DataFrame) -> pl.DataFrame:
    """Return what `Slice.published` contains, with the slice's key."""
    return (
        marked.filter(pl.col("kind").is_in(["outright", "continuous"]))
        .with_columns(
            name=pl.when(kind="outright").then("kind").otherwise("symbol"),
            utc_day=(pl.col("first_ts_event").dt.date() - pl.col("month")).dt.total_days(),
        )
        .group_by(*_GRAIN, "dataset", "name", "day", "utc_day")
        .agg(pl.col("bars").sum())
    )


def _closes(marked: pl.DataFrame) -> pl.DataFrame:
    """Return what `Slice.closes` contains, with the slice's key."""
    is_traded = pl.col("kind").is_in(["outright", "continuous"])
    by_symbol = (
        marked.sort("last_ts_event")
        .group_by(*_GRAIN, "day", "symbol")
        .agg(
            pl.col("bars").sum(),
            pl.col("volume").filter(is_traded).sum(),
            pl.col("close").filter(is_traded).last(),
        )
    )
    most_traded_last = (pl.col("close").is_not_null(), "volume", "symbol")
    return (
        by_symbol.sort(*most_traded_last)
        .group_by(*_GRAIN, "day")
        .agg(pl.col("bars").sum(), pl.col("volume", "close").last())
    )


_FILES: Final = pl.Schema(
    {"root": pl.String, "dataset": pl.String, "source_file_id": pl.String, "bars": pl.Int64}
)
_DAYS: Final = pl.Schema(
    {"root": pl.String, "symbol": pl.String, "kind": pl.String, "trade_date": pl.Date}
)
_CLOSES: Final = pl.Schema(
    {
        "root": pl.String,
        "trade_date": pl.Date,
        "bars": pl.Int64,
        "volume": pl.Float64,
        "close": pl.Float64,
    }
)
