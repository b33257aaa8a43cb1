"""The active session of a root and trade date, by preference and front month."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cbi_assets.market.continuous import choose_active
from cbi_assets_tests.market.continuous_rows import MON, TUE, WED, H, K, Row, frame, front, session


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
