"""The own chain: by hand, and its properties over random histories."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.deadlines import deadline
from cbi_assets.market.rolls import HELD_COLUMNS, ROLL_COLUMNS, Chain, RollRule, chain
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.market.symbology import MONTH_CODES
from cbi_assets.tables.derived_tables import ROLL_CALENDAR

GRAIN = RollRule("FHKNZ", "first_notice")
CALENDARS: dict[str, Calendar] = {"ZL": "grains", "ZS": "grains"}
MON, TUE, WED, THU, FRI = (dt.date(2024, 4, 22) + dt.timedelta(days=n) for n in range(5))
K, N, Q, Z, F = "ZLK2024", "ZLN2024", "ZLQ2024", "ZLZ2024", "ZLF2025"
# first notice of ZLK2024 is the last business day of April: Tuesday the 30th
NEXT_MON, NEXT_TUE, NEXT_WED = (dt.date(2024, 4, 29) + dt.timedelta(days=n) for n in range(3))

Traded = dict[dt.date, dict[str, int | None]]


def frame(traded: Traded, root: str = "ZL") -> pl.DataFrame:
    """Outrights by their volumes; a close is 40 and a cent for each place of the contract's month,
    and a dollar more a trade date."""
    rows: list[tuple[Any, ...]] = [
        (root, contract, date, 40 + number + MONTH_CODES.index(contract[-5]) / 100, volume)
        for number, (date, volumes) in enumerate(sorted(traded.items()))
        for contract, volume in volumes.items()
    ]
    schema = {
        "root": pl.String,
        "contract": pl.String,
        "trade_date": pl.Date,
        "close": pl.Float64,
        "volume": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def chained(traded: Traded, rule: RollRule = GRAIN) -> Chain:
    return chain(frame(traded), {"ZL": rule}, CALENDARS)


def held(traded: Traded, rule: RollRule = GRAIN) -> dict[dt.date, str]:
    return dict(chained(traded, rule).held.select("trade_date", "contract").iter_rows())


def test_the_day_after_another_month_traded_more_it_is_held() -> None:
    found = chained({MON: {K: 9, N: 5}, TUE: {K: 4, N: 6}, WED: {K: 9, N: 1}, THU: {K: 9, N: 1}})
    assert found.held.rows() == [("ZL", TUE, K), ("ZL", WED, N), ("ZL", THU, N)]  # and never back
    assert found.rolls.to_dicts() == [
        {
            "roll_date": WED,
            "root": "ZL",
            "from_contract": K,
            "to_contract": N,
            "method": "volume",
            "decided_on": TUE,
            "deadline": NEXT_TUE,
            "from_close": 41.04,
            "from_volume": 4,
            "to_close": 41.06,
            "to_volume": 6,
        }
    ]
    assert found.held.schema == pl.Schema(HELD_COLUMNS)
    assert found.rolls.schema == pl.Schema(ROLL_COLUMNS)
    assert tuple(ROLL_COLUMNS) == ROLL_CALENDAR.column_names


@pytest.mark.parametrize(
    "tuesday",
    [{K: 6, N: 6}, {N: 6}, {K: None, N: 6}, {K: 6, N: None}, {K: 6}, {}, {Q: 9}],
    ids=["alike", "held unknown", "held null", "other null", "other gone", "no date", "no month"],
)
def test_a_tie_or_missing_data_stays(tuesday: dict[str, int | None]) -> None:
    days: Traded = {MON: {K: 9, N: 5}, TUE: tuesday, WED: {K: 9, N: 1}}
    assert set(held(days).values()) == {K}


def test_the_first_date_has_none_and_the_second_takes_the_most_traded() -> None:
    assert held({MON: {K: 3, N: 9}, TUE: {K: 3}}) == {TUE: N}
    assert held({MON: {K: 3}}) == {}
    assert chained({MON: {K: 3}}).rolls.is_empty()


def test_of_two_that_traded_alike_the_nearer_is_taken() -> None:
    assert held({MON: {Z: 9, N: 9}, TUE: {N: 1}}) == {TUE: N}
    # the year counts before the month
    assert held({MON: {F: 9, Z: 9}, TUE: {N: 1}}) == {TUE: Z}
    assert held({MON: {K: 9}, TUE: {K: 5, Z: 7, N: 7}, WED: {}, THU: {Z: 1}})[THU] == N


def test_the_largest_of_the_later_ones_is_taken() -> None:
    assert held({MON: {K: 9}, TUE: {K: 5, N: 6, Z: 7}, WED: {K: 1}})[WED] == Z


def test_an_ineligible_month_is_never_held() -> None:
    days: Traded = {MON: {K: 9, Q: 99}, TUE: {K: 5, N: 4, Q: 99}, WED: {K: 5, Q: 99}}
    assert held(days) == {TUE: K, WED: K}
    assert held(days, RollRule("KNQZ", "first_notice")) == {TUE: Q, WED: Q}
    assert held({MON: {Q: 9}, TUE: {Q: 9}}) == {}


def test_an_ineligible_month_makes_a_trade_date_all_the_same() -> None:
    # Wednesday is decided from Tuesday, on which no eligible month is known
    assert held({MON: {K: 9, N: 10}, TUE: {Q: 1}, WED: {K: 1}}) == {TUE: N, WED: N}
    assert held({MON: {Q: 9}, TUE: {N: 2}, WED: {N: 1}}) == {WED: N}


def test_on_its_deadline_it_goes_though_it_traded_more() -> None:
    found = chained({FRI: {K: 9, N: 5}, NEXT_MON: {K: 9, N: 5, Z: 6}, NEXT_TUE: {K: 9, N: 5}})
    assert found.held.rows() == [("ZL", NEXT_MON, K), ("ZL", NEXT_TUE, Z)]
    (roll,) = found.rolls.to_dicts()
    assert (roll["method"], roll["roll_date"], roll["deadline"]) == ("deadline", NEXT_TUE, NEXT_TUE)
    assert (roll["from_volume"], roll["to_volume"]) == (9, 6)


def test_on_its_deadline_it_may_go_by_volume() -> None:
    found = chained({FRI: {K: 9, N: 5}, NEXT_MON: {K: 5, N: 9}, NEXT_TUE: {K: 9, N: 5}})
    assert found.rolls["method"].to_list() == ["volume"]


def test_none_is_held_from_a_deadline_until_a_later_month_is_known() -> None:
    found = chained({FRI: {K: 9}, NEXT_MON: {K: 9}, NEXT_TUE: {N: 1}, NEXT_WED: {N: 1}})
    assert found.held.rows() == [("ZL", NEXT_MON, K), ("ZL", NEXT_WED, N)]
    (roll,) = found.rolls.to_dicts()
    assert (roll["method"], roll["roll_date"], roll["decided_on"]) == (
        "deadline",
        NEXT_WED,
        NEXT_TUE,
    )
    assert (roll["from_close"], roll["from_volume"]) == (None, None)
    assert roll["to_volume"] == 1


def test_a_roll_after_its_deadline_is_not_by_volume() -> None:
    found = chained({FRI: {K: 9}, NEXT_MON: {K: 9}, NEXT_TUE: {K: 1, N: 5}, NEXT_WED: {N: 1}})
    assert found.rolls.select("roll_date", "method").rows() == [(NEXT_WED, "deadline")]


def test_a_month_past_its_deadline_is_never_entered() -> None:
    assert held({NEXT_MON: {K: 9, N: 5}, NEXT_TUE: {K: 9}}) == {NEXT_TUE: N}
    # a hole in the history, and Z's first notice lies in it
    later = dt.date(2024, 12, 2)
    days: Traded = {FRI: {K: 9}, NEXT_MON: {K: 9, N: 5, Z: 8}, later: {F: 7}}
    assert held(days) == {NEXT_MON: K}


def test_roots_do_not_roll_for_each_other() -> None:
    ours = frame({MON: {K: 9, N: 5}, TUE: {K: 9, N: 5}, THU: {K: 9}})
    theirs = frame({MON: {"ZSK2024": 1, "ZSN2024": 9}, WED: {"ZSN2024": 9}}, root="ZS")
    found = chain(pl.concat([theirs, ours]), {"ZL": GRAIN, "ZS": GRAIN}, CALENDARS)
    assert found.held.rows() == [("ZL", TUE, K), ("ZL", THU, K), ("ZS", WED, "ZSN2024")]


def test_nothing_gives_nothing() -> None:
    found = chain(frame({}), {}, {})
    assert found.held.schema == pl.Schema(HELD_COLUMNS)
    assert found.rolls.schema == pl.Schema(ROLL_COLUMNS)
    assert found.held.is_empty()
    assert found.rolls.is_empty()


DAYS = trade_dates("grains", dt.date(2024, 4, 15), dt.date(2024, 7, 12))
CONTRACTS = (K, N, Q, "ZLV2024", Z, F, "ZLH2025")


@st.composite
def histories(draw: st.DrawFn) -> Traded:
    """Some of three months' dates, each with some contracts at small volumes, so that ties, holes
    and deadlines are common."""
    days = draw(st.lists(st.sampled_from(DAYS), unique=True, max_size=40))
    volumes = st.dictionaries(
        st.sampled_from(CONTRACTS), st.one_of(st.none(), st.integers(0, 4)), max_size=5
    )
    return {day: draw(volumes) for day in days}


def until_of(contract: str) -> dt.date:
    month = MONTH_CODES.index(contract[-5]) + 1
    found = deadline("first_notice", int(contract[-4:]), month, "grains")
    assert found is not None
    return found


@given(histories())
@settings(max_examples=150, deadline=None)
def test_it_goes_forward_only_and_holds_eligible_months_before_their_deadlines(
    traded: Traded,
) -> None:
    found = chained(traded)
    contracts = found.held["contract"].to_list()
    months = [CONTRACTS.index(contract) for contract in contracts]
    assert months == sorted(months)
    assert {contract[-5] for contract in contracts} <= set(GRAIN.months)
    assert all(date < until_of(contract) for _, date, contract in found.held.iter_rows())
    changes = [
        (now, before, contract)
        for (_, _, before), (_, now, contract) in pairwise(found.held.rows())
        if before != contract
    ]
    rolls = found.rolls.select("roll_date", "from_contract", "to_contract")
    assert rolls.rows() == changes


@given(histories(), st.sampled_from(DAYS))
@settings(max_examples=150, deadline=None)
def test_nothing_that_comes_later_changes_it(traded: Traded, cut: dt.date) -> None:
    whole = chained(traded)
    known = chain(frame(traded).filter(pl.col("trade_date") <= cut), {"ZL": GRAIN}, CALENDARS)
    assert known.held.equals(whole.held.filter(pl.col("trade_date") <= cut))
    assert known.rolls.equals(whole.rolls.filter(pl.col("roll_date") <= cut))
    # nor does the day itself: its contract is decided before it
    swapped = frame(traded).with_columns(
        volume=pl.when(pl.col("trade_date") == cut).then(9 - pl.col("volume")).otherwise("volume")
    )
    other = chain(swapped, {"ZL": GRAIN}, CALENDARS).held
    assert other.filter(pl.col("trade_date") <= cut).equals(known.held)


@given(histories())
@settings(max_examples=150, deadline=None)
def test_it_is_what_a_plain_reading_of_the_rule_gives(traded: Traded) -> None:
    days = sorted(day for day in traded if traded[day])
    holding, last, expected = None, -1, {}
    for before, day in pairwise(days):
        volumes = {c: v for c, v in traded[before].items() if v is not None}
        later = [
            c
            for c in CONTRACTS
            if CONTRACTS.index(c) > last
            and c in volumes
            and c[-5] in GRAIN.months
            and day < until_of(c)
        ]
        best = max(later, key=lambda c: volumes[c], default=None)
        if holding is not None and day >= until_of(holding):
            holding = None
        if best is not None and (
            holding is None or (holding in volumes and volumes[best] > volumes[holding])
        ):
            holding, last = best, CONTRACTS.index(best)
        if holding is not None:
            expected[day] = holding
    assert held(traded) == expected
