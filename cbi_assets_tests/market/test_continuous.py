"""Which session stands for a root, and the continuous series, worked out by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.continuous import CONTINUOUS_COLUMNS, choose_active, continuous_series
from cbi_assets.market.rolls import HELD_COLUMNS, ROLL_COLUMNS
from cbi_assets.market.session_bars import SESSION_COLUMNS
from cbi_assets.tables.derived_tables import CONTINUOUS

MON, TUE, WED, THU, FRI = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(5))
DAYS = (MON, TUE, WED, THU, FRI)
H, K, N = "ZLH2024", "ZLK2024", "ZLN2024"

Row = dict[str, Any]


def session(date: dt.date, name: str, close: float = 40.0, built_from: str = "1h") -> Row:
    """A session of a contract (`ZLH2024`) or of a vendor's symbol (`ZL.v.0`, its instrument 1, or
    `ZL.v.0#7`): open a quarter below the close, high a half above, low one below."""
    symbol, _, number = name.partition("#")
    is_vendor = "." in symbol
    return {
        "trade_date": date,
        "root": symbol.partition(".")[0] if is_vendor else symbol[:-5],
        "symbol": symbol if is_vendor else symbol[:-4] + symbol[-1],
        "contract": None if is_vendor else symbol,
        "contract_key": f"{symbol}#{number or 1}" if is_vendor else symbol,
        "is_pure": True,
        "open": close - 0.25,
        "high": close + 0.5,
        "low": close - 1,
        "close": close,
        "volume": 10,
        "vwap": None,
        "realized_vol_1h": None,
        "built_from": built_from,
        "load_ids": ["L1"],
    }


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**SESSION_COLUMNS, "load_ids": pl.List(pl.String)})


def holding(*contracts: str | None, root: str = "ZL") -> pl.DataFrame:
    """The contracts held from Monday on, one a day."""
    rows = [(root, date, c) for date, c in zip(DAYS, contracts, strict=False) if c]
    return pl.DataFrame(rows, schema=HELD_COLUMNS, orient="row")


def roll(date: dt.date, left: str, entered: str, decided_on: dt.date) -> Row:
    """A roll whose evidence is not that of any session here."""
    evidence = {"from_close": 1.0, "from_volume": 1, "to_close": 99.0, "to_volume": 2}
    names = {"root": left[:-5], "from_contract": left, "to_contract": entered, "method": "volume"}
    return names | evidence | {"roll_date": date, "decided_on": decided_on, "deadline": FRI}


def roll_frame(*rolls: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rolls), schema=ROLL_COLUMNS)


def chosen(rows: list[Row], held: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = choose_active(frame(rows), held)
    return found.select("trade_date", "symbol", "built_from", "roll_rule").rows()


PREFERENCE = [
    (H, "1h", "own_chain"),
    ("ZL.v.0", "1h", "vendor_v0"),
    ("ZL.n.0", "1m", "vendor_n0"),
    ("ZL.c.0", "1h", "vendor_c0"),
    (H, "1d", "own_chain"),
    ("ZL.v.0", "1d", "vendor_v0"),
    ("ZL.n.0", "1d", "vendor_n0"),
    ("ZL.c.0", "1d", "vendor_c0"),
]


@pytest.mark.parametrize("best", range(len(PREFERENCE)))
def test_the_first_that_there_is_stands(best: int) -> None:
    there = [session(MON, name, built_from=built) for name, built, _ in PREFERENCE[best:]]
    name, built, rule = PREFERENCE[best]
    symbol = "ZLH4" if name == H else name
    assert chosen(there[::-1], holding(H)) == [(MON, symbol, built, rule)]


def test_a_session_of_1m_bars_is_as_good_as_one_of_1h_bars() -> None:
    rows = [session(MON, H, built_from="1m"), session(MON, "ZL.v.0", built_from="1h")]
    assert chosen(rows, holding(H)) == [(MON, "ZLH4", "1m", "own_chain")]


def test_every_column_comes_out_and_the_rule() -> None:
    found = choose_active(frame([session(MON, H)]), holding(H))
    assert found.columns == [*SESSION_COLUMNS, "load_ids", "roll_rule"]
    assert found["load_ids"].to_list() == [["L1"]]


def test_a_contract_that_is_not_held_never_stands() -> None:
    assert chosen([session(MON, K), session(TUE, K)], holding(H, None)) == []


def test_where_the_held_contract_did_not_trade_there_is_no_row_of_it() -> None:
    rows = [session(MON, H), session(WED, H), session(TUE, K), session(WED, "ZL.c.0")]
    assert chosen(rows, holding(H, H, H)) == [
        (MON, "ZLH4", "1h", "own_chain"),
        (WED, "ZLH4", "1h", "own_chain"),
    ]


def test_a_second_rank_symbol_is_no_front_contract() -> None:
    assert chosen([session(MON, "ZL.v.1"), session(MON, "ZL.v.10")], holding()) == []


def test_roots_do_not_choose_for_each_other() -> None:
    rows = [session(MON, H), session(MON, "ZS.v.0"), session(TUE, "ZSH2024")]
    assert chosen(rows, holding(H, "ZSH2024")) == [
        (MON, "ZLH4", "1h", "own_chain"),
        (MON, "ZS.v.0", "1h", "vendor_v0"),
    ]


def series(
    rows: list[Row],
    held: pl.DataFrame,
    rolls: pl.DataFrame | None = None,
    yahoo: pl.DataFrame | None = None,
) -> pl.DataFrame:
    sessions = frame(rows)
    rolls = roll_frame() if rolls is None else rolls
    return continuous_series(choose_active(sessions, held), sessions, rolls, yahoo)


# H falls by 1 a day; K stands 3 below it on Tuesday and N 2 above K on Wednesday
TWO_ROLLS = [
    session(MON, H, 50.0),
    session(TUE, H, 49.0),
    session(TUE, K, 46.0),
    session(WED, K, 45.5),
    session(WED, N, 47.5),
    session(THU, N, 48.0),
    session(FRI, N, 50.0),
]
HELD = holding(H, H, K, N, N)
ROLLS = roll_frame(roll(WED, H, K, TUE), roll(THU, K, N, WED))


def adjusted(found: pl.DataFrame, method: str) -> pl.DataFrame:
    return found.filter(pl.col("method") == method)


def test_rows_are_as_they_traded_where_nothing_is_adjusted() -> None:
    found = adjusted(series(TWO_ROLLS, HELD, ROLLS), "none")
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


def test_differences_of_the_rolls_so_far_are_added() -> None:
    found = adjusted(series(TWO_ROLLS, HELD, ROLLS), "difference")
    # 49 − 46 = 3, then 45.5 − 47.5 = −2 beside it
    assert found["back_adj"].to_list() == [0.0, 0.0, 3.0, 1.0, 1.0]
    assert found["close"].to_list() == [50.0, 49.0, 48.5, 49.0, 51.0]
    assert found["open"].to_list() == [49.75, 48.75, 48.25, 48.75, 50.75]
    assert found["high"].to_list() == [50.5, 49.5, 49.0, 49.5, 51.5]
    assert found["low"].to_list() == [49.0, 48.0, 47.5, 48.0, 50.0]
    assert found["volume"].to_list() == [10] * 5
    assert found["cont_id"].unique().to_list() == ["ZL.difference"]
    # on the dates of the rolls it moves as the new contracts did: 45.5 − 46 and 48 − 47.5
    assert found["close"].diff().to_list() == [None, -1.0, -0.5, 0.5, 2.0]


def test_ratios_of_the_rolls_so_far_are_multiplied() -> None:
    found = adjusted(series(TWO_ROLLS, HELD, ROLLS), "ratio")
    first, second = 49 / 46, 49 / 46 * (45.5 / 47.5)
    assert found["back_adj"].to_list() == pytest.approx([1, 1, first, second, second], rel=1e-15)
    wanted = [50.0, 49.0, 45.5 * first, 48 * second, 50 * second]
    assert found["close"].to_list() == pytest.approx(wanted, rel=1e-15)
    assert found["high"][2] == pytest.approx(46 * first, rel=1e-15)
    moves = (found["close"] / found["close"].shift(1)).to_list()[1:]
    assert moves == pytest.approx([49 / 50, 45.5 / 46, 48 / 47.5, 50 / 48], rel=1e-14)


@pytest.mark.parametrize("days", range(1, 6))
def test_later_rolls_change_no_earlier_row(days: int) -> None:
    cut = DAYS[days - 1]
    known = series(
        [row for row in TWO_ROLLS if row["trade_date"] <= cut],
        HELD.filter(pl.col("trade_date") <= cut),
        ROLLS.filter(pl.col("roll_date") <= cut),
    )
    assert known.equals(series(TWO_ROLLS, HELD, ROLLS).filter(pl.col("date") <= cut))


@pytest.mark.parametrize(("lost", "last"), [(H, TUE), (K, TUE)])
def test_from_a_roll_without_both_closes_on_nothing_is_adjusted(lost: str, last: dt.date) -> None:
    rows = [row for row in TWO_ROLLS if (row["contract"], row["trade_date"]) != (lost, TUE)]
    found = series(rows, HELD, ROLLS)
    for method in ("difference", "ratio"):
        dates = adjusted(found, method)["date"].to_list()
        assert dates == [day for day in DAYS if day <= last and (lost, day) != (H, TUE)]
    assert adjusted(found, "none").height == (4 if lost == H else 5)


def test_two_closes_of_unlike_sessions_are_none() -> None:
    unlike = [row if row["close"] != 46 else session(TUE, K, 46.0, "1d") for row in TWO_ROLLS]
    assert adjusted(series(unlike, HELD, ROLLS), "difference")["date"].to_list() == [MON, TUE]
    # with H's UTC day beside it there are two alike: 49.75 − 46
    alike = [*unlike, session(TUE, H, 49.75, "1d")]
    found = adjusted(series(alike, HELD, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, 0.0, 3.75, 1.75, 1.75]
    # two exchange sessions stand before two UTC days, 1m beside 1h
    both = [*alike, session(TUE, K, 46.5, "1m")]
    found = adjusted(series(both, HELD, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, 0.0, 2.5, 0.5, 0.5]


@pytest.mark.parametrize("close", [0.5, 0.0, -37.0])
def test_no_ratio_from_a_price_on_that_is_not_positive(close: float) -> None:
    # of the first, the low alone is below zero
    rows = [row if row["trade_date"] != THU else session(THU, N, close) for row in TWO_ROLLS]
    found = series(rows, HELD, ROLLS)
    assert adjusted(found, "ratio")["date"].to_list() == [MON, TUE, WED]
    assert adjusted(found, "difference")["date"].to_list() == list(DAYS)


def test_no_ratio_from_a_roll_on_at_a_price_that_is_not_positive() -> None:
    rows = [row if row["close"] != 47.5 else session(WED, N, -1.0) for row in TWO_ROLLS]
    found = series(rows, HELD, ROLLS)
    assert adjusted(found, "ratio")["date"].to_list() == [MON, TUE, WED]
    assert adjusted(found, "difference")["back_adj"].to_list() == [0.0, 0.0, 3.0, 49.5, 49.5]


def test_the_vendors_series_is_not_adjusted() -> None:
    rows = [session(MON, "ZL.v.0#7"), session(TUE, "ZL.v.0#7"), session(WED, "ZL.v.0#8")]
    found = series(rows, holding())
    assert found["cont_id"].to_list() == ["ZL.none"] * 3
    assert found["active_contract"].to_list() == ["ZL.v.0#7", "ZL.v.0#7", "ZL.v.0#8"]
    assert found["roll_flag"].to_list() == [False, False, True]
    assert found["roll_rule"].to_list() == ["vendor_v0"] * 3


def test_whether_it_rolled_is_unknown_where_contracts_are_named_differently() -> None:
    rows = [session(MON, H), session(TUE, "ZL.v.0"), session(WED, "ZL.c.0"), session(THU, H)]
    found = adjusted(series(rows, holding(H, H, H, H)), "none")
    assert found["roll_flag"].to_list() == [False, None, None, None]


def test_the_own_rows_alone_are_adjusted_also_by_rolls_between_them() -> None:
    # on Wednesday K did not trade and the vendor's symbol stands
    rows = [row for row in TWO_ROLLS if (row["contract"], row["trade_date"]) != (K, WED)]
    rows += [session(WED, "ZL.v.0"), session(WED, K, 45.5, "1d"), session(WED, N, 47.5, "1d")]
    found = adjusted(series(rows, HELD, ROLLS), "difference")
    assert found["date"].to_list() == [MON, TUE, THU, FRI]
    assert found["back_adj"].to_list() == [0.0, 0.0, 1.0, 1.0]
    assert found["roll_flag"].to_list() == [False, False, True, False]


def test_the_first_own_contract_stays_as_it_traded() -> None:
    # rolls before the first own row are none of the series' own
    rows = [row for row in TWO_ROLLS if row["trade_date"] >= WED]
    found = adjusted(series(rows, HELD, ROLLS), "difference")
    assert found["back_adj"].to_list() == [0.0, -2.0, -2.0]


def test_roots_are_adjusted_each_by_its_own_rolls() -> None:
    other = [session(day, "ZSH2024", 1000.0) for day in DAYS]
    held = pl.concat([HELD, holding(*["ZSH2024"] * 5, root="ZS")])
    found = adjusted(series([*other, *TWO_ROLLS], held, ROLLS), "difference")
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


def test_yahoo_stands_before_databentos_history_and_says_so() -> None:
    first = session(dt.date(2010, 6, 7), "ZLN2010", 37.2)
    held = pl.DataFrame([("ZL", first["trade_date"], "ZLN2010")], HELD_COLUMNS, orient="row")
    other = session(dt.date(2010, 6, 7), "ZS.v.0")
    found = series([first, other], held, yahoo=YAHOO)
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


def test_its_columns_are_the_tables() -> None:
    assert tuple(CONTINUOUS_COLUMNS) == CONTINUOUS.column_names
    assert series([], holding()).schema == pl.Schema(CONTINUOUS_COLUMNS)
    assert series(TWO_ROLLS, HELD, ROLLS, YAHOO).schema == pl.Schema(CONTINUOUS_COLUMNS)


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.integers(-80, 80)), min_size=2))
@settings(max_examples=100, deadline=None)
def test_the_difference_series_moves_as_the_held_contracts_do(
    days: list[tuple[int, bool, int]],
) -> None:
    """Each day: its close in quarters, whether it rolls, and how far the next contract stands off.

    In quarters every sum is exact.
    """
    first = dt.date(2024, 1, 1)
    rows, rolls, held, moves, number = [], [], [], [], 0
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
        held.append(("ZL", date, f"ZLH{2000 + number}"))
    frame_held = pl.DataFrame(held, schema=HELD_COLUMNS, orient="row")
    found = adjusted(series(rows, frame_held, roll_frame(*rolls)), "difference")
    assert found["close"].diff().to_list() == moves
