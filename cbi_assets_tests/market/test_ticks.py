"""A price is on its root's tick of that date, or it is off it."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from cbi_assets.market.bars import PRICES
from cbi_assets.market.ticks import Tick, is_off_tick

EDGE = dt.date(2020, 12, 4)
AFTER = dt.date(2020, 12, 7)
TICKS = (
    Tick("PA", dt.date.min, EDGE, 100_000_000),
    Tick("PA", dt.date(2020, 12, 5), dt.date.max, 500_000_000),
    Tick("6J", dt.date.min, dt.date.max, 500),
)


def is_off(root: str, date: dt.date | None, kind: str | None, price: float | None) -> list[bool]:
    """Return the verdict on four bars; in each, another price is `price`, the rest are 0."""
    rows = [
        {"root": root, "trade_date": date, "kind": kind, **dict.fromkeys(PRICES, 0.0), name: price}
        for name in PRICES
    ]
    schema = {"root": pl.String, "trade_date": pl.Date, "kind": pl.String}
    frame = pl.DataFrame(rows, schema={**schema, **dict.fromkeys(PRICES, pl.Float64)})
    return is_off_tick(frame, TICKS).to_list()


@pytest.mark.parametrize("kind", ["outright", "continuous"])
@pytest.mark.parametrize(
    ("root", "date", "price", "off"),
    [
        ("PA", EDGE, 2350.1, False),
        ("PA", EDGE, 2350.15, True),
        ("PA", AFTER, 2350.1, True),
        ("PA", AFTER, 2350.5, False),
        ("PA", AFTER, -37.5, False),
        ("PA", AFTER, 2350e-9, True),  # 2,350 read as a raw price
        ("6J", AFTER, 0.0093455, False),
        ("6J", AFTER, 0.00934555, True),
        ("6J", AFTER, 9_223_372_036.854776, False),  # beyond 64 bits: undefined, the audit decides
        ("ZZ", AFTER, 0.123456789, False),
        ("PA", AFTER, None, False),
        ("PA", None, 2350.1, True),
    ],
)
def test_price_of_an_outright_is_a_multiple_of_the_tick(
    kind: str, root: str, date: dt.date | None, price: float | None, off: bool
) -> None:
    assert is_off(root, date, kind, price) == [off] * 4


@pytest.mark.parametrize(
    ("kind", "price", "off"),
    [
        ("spread", -0.005, False),  # a hundredth of 0.5
        ("spread", 0.0049, True),
        ("spread", -3e-9, True),  # -3 read as a raw price
        ("spread", 0.0, False),
        ("other", 12e-9, True),
        (None, 12e-9, True),
    ],
)
def test_price_of_a_spread_is_at_least_a_hundredth_of_the_tick(
    kind: str | None, price: float, off: bool
) -> None:
    assert is_off("PA", AFTER, kind, price) == [off] * 4
