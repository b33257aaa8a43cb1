"""The active session of a root, and the continuous series, computed by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.continuous import choose_active, continuous_series
from cbi_assets.market.rolls import FRONT_MONTH_COLUMNS
from cbi_assets.tables import CONTINUOUS, ROLL_CALENDAR, SESSIONS

MON, TUE, WED, THU, FRI = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(5))
DAYS = (MON, TUE, WED, THU, FRI)
H, K, N = "ZLH2024", "ZLK2024", "ZLN2024"

Row = dict[str, Any]


def session(date: dt.date, name: str, close: float = 40.0, built_from: str = "1h") -> Row:
    """Make a session of a contract (`ZLH2024`) or of a vendor's symbol (`ZL.v.0`, `ZL.v.0#7`).

    A symbol's instrument id is 1 unless given. The open is a quarter below the close, the high a
    half above, the low one below.
    """
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
    return pl.DataFrame(rows, schema=SESSIONS.schema_of(*session(MON, H)))


def front(*contracts: str | None, root: str = "ZL") -> pl.DataFrame:
    """Make a chain's front months from Monday on, one per day."""
    rows = [(root, date, c) for date, c in zip(DAYS, contracts, strict=False) if c]
    return pl.DataFrame(rows, schema=FRONT_MONTH_COLUMNS, orient="row")


def roll(date: dt.date, left: str, entered: str, decided_on: dt.date) -> Row:
    """Make a roll whose closes and volumes are not those of any session here."""
    legs = {"from_close": 1.0, "from_volume": 1, "to_close": 99.0, "to_volume": 2}
    names = {"root": left[:-5], "from_contract": left, "to_contract": entered, "method": "volume"}
    return names | legs | {"roll_date": date, "decided_on": decided_on, "deadline": FRI}


def roll_frame(*rolls: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rolls), schema=ROLL_CALENDAR.polars_schema)


def choose(rows: list[Row], front_months: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = choose_active(frame(rows), front_months)
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
def test_choose_active_takes_the_first_session_that_exists(best: int) -> None:
    there = [session(MON, name, built_from=built) for name, built, _ in PREFERENCE[best:]]
    name, built, rule = PREFERENCE[best]
    symbol = "ZLH4" if name == H else name
    assert choose(there[::-1], front(H)) == [(MON, symbol, built, rule)]


def test_choose_active_ranks_1m_and_1h_sessions_equally() -> None:
    rows = [session(MON, H, built_from="1m"), session(MON, "ZL.v.0", built_from="1h")]
    assert choose(rows, front(H)) == [(MON, "ZLH4", "1m", "own_chain")]


def test_choose_active_returns_every_column_and_the_roll_rule() -> None:
    found = choose_active(frame([session(MON, H)]), front(H))
    assert found.columns == [*session(MON, H), "roll_rule"]
    assert found["load_ids"].to_list() == [["L1"]]


def test_choose_active_never_takes_a_contract_that_is_not_the_front_month() -> None:
    assert choose([session(MON, K), session(TUE, K)], front(H, None)) == []


def test_choose_active_has_no_row_if_the_front_month_did_not_trade() -> None:
    rows = [session(MON, H), session(WED, H), session(TUE, K), session(WED, "ZL.c.0")]
    assert choose(rows, front(H, H, H)) == [
        (MON, "ZLH4", "1h", "own_chain"),
        (WED, "ZLH4", "1h", "own_chain"),
    ]


def test_choose_active_ignores_symbols_of_later_rank() -> None:
    assert choose([session(MON, "ZL.v.1"), session(MON, "ZL.v.10")], front()) == []


def test_choose_active_treats_roots_independently() -> None:
    rows = [session(MON, H), session(MON, "ZS.v.0"), session(TUE, "ZSH2024")]
    assert choose(rows, front(H, "ZSH2024")) == [
        (MON, "ZLH4", "1h", "own_chain"),
        (MON, "ZS.v.0", "1h", "vendor_v0"),
    ]


def series(
    rows: list[Row],
    front_months: pl.DataFrame,
    rolls: pl.DataFrame | None = None,
    yahoo: pl.DataFrame | None = None,
) -> pl.DataFrame:
    sessions = frame(rows)
    rolls = roll_frame() if rolls is None else rolls
    return continuous_series(choose_active(sessions, front_months), sessions, rolls, yahoo)


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


def adjusted(found: pl.DataFrame, method: str) -> pl.DataFrame:
    return found.filter(pl.col("method") == method)


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


def named(date: dt.date, contract: str, close: float, **change: Any) -> Row:
    """Make a session of ZL.v.0, whose contract is known."""
    return (
        session(date, "ZL.v.0", close) | {"contract": contract, "contract_key": contract} | change
    )


# the vendor rolls from H to K on Wednesday, and nothing else rolls: there is no chain
NAMED = [named(MON, H, 50.0), named(TUE, H, 49.0), named(WED, K, 45.5), named(THU, K, 46.5)]


@pytest.mark.parametrize(
    ("legs", "back_adj"),
    [
        # K's own hours on Tuesday, against H's: 49 − 46
        ([session(TUE, K, 46.0)], [0.0, 0.0, 3.0, 3.0]),
        # both contracts' UTC days: 48.75 − 46.25
        ([session(TUE, H, 48.75, "1d"), session(TUE, K, 46.25, "1d")], [0.0, 0.0, 2.5, 2.5]),
        # of one kind each, and on another date: the step is unknown
        ([session(TUE, K, 46.25, "1d"), session(MON, K, 46.0)], [0.0, 0.0]),
        ([], [0.0, 0.0]),
    ],
    ids=["own hours", "UTC days", "different kinds", "none"],
)
def test_vendor_rows_of_known_contracts_are_adjusted_by_both_legs_own_closes(
    legs: list[Row], back_adj: list[float]
) -> None:
    found = series([*NAMED, *legs], front())
    difference = adjusted(found, "difference")
    assert difference["back_adj"].to_list() == back_adj
    closes = [50.0, 49.0, 45.5 + back_adj[-1], 46.5 + back_adj[-1]]
    assert difference["close"].to_list() == closes[: len(back_adj)]
    assert difference["roll_flag"].to_list() == [False, False, True, False][: len(back_adj)]
    assert set(difference["roll_rule"]) == {"vendor_v0"}
    assert adjusted(found, "none")["active_contract"].to_list() == [H, H, K, K]


def test_adjusted_series_goes_on_after_an_unknown_step_once_one_is_known() -> None:
    # nothing has K's close on Monday, so Tuesday's row is left out; on Wednesday H is back
    flip = [named(MON, H, 50.0), named(TUE, K, 46.0), named(WED, H, 48.0), named(THU, N, 47.0)]
    found = adjusted(series([*flip, session(WED, N, 49.5)], front()), "difference")
    assert found["date"].to_list() == [MON, WED, THU]
    # 48 − 49.5
    assert found["back_adj"].to_list() == [0.0, 0.0, -1.5]


def test_adjusted_row_of_two_contracts_has_the_new_ones_own_bars() -> None:
    # on Wednesday the session of ZL.v.0 began with bars of H, whose high is in it
    mixed = named(WED, K, 45.5, is_pure=False, high=49.5)
    rows = [row if row["trade_date"] != WED else mixed for row in NAMED]
    rows.append(session(TUE, K, 46.0))
    columns = ["open", "high", "low", "close", "volume"]
    without = adjusted(series(rows, front()), "difference").filter(pl.col("date") == WED)
    assert without.select(columns).row(0) == (None, None, None, 48.5, None)
    own = session(WED, K, 45.5) | {"volume": 7}
    (row,) = (
        adjusted(series([*rows, own], front()), "difference")
        .filter(pl.col("date") == WED)
        .select(columns)
        .rows()
    )
    # K's own 45.25, 46, 44.5 and 45.5, and 3 more
    assert row == (48.25, 49.0, 47.5, 48.5, 7)
    unadjusted = adjusted(series([*rows, own], front()), "none").filter(pl.col("date") == WED)
    assert unadjusted["high"].item() == 49.5


def test_roll_flag_compares_contracts_that_different_rules_name() -> None:
    rows = [session(MON, H), named(TUE, H, 40.0), named(WED, K, 40.0), session(THU, K)]
    found = adjusted(series(rows, front(H, None, None, K)), "none")
    assert found["roll_rule"].to_list() == ["own_chain", "vendor_v0", "vendor_v0", "own_chain"]
    assert found["roll_flag"].to_list() == [False, False, True, False]


@pytest.mark.parametrize("days", range(1, 5))
def test_later_sessions_do_not_change_adjusted_rows_of_the_vendors_symbol(days: int) -> None:
    cut = DAYS[days - 1]
    rows = [*NAMED, session(TUE, K, 46.0), session(WED, H, 48.0), session(THU, N, 49.0)]
    known = series([row for row in rows if row["trade_date"] <= cut], front())
    assert known.equals(series(rows, front()).filter(pl.col("date") <= cut))


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
