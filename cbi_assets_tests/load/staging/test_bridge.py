"""Rows of the bridge file: refused from the boundary on, and one published per date."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.sources import load_sources
from cbi_assets.load.staging.bridge import BARS, PUBLISHED_BARS, validate_bridge

DAY = dt.date(2008, 1, 2)


def bar(date: dt.date | None = DAY, close: float | None = 40.0, **more: Any) -> dict[str, Any]:
    valid = {"open": 39.0, "high": 41.0, "low": 38.0, "volume": 7}
    return {"date": date, "close": close} | valid | more


def verdicts(*rows: dict[str, Any], published: tuple[dict[str, Any], ...] = ()) -> list[Any]:
    """Return each row's verdict and reason, given the bars published before."""
    stitch = load_sources().stitch
    assert stitch is not None
    frame = pl.DataFrame(list(rows), schema=BARS).with_row_index("row_no", offset=1)
    existing = pl.DataFrame([b | {"close_only": False} for b in published], schema=PUBLISHED_BARS)
    observations, bars = validate_bridge(
        frame.with_columns(pl.col("row_no").cast(pl.Int64)), stitch, existing
    )
    assert (observations["verdict"] == "published").sum() == bars.height
    return observations.select("verdict", "reason").rows()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bar(dt.date(2010, 6, 6)), "from 2010-06-06 on, prices come from Databento alone"),
        (bar(dt.date(2025, 1, 2)), "from 2010-06-06 on, prices come from Databento alone"),
        (bar(None), "its date is missing or is not a date"),
        (bar(close=None), "its close is missing or not positive"),
        (bar(close=0.0), "its close is missing or not positive"),
        (bar(close=float("nan")), "its close is missing or not positive"),
    ],
)
def test_bar_is_refused_alone_if_invalid_or_from_the_boundary_on(
    bad: dict[str, Any], reason: str
) -> None:
    valid = bar(dt.date(2010, 6, 5))  # the last date before the boundary
    assert verdicts(bad, valid) == [("refused", reason), ("published", None)]


def test_bar_is_duplicate_or_in_conflict_if_its_date_occurs_twice() -> None:
    assert verdicts(bar(), bar()) == [("published", None), ("duplicate", None)]
    reason = "2 different bars for one date in this file"
    assert verdicts(bar(), bar(close=40.5)) == [("conflict", reason)] * 2


def test_bar_is_duplicate_or_in_conflict_if_its_date_is_published() -> None:
    assert verdicts(bar(), published=(bar(),)) == [("duplicate", None)]
    reason = "another bar of this date was published from an earlier file"
    assert verdicts(bar(volume=8), published=(bar(),)) == [("conflict", reason)]
