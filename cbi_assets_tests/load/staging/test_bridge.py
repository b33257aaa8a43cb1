"""The bridge's rows: before the boundary or refused, one a date."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.sources import load_sources
from cbi_assets.load.staging.bridge import BARS, PUBLISHED_BARS, validate_bridge

DAY = dt.date(2008, 1, 2)


def row(date: dt.date | None = DAY, close: float | None = 40.0, **more: Any) -> dict[str, Any]:
    sound = {"open": 39.0, "high": 41.0, "low": 38.0, "volume": 7}
    return {"date": date, "close": close} | sound | more


def verdicts(*rows: dict[str, Any], held: tuple[dict[str, Any], ...] = ()) -> list[Any]:
    stitch = load_sources().stitch
    assert stitch is not None
    frame = pl.DataFrame(list(rows), schema=BARS).with_row_index("row_no", offset=1)
    known = pl.DataFrame([h | {"close_only": False} for h in held], schema=PUBLISHED_BARS)
    told, bars = validate_bridge(frame.with_columns(pl.col("row_no").cast(pl.Int64)), stitch, known)
    assert (told["verdict"] == "published").sum() == bars.height
    return told.select("verdict", "reason").rows()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(dt.date(2010, 6, 6)), "from 2010-06-06 on, prices come from Databento alone"),
        (row(dt.date(2025, 1, 2)), "from 2010-06-06 on, prices come from Databento alone"),
        (row(None), "its date is missing or is not a date"),
        (row(close=None), "its close is missing or not positive"),
        (row(close=0.0), "its close is missing or not positive"),
        (row(close=float("nan")), "its close is missing or not positive"),
    ],
)
def test_refused(bad: dict[str, Any], reason: str) -> None:
    sound = row(dt.date(2010, 6, 5))
    assert verdicts(bad, sound) == [("refused", reason), ("published", None)]


def test_a_date_that_comes_twice() -> None:
    assert verdicts(row(), row()) == [("published", None), ("duplicate", None)]
    reason = "2 different bars for one date in this file"
    assert verdicts(row(), row(close=40.5)) == [("conflict", reason)] * 2


def test_a_date_that_is_held() -> None:
    assert verdicts(row(), held=(row(),)) == [("duplicate", None)]
    reason = "another bar of this date was published from an earlier file"
    assert verdicts(row(volume=8), held=(row(),)) == [("conflict", reason)]
