"""The continuous series of a root, computed by hand."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.rolls import FRONT_MONTH_COLUMNS
from cbi_assets.tables import CONTINUOUS
from cbi_assets_tests.market.continuous_rows import (
    DAYS,
    FRI,
    MON,
    THU,
    TUE,
    WED,
    H,
    K,
    N,
    adjusted,
    front,
    roll,
    roll_frame,
    series,
    session,
)

# H falls by 1 per day; K is 3 below it on Tuesday, and N is 2 above K on Wednesday
TWO_ROLLS = [
    session(MON, H, 50.0),
    session(TUE, H, 49.0),
    session(TUE, K, 46.0),
    session(WED, K, 45.5),
    session(WED, N, 47.5),
    session(THU, N, 48.0),
    session(FRI, N, 50.0),
]
FRONT = front(H, H, K, N, N)
ROLLS = roll_frame(roll(WED, H, K, TUE), roll(THU, K, N, WED))


def test_none_series_is_unadjusted() -> None:
    found = adjusted(series(TWO_ROLLS, FRONT, ROLLS), "none")
    assert found.row(2, named=True) == {
        "date": WED,
        "root": "ZL",
        "cont_id": "ZL.none",
        "open": 45.25,
        "high": 46.0,
        "low": 44.5,
        "close": 45.5,
        "volume": 10,
        "active_contract": K,
        "roll_flag": True,
        "back_adj": None,
        "method": "none",
        "source": "databento",
        "close_kind": "last_trade",
        "roll_rule": "own_chain",
        "built_from": "1h",
    }
    assert found["close"].to_list() == [50.0, 49.0, 45.5, 48.0, 50.0]
    assert found["roll_flag"].to_list() == [False, False, True, True, False]


def test_difference_series_adds_the_differences_of_past_rolls() -> None:
    found = adjusted(series(TWO_ROLLS, FRONT, ROLLS), "difference")
    # 49 − 46 = 3, then 45.5 − 47.5 = −2 added to it
    assert found["back_adj"].to_list() == [0.0, 0.0, 3.0, 1.0, 1.0]
    assert found["close"].to_list() == [50.0, 49.0, 48.5, 49.0, 51.0]
    assert found["open"].to_list() == [49.75, 48.75, 48.25, 48.75, 50.75]
    assert found["high"].to_list() == [50.5, 49.5, 49.0, 49.5, 51.5]
    assert found["low"].to_list() == [49.0, 48.0, 47.5, 48.0, 50.0]
    assert found["volume"].to_list() == [10] * 5
    assert found["cont_id"].unique().to_list() == ["ZL.difference"]
    # on the roll dates it moves as the new contracts did: 45.5 − 46 and 48 − 47.5
    assert found["close"].diff().to_list() == [None, -1.0, -0.5, 0.5, 2.0]


def test_ratio_series_multiplies_the_ratios_of_past_rolls() -> None:
    found = adjusted(series(TWO_ROLLS, FRONT, ROLLS), "ratio")
    first, second = 49 / 46, 49 / 46 * (45.5 / 47.5)
    assert found["back_adj"].to_list() == pytest.approx([1, 1, first, second, second], rel=1e-15)
    expected = [50.0, 49.0, 45.5 * first, 48 * second, 50 * second]
    assert found["close"].to_list() == pytest.approx(expected, rel=1e-15)
    assert found["high"][2] == pytest.approx(46 * first, rel=1e-15)
    moves = (found["close"] / found["close"].shift(1)).to_list()[1:]
    assert moves == pytest.approx([49 / 50, 45.5 / 46, 48 / 47.5, 50 / 48], rel=1e-14)


@pytest.mark.parametrize("days", range(1, 6))
def test_later_rolls_do_not_change_earlier_rows(days: int) -> None:
    cut = DAYS[days - 1]
    known = series(
        [row for row in TWO_ROLLS if row["trade_date"] <= cut],
        FRONT.filter(pl.col("trade_date") <= cut),
        ROLLS.filter(pl.col("roll_date") <= cut),
    )
    assert known.equals(series(TWO_ROLLS, FRONT, ROLLS).filter(pl.col("date") <= cut))


@pytest.mark.parametrize(("lost", "last"), [(H, TUE), (K, TUE)])
def test_adjusted_series_end_at_a_roll_without_both_closes(lost: str, last: dt.date) -> None:
    rows = [row for row in TWO_ROLLS if (row["contract"], row["trade_date"]) != (lost, TUE)]
    found = series(rows, FRONT, ROLLS)
    for method in ("difference", "ratio"):
        dates = adjusted(found, method)["date"].to_list()
        assert dates == [day for day in DAYS if day <= last and (lost, day) != (H, TUE)]
    assert adjusted(found, "none").height == (4 if lost == H else 5)


def test_roll_needs_two_closes_of_the_same_kind_of_session() -> None:
    mixed = [row if row["close"] != 46 else session(TUE, K, 46.0, "1d") for row in TWO_ROLLS]
    assert adjusted(series(mixed, FRONT, ROLLS), "difference")["date"].to_list() == [
        MON,
        TUE,
    ]
    # with H's UTC day too, there are two of one kind: 49.75 − 46
    matched = [*mixed, session(TUE, H, 49.75, "1d")]
    found = adjusted(series(matched, FRONT, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, 0.0, 3.75, 1.75, 1.75]
    # two exchange sessions win over two UTC days, even if one is of 1m and one of 1h bars
    both = [*matched, session(TUE, K, 46.5, "1m")]
    found = adjusted(series(both, FRONT, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, 0.0, 2.5, 0.5, 0.5]


@pytest.mark.parametrize("close", [0.5, 0.0, -37.0])
def test_ratio_series_ends_at_a_price_that_is_not_positive(close: float) -> None:
    # at 0.5 only the low is below zero
    rows = [row if row["trade_date"] != THU else session(THU, N, close) for row in TWO_ROLLS]
    found = series(rows, FRONT, ROLLS)
    assert adjusted(found, "ratio")["date"].to_list() == [MON, TUE, WED]
    assert adjusted(found, "difference")["date"].to_list() == list(DAYS)


def test_ratio_series_ends_at_a_roll_whose_close_is_not_positive() -> None:
    rows = [row if row["close"] != 47.5 else session(WED, N, -1.0) for row in TWO_ROLLS]
    found = series(rows, FRONT, ROLLS)
    assert adjusted(found, "ratio")["date"].to_list() == [MON, TUE, WED]
    assert adjusted(found, "difference")["back_adj"].to_list() == [0.0, 0.0, 3.0, 49.5, 49.5]


def test_vendor_rows_of_unknown_contract_are_never_adjusted() -> None:
    rows = [session(MON, "ZL.v.0#7"), session(TUE, "ZL.v.0#7"), session(WED, "ZL.v.0#8")]
    found = series(rows, front())
    assert found["cont_id"].to_list() == ["ZL.none"] * 3
    assert found["active_contract"].to_list() == ["ZL.v.0#7", "ZL.v.0#7", "ZL.v.0#8"]
    assert found["roll_flag"].to_list() == [False, False, True]
    assert found["roll_rule"].to_list() == ["vendor_v0"] * 3


def test_roll_flag_is_null_between_rows_of_different_roll_rules() -> None:
    rows = [session(MON, H), session(TUE, "ZL.v.0"), session(WED, "ZL.c.0"), session(THU, H)]
    found = adjusted(series(rows, front(H, H, H, H)), "none")
    assert found["roll_flag"].to_list() == [False, None, None, None]


def test_adjusted_series_skip_unknown_contracts_but_count_all_rolls_between_them() -> None:
    # on Wednesday K did not trade and the vendor's symbol is active
    rows = [row for row in TWO_ROLLS if (row["contract"], row["trade_date"]) != (K, WED)]
    rows += [session(WED, "ZL.v.0"), session(WED, K, 45.5, "1d"), session(WED, N, 47.5, "1d")]
    found = adjusted(series(rows, FRONT, ROLLS), "difference")
    assert found["date"].to_list() == [MON, TUE, THU, FRI]
    assert found["back_adj"].to_list() == [0.0, 0.0, 1.0, 1.0]
    assert found["roll_flag"].to_list() == [False, False, True, False]


def test_first_chain_contract_is_unadjusted() -> None:
    # rolls before the chain's first row do not count
    rows = [row for row in TWO_ROLLS if row["trade_date"] >= WED]
    found = adjusted(series(rows, FRONT, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, -2.0, -2.0]


def test_roots_are_adjusted_independently() -> None:
    other = [session(day, "ZSH2024", 1000.0) for day in DAYS]
    front_months = pl.concat([FRONT, front(*["ZSH2024"] * 5, root="ZS")])
    found = adjusted(series([*other, *TWO_ROLLS], front_months, ROLLS), "difference")
    by_root = found.group_by("root", maintain_order=True).agg("back_adj").rows()
    assert by_root == [("ZL", [0.0, 0.0, 3.0, 1.0, 1.0]), ("ZS", [0.0] * 5)]


YAHOO = pl.DataFrame(
    {
        "date": [dt.date(2010, 6, 3), dt.date(2010, 6, 4), dt.date(2010, 6, 6)],
        "open": [None, 37.1, 37.2],
        "high": [None, 37.9, 37.2],
        "low": [None, 36.8, 37.2],
        "close": [37.0, 37.5, 37.2],
        "volume": [None, 500, 500],
    }
)


def test_yahoo_rows_precede_databento_and_state_their_source() -> None:
    first = session(dt.date(2010, 6, 7), "ZLN2010", 37.2)
    front_months = pl.DataFrame(
        [("ZL", first["trade_date"], "ZLN2010")], FRONT_MONTH_COLUMNS, orient="row"
    )
    other = session(dt.date(2010, 6, 7), "ZS.v.0")
    found = series([first, other], front_months, yahoo=YAHOO)
    none = found.filter(pl.col("cont_id") == "ZL.none")
    assert none["date"].to_list() == [dt.date(2010, 6, 3), dt.date(2010, 6, 4), first["trade_date"]]
    assert none.row(1, named=True) == {
        "date": dt.date(2010, 6, 4),
        "root": "ZL",
        "cont_id": "ZL.none",
        "open": 37.1,
        "high": 37.9,
        "low": 36.8,
        "close": 37.5,
        "volume": 500,
        "active_contract": None,
        "roll_flag": None,
        "back_adj": None,
        "method": "none",
        "source": "yahoo",
        "close_kind": "settlement",
        "roll_rule": "yahoo",
        "built_from": "1d",
    }
    assert none["open"][0] is None
    assert none["volume"][0] is None
    assert none["roll_flag"].to_list() == [None, None, None]
    others = found.filter(pl.col("cont_id") != "ZL.none")
    assert set(others["source"]) == {"databento"}
    assert others["cont_id"].to_list() == ["ZL.difference", "ZL.ratio", "ZS.none"]


def test_continuous_series_has_the_columns_of_its_table() -> None:
    for found in (series([], front()), series(TWO_ROLLS, FRONT, ROLLS, YAHOO)):
        assert found.select(CONTINUOUS.column_names).schema == CONTINUOUS.polars_schema
        assert found.width == len(CONTINUOUS.columns)


@pytest.mark.full
@given(st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.integers(-80, 80)), min_size=2))
@settings(max_examples=100, deadline=None)
def test_difference_series_moves_as_the_active_contracts_do(
    days: list[tuple[int, bool, int]],
) -> None:
    """`days` are a close, whether it rolls, and the new contract's distance from the old one.

    Prices are in quarters, in which every sum is exact.
    """
    first = dt.date(2024, 1, 1)
    rows, rolls, active, moves, number = [], [], [], [], 0
    for place, (close, rolls_here, gap) in enumerate(days):
        date, before = first + dt.timedelta(days=place), first + dt.timedelta(days=place - 1)
        own = float(rows[-1]["close"]) if rows else 0.0
        if rolls_here and rows:
            left, entered = f"ZLH{2000 + number}", f"ZLH{2001 + number}"
            own += gap / 4
            rows.append(session(before, entered, own))
            rolls.append(roll(date, left, entered, before))
            number += 1
        moves.append(close / 4 - own if rows else None)
        rows.append(session(date, f"ZLH{2000 + number}", close / 4))
        active.append(("ZL", date, f"ZLH{2000 + number}"))
    front_months = pl.DataFrame(active, schema=FRONT_MONTH_COLUMNS, orient="row")
    found = adjusted(series(rows, front_months, roll_frame(*rolls)), "difference")
    assert found["close"].diff().to_list() == moves
