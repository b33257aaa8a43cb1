"""Targets roll with the front month, and are null where a return is unknown."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

import polars as pl
import pytest

from cbi_assets.features.targets import Steps, daily_targets, intraday_targets, steps_of
from cbi_assets.market.sessions import trade_dates

MARCH = trade_dates("equity", dt.date(2024, 3, 1), dt.date(2024, 3, 28))
"""The 1st, 4th to 8th, 11th to 15th, 18th to 22nd and 25th to 28th; the 29th is Good Friday."""

ROLL = 5
"""Place of 2024-03-08, the first date of ESM2024."""

Closes = Mapping[int, float]


def sessions(
    closes: Mapping[str, Closes], built_from: str = "1h", symbol: str = ""
) -> pl.DataFrame:
    """Return sessions: closes by contract and place in MARCH, of `symbol` or of the contract."""
    rows = [
        {
            "root": "ES",
            "trade_date": MARCH[place],
            "symbol": symbol or contract,
            "contract": None if symbol else contract,
            "contract_key": contract,
            "close": close,
            "built_from": built_from,
        }
        for contract, own in closes.items()
        for place, close in own.items()
    ]
    kinds = {
        "root": pl.String, "trade_date": pl.Date, "symbol": pl.String, "contract": pl.String,
        "contract_key": pl.String, "close": pl.Float64, "built_from": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=kinds)


def front_months(contracts: Mapping[int, str]) -> pl.DataFrame:
    rows = [("ES", MARCH[place], name) for place, name in contracts.items()]
    kinds = {"root": pl.String, "trade_date": pl.Date, "contract": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def steps(frame: pl.DataFrame, months: Mapping[int, str] | None = None) -> Steps:
    found = steps_of("ES", frame, front_months(months or {}), "equity")
    assert found is not None
    return found


def targets(own: Steps, horizon: int) -> dict[dt.date, dict[str, object]]:
    rows = own.closes.select(data_date="trade_date")
    return {row["data_date"]: row for row in daily_targets(rows, own, horizon).to_dicts()}


PLACES = range(len(MARCH))
H = {place: 100.0 + place for place in PLACES}
M = {place: 110.0 + place for place in PLACES}
CHAIN = {place: "ESH2024" if place < ROLL else "ESM2024" for place in PLACES}


def test_target_over_a_roll_is_the_product_of_each_contracts_own_moves() -> None:
    row = targets(steps(sessions({"ESH2024": H, "ESM2024": M}), CHAIN), 3)[MARCH[3]]
    # ESH2024 to the 7th, then ESM2024 from its own close of the 7th
    assert row["target"] == pytest.approx((104 / 103) * (115 / 114) * (116 / 115) - 1, rel=1e-12)
    assert row["target_unadjusted"] == pytest.approx(116 / 103 - 1)
    assert (row["entry_contract"], row["exit_contract"]) == ("ESH2024", "ESM2024")
    assert (row["rolls_between"], row["target_missing"]) == (1, None)
    assert row["target_date"] == dt.date(2024, 3, 11)
    # 16:00 in Chicago, in summer time since the 10th
    assert row["target_known_at"] == dt.datetime(2024, 3, 11, 21, tzinfo=dt.UTC)


def test_target_without_a_roll_is_the_unadjusted_one() -> None:
    row = targets(steps(sessions({"ESH2024": H, "ESM2024": M}), CHAIN), 3)[MARCH[0]]
    assert row["target"] == pytest.approx(103 / 100 - 1)
    assert row["target_unadjusted"] == pytest.approx(103 / 100 - 1)
    assert row["rolls_between"] == 0


def test_target_is_not_yet_known_until_its_last_close() -> None:
    row = targets(steps(sessions({"ESH2024": H, "ESM2024": M}), CHAIN), 3)[MARCH[-1]]
    assert (row["target"], row["target_missing"]) == (None, "not yet")
    # after Good Friday: April 1, 2 and 3
    assert row["target_date"] == dt.date(2024, 4, 3)
    assert row["target_unadjusted"] is None


def vendor(missing: int = -1) -> pl.DataFrame:
    """Return sessions of ES.v.0, which changes its instrument at ROLL."""
    first = {place: H[place] for place in range(ROLL)}
    second = {place: M[place] for place in range(ROLL, len(MARCH)) if place != missing}
    return sessions({"ES.v.0#1": first, "ES.v.0#2": second}, symbol="ES.v.0")


def test_roll_inside_a_vendors_symbol_is_an_unknown_step() -> None:
    found = targets(steps(vendor()), 3)
    missing = {date: row["target_missing"] for date, row in found.items()}
    over = dict.fromkeys((2, 3, 4), "roll step unknown on 2024-03-08")
    waiting = dict.fromkeys(range(len(MARCH) - 3, len(MARCH)), "not yet")
    assert missing == {MARCH[p]: (over | waiting).get(p) for p in PLACES}
    assert found[MARCH[3]]["target_known_at"] is None


def test_roll_step_is_known_if_another_symbol_has_the_contracts_prior_close() -> None:
    """ES.v.0 is known to be ESH2024, then ESM2024, whose own session exists on the date before."""
    first = {place: H[place] for place in range(ROLL)}
    second = {place: M[place] for place in range(ROLL, len(MARCH))}
    named = sessions({"ESH2024": first, "ESM2024": second}, symbol="ES.v.0")
    outright = sessions({"ESM2024": {ROLL - 1: M[ROLL - 1]}})
    row = targets(steps(pl.concat([named, outright])), 1)[MARCH[ROLL - 1]]
    assert row["target"] == pytest.approx(115 / 114 - 1)


def test_window_over_a_date_without_a_session_is_a_gap() -> None:
    found = targets(steps(vendor(missing=9)), 2)
    assert [found[MARCH[place]]["target_missing"] for place in (6, 7, 8)] == [
        None,
        "gap on 2024-03-14",
        "gap on 2024-03-14",
    ]
    assert found[MARCH[10]]["target"] == pytest.approx(122 / 120 - 1)


def test_days_of_the_outrights_fill_what_sessions_lack() -> None:
    """The closes of the vendor's UTC days are 1 higher: a target has closes of one kind only."""
    daily = sessions(
        {
            name: {p: c + 1 for p, c in own.items()}
            for name, own in (("ESH2024", H), ("ESM2024", M))
        },
        "1d",
    )
    found = targets(steps(pl.concat([vendor(), daily]), CHAIN), 3)
    over, before = found[MARCH[3]], found[MARCH[0]]
    assert over["target"] == pytest.approx((105 / 104) * (116 / 115) * (117 / 116) - 1)
    assert (over["target_closes"], over["entry_contract"]) == ("utc_day", "ESH2024")
    # the UTC day of March 11 ends after its session
    assert over["target_known_at"] == dt.datetime(2024, 3, 12, tzinfo=dt.UTC)
    assert before["target"] == pytest.approx(103 / 100 - 1)
    assert (before["target_closes"], before["entry_contract"]) == ("session", "ES.v.0#1")


def test_price_below_zero_has_no_return() -> None:
    own = {**H, 7: -37.175}
    row = targets(steps(sessions({"ESH2024": own}), dict.fromkeys(PLACES, "ESH2024")), 2)[MARCH[6]]
    assert (row["target"], row["target_missing"]) == (None, "price not positive on 2024-03-12")


def test_targets_up_to_a_date_do_not_depend_on_later_sessions() -> None:
    frame = sessions({"ESH2024": H, "ESM2024": M})
    cut = steps(frame.filter(pl.col("trade_date") <= MARCH[9]), CHAIN)
    whole, early = targets(steps(frame, CHAIN), 3), targets(cut, 3)
    for place in range(7):  # 6 + 3 = 9
        assert early[MARCH[place]] == whole[MARCH[place]]
    assert {early[MARCH[place]]["target_missing"] for place in (7, 8, 9)} == {"not yet"}


def test_no_sessions_have_no_steps() -> None:
    assert steps_of("ES", sessions({}), front_months({}), "equity") is None


def bars(*rows: tuple[int, str, float], day: int = 4) -> pl.DataFrame:
    """Return minute bars: minute after 15:00 UTC, contract, close."""
    start = dt.datetime(2024, 3, day, 15, tzinfo=dt.UTC)
    return pl.DataFrame(
        [
            {
                "trade_date": start.date(),
                "ts_event": start + dt.timedelta(minutes=minute),
                "bar_end": start + dt.timedelta(minutes=minute + 1),
                "contract": contract,
                "close": close,
            }
            for minute, contract, close in rows
        ],
        schema_overrides={
            "ts_event": pl.Datetime("us", "UTC"),
            "bar_end": pl.Datetime("us", "UTC"),
        },
    )


def test_bars_target_is_the_next_bars_move() -> None:
    today, tomorrow = bars((0, "A", 100.0), (1, "A", 101.0)), bars((0, "A", 102.0), day=5)
    frame = pl.concat([today, tomorrow])
    found = intraday_targets(frame, 1, frame["bar_end"][-1])
    assert found["target"].to_list() == [pytest.approx(0.01), None, None]
    assert found["target_missing"].to_list() == [None, "session break on 2024-03-04", "not yet"]
    assert found["target_known_at"].to_list() == [today["bar_end"][1], None, None]


def test_bars_target_is_null_after_a_gap_and_a_change_of_contract() -> None:
    frame = bars((0, "A", 100.0), (2, "A", 101.0), (3, "B", 111.0))
    found = intraday_targets(frame, 1, frame["bar_end"][-1])
    assert found["target_missing"].to_list() == [
        "gap on 2024-03-04",
        "roll step unknown on 2024-03-04",
        "not yet",
    ]
    assert found["target"].to_list() == [None] * 3


def test_bars_target_two_bars_ahead_needs_both_moves() -> None:
    frame = bars((0, "A", 100.0), (1, "A", 101.0), (2, "A", 102.0), (4, "A", 103.0))
    found = intraday_targets(frame, 2, frame["bar_end"][-1])
    assert found["target"].to_list() == [pytest.approx(0.02), None, None, None]
    assert found["target_missing"].to_list()[1:3] == ["gap on 2024-03-04"] * 2
    assert math.isclose(found["target_unadjusted"][1], 103 / 101 - 1)
