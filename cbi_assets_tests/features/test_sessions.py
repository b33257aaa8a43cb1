"""Sessions from bars, and which contract stands for a root."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from cbi_assets.market.continuous import (
    OUTRIGHT_RULE,
    SESSION_COLUMNS,
    choose_active,
    session_bars,
)
from cbi_assets_tests.features.frames import bar, bar_frame, outright, session, session_frame

MON, TUE, WED, THU = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(4))

THREE = [
    bar(TUE, 14, (100.0, 102.0, 99.0, 101.0), 10),
    bar(TUE, 15, (101.0, 105.0, 100.0, 104.0), 30),
    bar(TUE, 16, (104.0, 104.0, 98.0, 100.0), 20),
]


def test_a_session_is_first_open_extremes_last_close_and_summed_volume() -> None:
    (row,) = session_bars(bar_frame(THREE[::-1]), hourly=True).to_dicts()
    assert (row["open"], row["high"], row["low"], row["close"]) == (100.0, 105.0, 98.0, 100.0)
    assert row["volume"] == 60
    assert row["contract_key"] == "ZL.v.0#1"
    assert row["is_pure"]
    assert row["load_ids"] == ["L1"]


def test_vwap_weighs_typical_prices_by_volume() -> None:
    (row,) = session_bars(bar_frame(THREE), hourly=True).to_dicts()
    # typical prices 302/3, 103 and 302/3: (3020/3 + 3090 + 6040/3) / 60
    assert row["vwap"] == pytest.approx(6110 / 60, rel=1e-12)


def test_a_session_is_the_same_to_the_last_bit_however_many_stand_beside_it() -> None:
    # 17/3: multiplied by 1/3 it would be the float below
    rows = [bar(day, 14, (0.0, 17.0, 0.0, 0.0), 1) for day in (MON, TUE, WED)]
    alone, together = session_bars(bar_frame(rows[:1]), True), session_bars(bar_frame(rows), True)
    assert alone["vwap"].to_list() == [17 / 3]
    assert together["vwap"].to_list() == [17 / 3] * 3


def test_vwap_is_unknown_where_nothing_traded() -> None:
    (row,) = session_bars(bar_frame([bar(TUE, 14, (1.0, 1.0, 1.0, 1.0), 0)]), True).to_dicts()
    assert row["vwap"] is None


def test_realized_vol_starts_at_the_sessions_open() -> None:
    (row,) = session_bars(bar_frame(THREE), hourly=True).to_dicts()
    returns = [math.log(101 / 100), math.log(104 / 101), math.log(100 / 104)]
    assert row["realized_vol_1h"] == pytest.approx(math.sqrt(sum(r * r for r in returns)))


def test_realized_vol_takes_nothing_from_the_session_before() -> None:
    before = bar(MON, 16, (50.0, 50.0, 50.0, 50.0))
    rows = session_bars(bar_frame([before, *THREE]), hourly=True)
    alone = session_bars(bar_frame(THREE), hourly=True)
    assert rows.filter(pl.col("trade_date") == TUE).equals(alone)


def test_realized_vol_is_unknown_where_a_price_is_not_positive() -> None:
    below_zero = bar(TUE, 17, (100.0, 100.0, -38.0, -37.0))
    (row,) = session_bars(bar_frame([*THREE, below_zero]), hourly=True).to_dicts()
    assert row["realized_vol_1h"] is None
    assert row["close"] == -37.0


def test_daily_bars_say_nothing_of_the_session_within() -> None:
    (row,) = session_bars(bar_frame(THREE[:1]), hourly=False).to_dicts()
    assert row["vwap"] is None
    assert row["realized_vol_1h"] is None
    assert row["close"] == 101.0


def test_a_roll_in_mid_session_names_the_last_contract_and_is_not_pure() -> None:
    rows = [
        bar(TUE, 14, (1.0, 1.0, 1.0, 1.0), instrument_id=1),
        bar(TUE, 15, (2.0, 2.0, 2.0, 2.0), instrument_id=2, load_id="L2"),
    ]
    (row,) = session_bars(bar_frame(rows), hourly=True).to_dicts()
    assert row["contract_key"] == "ZL.v.0#2"
    assert not row["is_pure"]
    assert row["load_ids"] == ["L1", "L2"]


def test_an_outright_is_its_contract_whatever_its_id() -> None:
    rows = [
        bar(TUE, 14, (1.0,) * 4, symbol="ZLH4", contract="ZLH2024", instrument_id=1),
        bar(TUE, 15, (1.0,) * 4, symbol="ZLH4", contract="ZLH2024", instrument_id=2),
    ]
    (row,) = session_bars(bar_frame(rows), hourly=True).to_dicts()
    assert row["contract_key"] == "ZLH2024"
    assert row["is_pure"]


def test_the_vendors_volume_symbol_comes_before_interest_before_calendar() -> None:
    rows = [
        session(date, symbol=symbol, contract_key=f"{symbol}#1")
        for date, symbols in (
            (MON, ("ZL.c.0", "ZL.n.0", "ZL.v.0")),
            (TUE, ("ZL.c.0", "ZL.n.0")),
            (WED, ("ZL.c.0",)),
        )
        for symbol in symbols
    ]
    chosen = choose_active(session_frame(rows))
    assert chosen.select("trade_date", "symbol", "roll_rule").rows() == [
        (MON, "ZL.v.0", "vendor_v0"),
        (TUE, "ZL.n.0", "vendor_n0"),
        (WED, "ZL.c.0", "vendor_c0"),
    ]


def test_the_vendors_symbol_comes_before_outrights() -> None:
    rows = [
        outright(MON, "ZLH2024", 9),
        outright(TUE, "ZLH2024", 9),
        session(TUE, symbol="ZL.c.0", contract_key="ZL.c.0#1"),
    ]
    chosen = choose_active(session_frame(rows))
    assert chosen.select("trade_date", "symbol").rows() == [(TUE, "ZL.c.0")]


def test_the_outright_that_traded_most_the_day_before_stands() -> None:
    rows = [
        outright(MON, "ZLH2024", 100),
        outright(MON, "ZLK2024", 50),
        outright(TUE, "ZLH2024", 10),  # overtaken on Tuesday: known from Wednesday on
        outright(TUE, "ZLK2024", 90),
        outright(WED, "ZLH2024", 999),
        outright(WED, "ZLK2024", 1),
    ]
    chosen = choose_active(session_frame(rows))
    assert chosen.select("trade_date", "contract_key").rows() == [
        (TUE, "ZLH2024"),
        (WED, "ZLK2024"),
    ]
    assert set(chosen["roll_rule"]) == {OUTRIGHT_RULE}
    assert chosen.columns == [*SESSION_COLUMNS, "roll_rule"]


def test_the_first_date_of_outrights_has_no_row() -> None:
    assert choose_active(session_frame([outright(MON, "ZLH2024", 100)])).is_empty()


def test_a_contract_that_does_not_trade_today_does_not_stand() -> None:
    rows = [
        outright(MON, "ZLH2024", 100),
        outright(MON, "ZLK2024", 50),
        outright(TUE, "ZLK2024", 1),
    ]
    chosen = choose_active(session_frame(rows))
    assert chosen.select("trade_date", "contract_key").rows() == [(TUE, "ZLK2024")]


@pytest.mark.parametrize(
    ("pair", "nearer"),
    [
        (("ZLZ2024", "ZLF2025"), "ZLZ2024"),  # the year before the month
        (("ZLK2024", "ZLH2024"), "ZLH2024"),
        (("ZLN2024", "ZLQ2024"), "ZLN2024"),
    ],
)
def test_of_two_that_traded_alike_the_nearer_stands(pair: tuple[str, str], nearer: str) -> None:
    rows = [outright(date, contract, 70) for date in (MON, TUE) for contract in pair]
    chosen = choose_active(session_frame(rows))
    assert chosen["contract_key"].to_list() == [nearer]


def test_roots_do_not_choose_for_each_other() -> None:
    rows = [
        outright(MON, "ZLH2024", 5),
        outright(TUE, "ZLH2024", 5),
        outright(TUE, "ZSH2024", 900, root="ZS"),
        outright(THU, "ZSH2024", 900, root="ZS"),
    ]
    chosen = choose_active(session_frame(rows))
    assert chosen.select("root", "trade_date").rows() == [("ZL", TUE), ("ZS", THU)]
