"""The stitch: the usable bars of the older series, and its overlap statistics, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.market.yahoo_stitch import OverlapStatistics, bridge_bars, overlap_statistics

BOUNDARY = dt.date(2010, 6, 6)
COMPLETE_FROM = dt.date(2007, 1, 1)
SCHEMA: dict[str, Any] = {
    "date": pl.Date,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
}


def bridge(*rows: tuple[Any, ...], scale: float = 1.0) -> list[dict[str, Any]]:
    frame = pl.DataFrame(list(rows), schema=SCHEMA, orient="row")
    return bridge_bars(frame, BOUNDARY, COMPLETE_FROM, scale).to_dicts()


def closes(*days: tuple[str, float]) -> pl.DataFrame:
    rows = [(dt.date.fromisoformat(day), close) for day, close in days]
    return pl.DataFrame(rows, schema={"date": pl.Date, "close": pl.Float64}, orient="row")


@pytest.mark.parametrize(
    ("day", "ohlc", "close_only"),
    [
        ("2006-12-29", (1.0, 3.0, 1.0, 2.0), True),
        ("2007-01-01", (1.0, 3.0, 1.0, 2.0), False),
        ("2008-01-02", (1.0, 3.0, 1.0, 3.0), False),
        ("2008-01-02", (1.0, 3.0, 1.0, 3.1), True),
        ("2008-01-02", (1.0, 3.0, 1.0, 0.9), True),
        ("2008-01-02", (3.1, 3.0, 1.0, 2.0), True),
        ("2008-01-02", (None, 3.0, 1.0, 2.0), True),
        ("2008-01-02", (1.0, None, 1.0, 2.0), True),
    ],
)
def test_bridge_bar_has_its_close_only_if_other_prices_are_unusable(
    day: str, ohlc: tuple[Any, ...], close_only: bool
) -> None:
    (row,) = bridge((dt.date.fromisoformat(day), *ohlc, 5))
    assert row["close_only"] is close_only
    assert row["close"] == ohlc[3]
    rest = [row[name] for name in ("open", "high", "low", "volume")]
    assert rest == [None] * 4 if close_only else [*ohlc[:3], 5]


def test_bridge_ends_before_the_boundary() -> None:
    days = [dt.date(2010, 6, 5), BOUNDARY, dt.date(2010, 6, 7)]
    assert [row["date"] for row in bridge(*((day, 1.0, 1.0, 1.0, 1.0, 1) for day in days))] == [
        dt.date(2010, 6, 5)
    ]


def test_scale_multiplies_prices_but_not_volume() -> None:
    (row,) = bridge((dt.date(2008, 1, 2), 1.0, 3.0, 1.0, 2.0, 5), scale=2.0)
    assert [row[n] for n in ("open", "high", "low", "close", "volume")] == [2.0, 6.0, 2.0, 4.0, 5]


def test_overlap_statistics_equal_those_computed_by_hand() -> None:
    yahoo = closes(
        ("2010-06-03", 40.0),
        ("2010-06-04", 38.0),  # -5%: the one move before the boundary
        ("2010-06-07", 39.9),
        ("2010-06-08", 40.0),
        ("2010-06-09", 50.0),
        ("2010-06-10", 41.0),
    )
    databento = closes(
        ("2010-06-07", 39.9),  # equal
        ("2010-06-08", 40.004),  # less than half a tick apart
        ("2010-06-09", 51.0),  # 1.0 apart, ratio 1.02
        ("2010-06-11", 9.0),  # not in Yahoo's series
    )
    found = overlap_statistics(yahoo, databento, BOUNDARY, tick=0.01)
    assert found == OverlapStatistics(
        overlap_days=3,
        first_day=dt.date(2010, 6, 7),
        last_day=dt.date(2010, 6, 9),
        median_abs_difference=pytest.approx(0.004),
        max_abs_difference=1.0,
        median_ratio=pytest.approx(1.0001),
        share_equal=pytest.approx(2 / 3),
        seam_move=pytest.approx(0.05),  # 39.9 / 38 - 1
        inside_move=pytest.approx(0.05),
        typical_move=pytest.approx(0.05),
    )


def test_seam_move_and_inside_move_are_between_the_same_dates() -> None:
    yahoo = closes(("2010-06-04", 40.0), ("2010-06-07", 39.0))
    found = overlap_statistics(yahoo, closes(("2010-06-07", 38.0)), BOUNDARY, 0.01)
    assert found.seam_move == pytest.approx(-0.05)
    assert found.inside_move == pytest.approx(-0.025)


def test_overlap_figures_are_none_without_an_overlap() -> None:
    yahoo = closes(("2010-06-03", 40.0), ("2010-06-04", 38.0))
    found = overlap_statistics(yahoo, closes(("2025-01-02", 41.0)), BOUNDARY, 0.01)
    assert found == OverlapStatistics(0, typical_move=pytest.approx(0.05))


@pytest.mark.parametrize(("day", "has_seam"), [("2010-06-12", True), ("2010-06-13", False)])
def test_seam_move_is_none_if_databento_starts_later_than_seam_days(
    day: str, has_seam: bool
) -> None:
    found = overlap_statistics(closes(("2010-06-04", 40.0)), closes((day, 38.0)), BOUNDARY, 0.01)
    assert (found.seam_move is not None) is has_seam
    assert found.inside_move is None
