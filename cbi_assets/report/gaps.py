"""Explain why a root has no bar on a date inside its range, by one of four kinds.

- closed session: a weekday on which the exchange does not trade.
- vendor's gap: missing in the vendor's history, by sources.yaml or the jobs' condition.json.
- no trade: a loaded file covers the date and has no record of it.
- lost: none of these. Its records are quarantined, another timeframe has bars of it, or no loaded
  file covers it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

import polars as pl

from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.table_summaries import BARS, calendar_dates, in_universe_order, series_dates
from cbi_assets.session import Project

_SERIES = ["root", "timeframe"]
_VENDOR = {"root": pl.String, "date": pl.Date, "source": pl.String}
_GAPS = {"root": pl.String, "timeframe": pl.String, "kind": pl.String, "first": pl.Date,
         "last": pl.Date, "dates": pl.UInt32, "why": pl.String}  # fmt: skip
_FRIDAY = 5
_CLOSED = "the exchange does not trade on these weekdays"
_NOT_COVERED = "no loaded file covers it"


def gaps_of(
    project: Project,
    days: pl.DataFrame,
    missing_days: Mapping[str, Collection[dt.date]],
    covered: pl.DataFrame,
    quarantined: pl.DataFrame,
) -> pl.DataFrame:
    """Return the gaps of the universe's roots, in its order.

    `days` is the result of report/days.sql, `missing_days` what condition.json files say, by
    dataset; the others are as for `find_gaps`.
    """
    universe, databento = project.universe, project.sources.databento
    bars = series_dates(days).filter(pl.col("root").is_in(list(universe.roots)))
    if bars.is_empty():
        return pl.DataFrame(schema=_GAPS)
    vendor = [
        (root, date, source)
        for root, spec in universe.roots.items()
        for date, source in {
            **dict.fromkeys(missing_days[project.datasets[root]], "the jobs' condition.json"),
            **dict.fromkeys(databento.gaps_of(spec), "sources.yaml"),
        }.items()
    ]
    calendar = calendar_dates(universe, bars["date"].min(), bars["date"].max())  # type: ignore[arg-type]
    sources = pl.DataFrame(vendor, schema=_VENDOR, orient="row")
    return in_universe_order(find_gaps(bars, calendar, sources, covered, quarantined), universe)


def find_gaps(
    bars: pl.DataFrame,
    calendar: pl.DataFrame,
    vendor: pl.DataFrame,
    covered: pl.DataFrame,
    quarantined: pl.DataFrame,
) -> pl.DataFrame:
    """Return the gaps between each series' first and last date, ordered by date.

    Consecutive dates with one reason are one gap; weekends and closed sessions do not split it. All
    closed sessions of a series are one gap together, and come first.

    Parameters
    ----------
    bars : pl.DataFrame
        root, timeframe, date: the trade dates that have a bar.
    calendar : pl.DataFrame
        root, date: the sector's trade dates, at least from the first to the last of `bars`.
    vendor : pl.DataFrame
        root, date, source: trade dates missing at the vendor, and where that is stated.
    covered : pl.DataFrame
        root, timeframe, first_day, last_day: the UTC days of each loaded file.
    quarantined : pl.DataFrame
        root, timeframe, utc_day: the UTC days of quarantined records.

    Returns
    -------
    pl.DataFrame
        root, timeframe, kind, first, last, dates (their number), why.
    """
    missing = _missing_weekdays(bars)
    elsewhere = (
        bars.sort(pl.col("timeframe").cast(pl.Enum(TIMEFRAMES)))
        .group_by("root", "date", maintain_order=True)
        .agg(elsewhere=pl.col("timeframe").first())
    )
    # with files in order of their first day, the latest last day so far says how far they reach
    reach = covered.sort("first_day").with_columns(reach=pl.col("last_day").cum_max().over(_SERIES))
    evidence = (
        missing.join(calendar.with_columns(is_traded=True), on=["root", "date"], how="left")
        .join(vendor, on=["root", "date"], how="left")
        .join(quarantined.with_columns(is_quarantined=True), how="left",
              left_on=BARS, right_on=[*_SERIES, "utc_day"])
        .join(elsewhere, on=["root", "date"], how="left")
        .sort("date")
        .join_asof(reach, left_on="date", right_on="first_day", by=_SERIES, check_sortedness=False)
    )  # fmt: skip
    is_covered = (pl.col("date") <= pl.col("reach")).fill_null(False)
    is_elsewhere = pl.col("elsewhere").is_not_null()
    other_table = pl.format("the {} table has bars of it", "elsewhere")
    answers = [
        (pl.col("is_traded").is_null(), "closed session", pl.lit(_CLOSED)),
        (pl.col("source").is_not_null(), "vendor's gap", pl.format("reported by {}", "source")),
        (pl.col("is_quarantined").is_not_null(), "lost", pl.lit("its records are quarantined")),
        (is_elsewhere & is_covered, "lost", other_table),
        (is_elsewhere, "lost", pl.format("{}; {}", pl.lit(_NOT_COVERED), other_table)),
        (is_covered, "no trade", pl.lit("a loaded file covers it and has no record of it")),
        (pl.lit(True), "lost", pl.lit(_NOT_COVERED)),
    ]
    explained = evidence.with_columns(
        kind=pl.coalesce(pl.when(test).then(pl.lit(kind)) for test, kind, _ in answers),
        why=pl.coalesce(pl.when(test).then(why) for test, _, why in answers),
    )
    is_closed = pl.col("kind") == "closed session"
    same_gap = pl.struct(*_SERIES, "bars_before", "kind", "why")
    open_dates = explained.filter(~is_closed).sort(BARS).with_columns(gap=1 + same_gap.rle_id())
    return (
        pl.concat([explained.filter(is_closed).with_columns(gap=pl.lit(0, pl.UInt32)), open_dates])
        .group_by(*_SERIES, "kind", "why", "gap", maintain_order=True)
        .agg(first=pl.col("date").min(), last=pl.col("date").max(), dates=pl.len())
        .select(*_SERIES, "kind", "first", "last", "dates", "why")
    )


def _missing_weekdays(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the weekdays without a bar in each series' range, and the number of bars before."""
    weekdays = (
        bars.group_by(_SERIES)
        .agg(first=pl.col("date").min(), last=pl.col("date").max())
        .select(*_SERIES, date=pl.date_ranges("first", "last"))
        .explode("date")
        .filter(pl.col("date").dt.weekday() <= _FRIDAY)
    )
    return (
        weekdays.join(bars.with_columns(has_bar=True), on=BARS, how="left")
        .sort(BARS)
        .with_columns(bars_before=pl.col("has_bar").cum_count().over(_SERIES))
        .filter(pl.col("has_bar").is_null())
    )
