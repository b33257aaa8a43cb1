"""Front-month chains: by hand, and their properties over random histories."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.deadlines import deadline
from cbi_assets.market.rolls import FRONT_MONTH_COLUMNS, Chain, RollRule, chain
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.market.symbology import MONTH_CODES
from cbi_assets.tables import ROLL_CALENDAR, SESSIONS

GRAIN = RollRule("FHKNZ", "first_notice")
CALENDARS: dict[str, Calendar] = {"ZL": "grains", "ZS": "grains"}
MON, TUE, WED, THU, FRI = (dt.date(2024, 4, 22) + dt.timedelta(days=n) for n in range(5))
K, N, Q, Z, F = "ZLK2024", "ZLN2024", "ZLQ2024", "ZLZ2024", "ZLF2025"
# ZLK2024's first notice day is the last business day of April: Tuesday the 30th
NEXT_MON, NEXT_TUE, NEXT_WED = (dt.date(2024, 4, 29) + dt.timedelta(days=n) for n in range(3))

Traded = dict[dt.date, dict[str, int | None]]


def frame(traded: Traded, root: str = "ZL") -> pl.DataFrame:
    """Make outrights from their volumes.

    A close is 40, plus a cent per month of the year before the contract's, plus a dollar per date.
    """
    rows: list[tuple[Any, ...]] = [
        (root, contract, date, 40 + number + MONTH_CODES.index(contract[-5]) / 100, volume)
        for number, (date, volumes) in enumerate(sorted(traded.items()))
        for contract, volume in volumes.items()
    ]
    schema = SESSIONS.schema_of("root", "contract", "trade_date", "close", "volume")
    return pl.DataFrame(rows, schema=schema, orient="row")


def build(outrights: pl.DataFrame, rules: dict[str, RollRule]) -> Chain:
    return chain(outrights, rules, CALENDARS, ROLL_CALENDAR.polars_schema)


def chained(traded: Traded, rule: RollRule = GRAIN) -> Chain:
    return build(frame(traded), {"ZL": rule})


def front_months_of(traded: Traded, rule: RollRule = GRAIN) -> dict[dt.date, str]:
    return dict(chained(traded, rule).front_months.select("trade_date", "contract").iter_rows())


def test_chain_rolls_the_date_after_a_later_month_traded_more() -> None:
    found = chained({MON: {K: 9, N: 5}, TUE: {K: 4, N: 6}, WED: {K: 9, N: 1}, THU: {K: 9, N: 1}})
    assert found.front_months.rows() == [
        ("ZL", TUE, K),
        ("ZL", WED, N),
        ("ZL", THU, N),
    ]  # and never back
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
    assert found.front_months.schema == pl.Schema(FRONT_MONTH_COLUMNS)
    assert found.rolls.schema == ROLL_CALENDAR.polars_schema


@pytest.mark.parametrize(
    "tuesday",
    [{K: 6, N: 6}, {N: 6}, {K: None, N: 6}, {K: 6, N: None}, {K: 6}, {}, {Q: 9}],
    ids=[
        "tie",
        "front_months_of unknown",
        "front_months_of null",
        "other null",
        "other missing",
        "no date",
        "no month",
    ],
)
def test_chain_stays_on_a_tie_or_missing_data(tuesday: dict[str, int | None]) -> None:
    days: Traded = {MON: {K: 9, N: 5}, TUE: tuesday, WED: {K: 9, N: 1}}
    assert set(front_months_of(days).values()) == {K}


def test_first_date_has_no_contract_and_second_has_the_most_traded() -> None:
    assert front_months_of({MON: {K: 3, N: 9}, TUE: {K: 3}}) == {TUE: N}
    assert front_months_of({MON: {K: 3}}) == {}
    assert chained({MON: {K: 3}}).rolls.is_empty()


def test_chain_rolls_to_the_nearer_of_two_months_with_equal_volume() -> None:
    assert front_months_of({MON: {Z: 9, N: 9}, TUE: {N: 1}}) == {TUE: N}
    # the year counts before the month
    assert front_months_of({MON: {F: 9, Z: 9}, TUE: {N: 1}}) == {TUE: Z}
    assert front_months_of({MON: {K: 9}, TUE: {K: 5, Z: 7, N: 7}, WED: {}, THU: {Z: 1}})[THU] == N


def test_chain_rolls_to_the_later_month_with_most_volume() -> None:
    assert front_months_of({MON: {K: 9}, TUE: {K: 5, N: 6, Z: 7}, WED: {K: 1}})[WED] == Z


def test_ineligible_month_is_never_active() -> None:
    days: Traded = {MON: {K: 9, Q: 99}, TUE: {K: 5, N: 4, Q: 99}, WED: {K: 5, Q: 99}}
    assert front_months_of(days) == {TUE: K, WED: K}
    assert front_months_of(days, RollRule("KNQZ", "first_notice")) == {TUE: Q, WED: Q}
    assert front_months_of({MON: {Q: 9}, TUE: {Q: 9}}) == {}


def test_ineligible_month_alone_makes_a_trade_date() -> None:
    # Wednesday is decided from Tuesday, on which no eligible month traded
    assert front_months_of({MON: {K: 9, N: 10}, TUE: {Q: 1}, WED: {K: 1}}) == {TUE: N, WED: N}
    assert front_months_of({MON: {Q: 9}, TUE: {N: 2}, WED: {N: 1}}) == {WED: N}


def test_chain_rolls_on_the_deadline_although_the_old_month_traded_more() -> None:
    found = chained({FRI: {K: 9, N: 5}, NEXT_MON: {K: 9, N: 5, Z: 6}, NEXT_TUE: {K: 9, N: 5}})
    assert found.front_months.rows() == [("ZL", NEXT_MON, K), ("ZL", NEXT_TUE, Z)]
    (roll,) = found.rolls.to_dicts()
    assert (roll["method"], roll["roll_date"], roll["deadline"]) == ("deadline", NEXT_TUE, NEXT_TUE)
    assert (roll["from_volume"], roll["to_volume"]) == (9, 6)


def test_method_is_volume_on_the_deadline_if_the_new_month_traded_more() -> None:
    found = chained({FRI: {K: 9, N: 5}, NEXT_MON: {K: 5, N: 9}, NEXT_TUE: {K: 9, N: 5}})
    assert found.rolls["method"].to_list() == ["volume"]


def test_method_is_deadline_on_the_deadline_if_both_months_traded_the_same() -> None:
    found = chained({FRI: {K: 9, N: 5}, NEXT_MON: {K: 5, N: 5}, NEXT_TUE: {K: 9, N: 5}})
    assert found.rolls.select("roll_date", "method").rows() == [(NEXT_TUE, "deadline")]


def test_no_contract_is_active_from_a_deadline_until_a_later_month_traded() -> None:
    found = chained({FRI: {K: 9}, NEXT_MON: {K: 9}, NEXT_TUE: {N: 1}, NEXT_WED: {N: 1}})
    assert found.front_months.rows() == [("ZL", NEXT_MON, K), ("ZL", NEXT_WED, N)]
    (roll,) = found.rolls.to_dicts()
    assert (roll["method"], roll["roll_date"], roll["decided_on"]) == (
        "deadline",
        NEXT_WED,
        NEXT_TUE,
    )
    assert (roll["from_close"], roll["from_volume"]) == (None, None)
    assert roll["to_volume"] == 1


def test_method_is_deadline_if_the_roll_comes_after_it() -> None:
    found = chained({FRI: {K: 9}, NEXT_MON: {K: 9}, NEXT_TUE: {K: 1, N: 5}, NEXT_WED: {N: 1}})
    assert found.rolls.select("roll_date", "method").rows() == [(NEXT_WED, "deadline")]


def test_chain_never_enters_a_month_past_its_deadline() -> None:
    assert front_months_of({NEXT_MON: {K: 9, N: 5}, NEXT_TUE: {K: 9}}) == {NEXT_TUE: N}
    # Z's first notice day is in a gap of the history
    later = dt.date(2024, 12, 2)
    days: Traded = {FRI: {K: 9}, NEXT_MON: {K: 9, N: 5, Z: 8}, later: {F: 7}}
    assert front_months_of(days) == {NEXT_MON: K}


def test_roots_roll_independently() -> None:
    ours = frame({MON: {K: 9, N: 5}, TUE: {K: 9, N: 5}, THU: {K: 9}})
    theirs = frame({MON: {"ZSK2024": 1, "ZSN2024": 9}, WED: {"ZSN2024": 9}}, root="ZS")
    found = build(pl.concat([theirs, ours]), {"ZL": GRAIN, "ZS": GRAIN})
    assert found.front_months.rows() == [("ZL", TUE, K), ("ZL", THU, K), ("ZS", WED, "ZSN2024")]


def test_chain_is_empty_with_its_schema_without_outrights() -> None:
    found = build(frame({}), {})
    assert found.front_months.schema == pl.Schema(FRONT_MONTH_COLUMNS)
    assert found.rolls.schema == ROLL_CALENDAR.polars_schema
    assert found.front_months.is_empty()
    assert found.rolls.is_empty()


DAYS = trade_dates("grains", dt.date(2024, 4, 15), dt.date(2024, 7, 12))
CONTRACTS = (K, N, Q, "ZLV2024", Z, F, "ZLH2025")


@st.composite
def histories(draw: st.DrawFn) -> Traded:
    """Some of three months' dates, each with some contracts at small volumes, so that ties, gaps
    and deadlines are common."""
    days = draw(st.lists(st.sampled_from(DAYS), unique=True, max_size=40))
    volumes = st.dictionaries(
        st.sampled_from(CONTRACTS), st.one_of(st.none(), st.integers(0, 4)), max_size=5
    )
    return {day: draw(volumes) for day in days}


def deadline_of(contract: str) -> dt.date:
    month = MONTH_CODES.index(contract[-5]) + 1
    found = deadline("first_notice", int(contract[-4:]), month, "grains")
    assert found is not None
    return found


@pytest.mark.full
@given(histories())
@settings(max_examples=150, deadline=None)
def test_chain_only_moves_forward_through_eligible_months_before_their_deadlines(
    traded: Traded,
) -> None:
    found = chained(traded)
    contracts = found.front_months["contract"].to_list()
    months = [CONTRACTS.index(contract) for contract in contracts]
    assert months == sorted(months)
    assert {contract[-5] for contract in contracts} <= set(GRAIN.months)
    assert all(date < deadline_of(contract) for _, date, contract in found.front_months.iter_rows())
    changes = [
        (now, before, contract)
        for (_, _, before), (_, now, contract) in pairwise(found.front_months.rows())
        if before != contract
    ]
    rolls = found.rolls.select("roll_date", "from_contract", "to_contract")
    assert rolls.rows() == changes


@given(histories(), st.sampled_from(DAYS))
@settings(max_examples=150, deadline=None)
def test_later_data_does_not_change_the_chain(traded: Traded, cut: dt.date) -> None:
    complete = chained(traded)
    known = build(frame(traded).filter(pl.col("trade_date") <= cut), {"ZL": GRAIN})
    assert known.front_months.equals(complete.front_months.filter(pl.col("trade_date") <= cut))
    assert known.rolls.equals(complete.rolls.filter(pl.col("roll_date") <= cut))
    # Neither does the date itself: its contract is decided the date before.
    swapped = frame(traded).with_columns(
        volume=pl.when(pl.col("trade_date") == cut).then(9 - pl.col("volume")).otherwise("volume")
    )
    other = build(swapped, {"ZL": GRAIN}).front_months
    assert other.filter(pl.col("trade_date") <= cut).equals(known.front_months)


@pytest.mark.full
@given(histories())
@settings(max_examples=150, deadline=None)
def test_chain_equals_a_plain_implementation_of_the_rule(traded: Traded) -> None:
    days = sorted(day for day in traded if traded[day])
    active, last, expected = None, -1, {}
    for before, day in pairwise(days):
        volumes = {c: v for c, v in traded[before].items() if v is not None}
        later = [
            c
            for c in CONTRACTS
            if CONTRACTS.index(c) > last
            and c in volumes
            and c[-5] in GRAIN.months
            and day < deadline_of(c)
        ]
        best = max(later, key=lambda c: volumes[c], default=None)
        if active is not None and day >= deadline_of(active):
            active = None
        if best is not None and (
            active is None or (active in volumes and volumes[best] > volumes[active])
        ):
            active, last = best, CONTRACTS.index(best)
        if active is not None:
            expected[day] = active
    assert front_months_of(traded) == expected


def test_chain_passes_over_thin_dates_on_which_a_later_month_traded_more() -> None:
    dates = trade_dates("grains", dt.date(2024, 1, 2), dt.date(2024, 2, 1))
    assert len(dates) == 22
    usual = {date: {K: 200, N: 100} for date in dates[:20]}
    # a twentieth of the usual 200 is 10: on a date of 9 contracts nothing is decided
    stays = front_months_of({**usual, dates[20]: {K: 1, N: 9}, dates[21]: {K: 200, N: 100}})
    assert stays[dates[21]] == K
    rolls = front_months_of({**usual, dates[20]: {K: 1, N: 10}, dates[21]: {K: 200, N: 100}})
    assert rolls[dates[21]] == N


def test_chain_rolls_at_a_deadline_by_the_date_before_a_thin_one() -> None:
    # ZLH2024's first notice day is Thursday, February 29
    dates = trade_dates("grains", dt.date(2024, 1, 30), dt.date(2024, 2, 29))
    assert dates[-2:] == [dt.date(2024, 2, 28), dt.date(2024, 2, 29)]
    h = "ZLH2024"
    usual = {date: {h: 200, K: 100, N: 50} for date in dates[:-2]}
    assert len(usual) >= 20
    found = front_months_of({**usual, dates[-2]: {h: 1, N: 3}, dates[-1]: {h: 9, K: 9, N: 9}})
    assert found[dates[-1]] == K
