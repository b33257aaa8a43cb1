"""The crush, compared with the published one and computed by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.features.crush import crush

MON, TUE, WED = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(3))
PUBLISHED = [("ZM", MON, 297.20), ("ZL", MON, 33.40), ("ZS", MON, 956.5)]


def closes(rows: list[tuple[str, dt.date, float | None]]) -> pl.DataFrame:
    schema = {"root": pl.String, "trade_date": pl.Date, "close": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def row_of(rows: list[Any], date: dt.date = MON) -> dict[str, Any]:
    (row,) = crush(closes(rows)).filter(pl.col("trade_date") == date).to_dicts()
    assert row["root"] == "ZL"
    return row


def test_crush_equals_the_published_one() -> None:
    # 2.2·297.20 = 653.84; 11·33.40 = 367.40; 653.84 + 367.40 − 956.50 = 64.74
    row = row_of(PUBLISHED)
    assert row["board_crush"] == pytest.approx(64.74, abs=1e-9)
    assert row["oil_share"] == pytest.approx(367.40 / 1021.24, rel=1e-12)


def test_crush_may_be_negative() -> None:
    # 2.2·100 + 11·20 − 500 = 220 + 220 − 500
    row = row_of([("ZM", MON, 100.0), ("ZL", MON, 20.0), ("ZS", MON, 500.0)])
    assert row["board_crush"] == pytest.approx(-60.0)
    assert row["oil_share"] == pytest.approx(0.5)


def test_crush_has_rows_of_soybean_oil_only() -> None:
    rows = crush(closes([*PUBLISHED, ("ES", MON, 5000.0), ("ES", TUE, 5000.0), ("ZM", TUE, 297.2)]))
    assert rows.select("root", "trade_date").rows() == [("ZL", MON)]


@pytest.mark.parametrize(
    ("leg", "board_crush", "oil_share"),
    [("ZM", None, None), ("ZS", None, 367.40 / 1021.24)],
)
@pytest.mark.parametrize("how", ["no row", "no close"])
def test_crush_is_null_if_a_leg_has_no_close_on_the_date(
    leg: str, board_crush: float | None, oil_share: float | None, how: str
) -> None:
    # the dates before and after have one
    rows: list[Any] = [(leg, day, 300.0) for day in (MON, WED)]
    rows += [(root, TUE, close) for root, _, close in PUBLISHED if root != leg]
    if how == "no close":
        rows.append((leg, TUE, None))
    row = row_of(rows, TUE)
    assert row["board_crush"] is board_crush
    assert row["oil_share"] == (oil_share and pytest.approx(oil_share))


def test_crush_uses_the_closes_of_its_own_date() -> None:
    rows: list[Any] = [*PUBLISHED, ("ZS", TUE, 956.5), ("ZL", TUE, 43.40), ("ZM", TUE, 297.20)]
    assert row_of(rows)["board_crush"] == pytest.approx(64.74)
    assert row_of(rows, TUE)["board_crush"] == pytest.approx(64.74 + 110.0)


def test_oil_share_is_null_if_the_products_are_worth_nothing() -> None:
    row = row_of([("ZM", MON, 0.0), ("ZL", MON, 0.0), ("ZS", MON, 5.0)])
    assert row["oil_share"] is None
    assert row["board_crush"] == -5.0
