"""Volatility computed by hand, and independent of the future and of what precedes its window."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbi_assets.features.volatility import log_returns, volatility
from cbi_assets_tests.features.frames import calendar_frame, session, session_frame

MON, TUE, WED, THU, FRI = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(5))
WEEK = [MON, TUE, WED, THU, FRI]
START = dt.date(2015, 1, 1)


def closing(date: dt.date, close: float, **change: Any) -> tuple[Any, ...]:
    return session(date, (close, close, close), **change)


def returns_of(
    sessions: list[tuple[Any, ...]],
    active: list[tuple[Any, ...]] | None = None,
    days: list[dt.date] = WEEK,
) -> dict[dt.date, float | None]:
    frame = session_frame(sessions)
    rows = session_frame(active) if active else frame
    rows = log_returns(rows, frame, calendar_frame(days))
    return dict(rows.select("trade_date", "log_return").iter_rows())


def test_log_return_is_the_log_of_close_over_prior_close() -> None:
    found = returns_of([closing(MON, 100.0), closing(TUE, 110.0), closing(WED, 55.0)])
    assert found[MON] is None
    assert found[TUE] == pytest.approx(math.log(1.1))
    assert found[WED] == pytest.approx(-math.log(2))


def test_log_return_is_null_over_a_missing_trade_date() -> None:
    assert returns_of([closing(MON, 100.0), closing(WED, 110.0)])[WED] is None


def test_holiday_is_not_a_missing_trade_date() -> None:
    found = returns_of([closing(MON, 100.0), closing(WED, 110.0)], days=[MON, WED, THU])
    assert found[WED] == pytest.approx(math.log(1.1))


def test_log_return_is_null_if_the_symbol_changed_its_contract() -> None:
    rows = [
        closing(MON, 100.0),
        closing(TUE, 200.0, contract_key="ZL.v.0#2", is_pure=False),
        closing(WED, 220.0, contract_key="ZL.v.0#2"),
    ]
    found = returns_of(rows)
    assert found[TUE] is None
    # the roll's session closed on the new contract, so the next return is complete
    assert found[WED] == pytest.approx(math.log(1.1))


def test_log_return_after_a_roll_uses_the_new_contracts_prior_close() -> None:
    near: dict[str, Any] = {"symbol": "ZLH4", "contract_key": "ZLH2024"}
    far: dict[str, Any] = {"symbol": "ZLK4", "contract_key": "ZLK2024"}
    rows = [
        closing(MON, 50.0, **near),
        closing(TUE, 51.0, **near),
        closing(TUE, 100.0, **far),
        closing(WED, 110.0, **far),
    ]
    found = returns_of(rows, active=[rows[0], rows[1], rows[3]])
    assert found[TUE] == pytest.approx(math.log(51 / 50))
    assert found[WED] == pytest.approx(math.log(1.1))


def test_log_return_on_the_first_date_ignores_other_roots() -> None:
    corn: dict[str, Any] = {"root": "ZC", "symbol": "ZC.v.0", "contract_key": "ZC.v.0#1"}
    rows = [closing(MON, 100.0), closing(TUE, 110.0), closing(TUE, 400.0, **corn)]
    frame = session_frame(rows)
    days = pl.concat([calendar_frame([MON, TUE], "ZC"), calendar_frame([MON, TUE])])
    found = log_returns(frame, frame, days).filter(pl.col("trade_date") == MON)
    assert found.select("root", "log_return").rows() == [("ZL", None)]


@pytest.mark.parametrize("price", [0.0, -37.63])
def test_log_return_is_null_if_a_price_is_not_positive(price: float) -> None:
    found = returns_of([closing(MON, 20.0), closing(TUE, price), closing(WED, 10.0)])
    assert found == {MON: None, TUE: None, WED: None}


def frame_of(values: list[float | None], root: str = "ZL") -> pl.DataFrame:
    days = [START + dt.timedelta(days=n) for n in range(len(values))]
    return pl.DataFrame(
        {"root": [root] * len(values), "trade_date": days, "log_return": values},
        schema_overrides={"log_return": pl.Float64},
    )


def measured(values: list[float | None]) -> list[dict[str, Any]]:
    rows = volatility(frame_of(values))
    assert rows.columns == ["root", "trade_date", "vol20", "vol_percentile", "k_vol"]
    return rows.to_dicts()


def swinging(size: float, count: int) -> list[float | None]:
    """Make returns of +size and -size in turn: 20 have mean 0, so vol20 = size·√(20/19)."""
    return [size if n % 2 else -size for n in range(count)]


def test_vol20_is_the_sample_deviation_of_twenty_returns() -> None:
    rows = measured(swinging(0.01, 22))
    assert [row["vol20"] for row in rows[:19]] == [None] * 19
    for row in rows[19:]:
        assert row["vol20"] == pytest.approx(0.01 * math.sqrt(20 / 19), rel=1e-12)


def test_vol20_subtracts_the_mean() -> None:
    # returns 1 to 20: variance 20·21/12 = 35
    assert measured([float(n) for n in range(1, 21)])[-1]["vol20"] == pytest.approx(math.sqrt(35))


def test_missing_return_makes_only_its_own_date_null() -> None:
    values: list[float | None] = [0.001 * n for n in range(60)]
    found = [row["vol20"] for row in measured([*values[:30], None, *values[30:]])]
    complete = [row["vol20"] for row in measured(values)]
    assert found[30] is None
    assert found[:30] + found[31:] == complete


def test_percentile_and_k_vol_are_null_before_252_volatilities() -> None:
    rows = measured(swinging(0.01, 19 + 252))
    assert all(row["vol_percentile"] is row["k_vol"] is None for row in rows[:-1])
    assert rows[-1]["vol_percentile"] is not None
    assert rows[-1]["k_vol"] is not None


def test_percentile_is_the_share_that_is_at_most_todays() -> None:
    # each return exceeds the one before by ever more, so each volatility is the largest yet
    growing = [1.02**n for n in range(19 + 252)]
    assert measured([*growing])[-1]["vol_percentile"] == 1.0
    # if they shrink, today's is the smallest, and only itself is at most today's
    assert measured(growing[::-1])[-1]["vol_percentile"] == 1 / 252


def test_percentile_is_of_the_last_252_volatilities_only() -> None:
    # calm dates, then shrinking returns: of all values, today's would exceed the calm ones
    shrinking = [1.02**n for n in range(19 + 252)][::-1]
    rows = measured([*swinging(1e-9, 100), *shrinking])
    assert rows[-1]["vol_percentile"] == 1 / 252


@pytest.mark.parametrize(
    ("size", "k"),
    [
        (0.02, 2.0),
        (0.01, 1.0),
        (0.008, 0.8),
        (0.04, 3.0),  # 4, clipped
        (0.001, 0.5),  # 0.1, clipped
    ],
)
def test_k_vol_is_todays_volatility_over_the_median_of_252(size: float, k: float) -> None:
    # the window before the last 20 is still of 0.01, and so is the median of 252 volatilities
    rows = measured([*swinging(0.01, 252), *swinging(size, 20)])
    assert rows[-1]["vol20"] == pytest.approx(size * math.sqrt(20 / 19), rel=1e-12)
    assert rows[-1]["k_vol"] == pytest.approx(k, rel=1e-9)


def test_gap_does_not_restart_the_count_of_252() -> None:
    # the 252nd volatility is one row later, and the volatilities hardly differ: the gap leaves two
    # consecutive returns of one sign
    values = swinging(0.01, 19 + 252 + 1)
    values[100] = None
    rows = measured(values)
    assert rows[-2]["k_vol"] is None
    assert rows[-1]["k_vol"] == pytest.approx(1.0, rel=0.01)


def test_percentile_and_k_vol_are_null_without_volatility() -> None:
    values = swinging(0.01, 300)
    values[-1] = None
    row = measured(values)[-1]
    assert (row["vol20"], row["vol_percentile"], row["k_vol"]) == (None, None, None)


def test_k_vol_is_null_if_the_median_is_zero() -> None:
    row = measured([0.0] * 300)[-1]
    assert row["vol20"] == 0.0
    assert row["vol_percentile"] == 1.0
    assert row["k_vol"] is None


def test_volatility_treats_roots_independently() -> None:
    both = pl.concat(
        [frame_of(swinging(0.01, 300)), frame_of(swinging(0.03, 300), root="ES")]
    ).sort("trade_date", "root")
    apart = pl.concat(
        [
            volatility(frame_of(swinging(0.03, 300), root="ES")),
            volatility(frame_of(swinging(0.01, 300))),
        ]
    )
    assert volatility(both).equals(apart)


def reference(values: list[float | None]) -> list[tuple[float | None, ...]]:
    """Compute the definitions in plain Python, row by row."""
    vols: list[float | None] = []
    rows: list[tuple[float | None, ...]] = []
    for index in range(len(values)):
        window = [r for r in values[: index + 1] if r is not None][-20:]
        known = values[index] is not None and len(window) == 20
        vols.append(statistics.stdev(window) if known else None)
        year = [v for v in vols if v is not None][-252:]
        today = vols[-1]
        if today is None or len(year) < 252:
            rows.append((today, None, None))
            continue
        k = min(max(today / statistics.median(year), 0.5), 3.0)
        rows.append((today, sum(v <= today for v in year) / 252, k))
    return rows


@st.composite
def histories(draw: st.DrawFn, longest: int = 420) -> list[float | None]:
    """Random returns of one root, of drifting size, with some gaps."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, longest))
    sizes = 0.01 * np.exp(np.cumsum(random.normal(0, 0.05, count)))
    values: list[float | None] = [float(v) for v in random.normal(0, 1, count) * sizes]
    for gap in draw(st.lists(st.integers(0, count - 1), max_size=3)):
        values[gap] = None
    return values


@pytest.mark.full
@settings(max_examples=40, deadline=None)
@given(histories())
def test_volatility_equals_the_definitions_in_plain_python(
    values: list[float | None],
) -> None:
    for row, expected in zip(measured(values), reference(values), strict=True):
        found = (row["vol20"], row["vol_percentile"], row["k_vol"])
        assert found == tuple(
            None if value is None else pytest.approx(value, rel=1e-9) for value in expected
        )


@settings(max_examples=60, deadline=None)
@given(histories(), st.floats(0, 1))
def test_volatility_is_identical_without_later_returns(
    values: list[float | None], where: float
) -> None:
    full = volatility(frame_of(values))
    cut = max(1, round(where * len(values)))
    assert volatility(frame_of(values).head(cut)).equals(full.head(cut))


@settings(max_examples=60, deadline=None)
@given(histories(longest=120), st.integers(0, 100))
@example([3.0, *(0.01 * (-1) ** n * (1 + n / 7) for n in range(60))], 1)
def test_vol20_is_identical_wherever_the_history_starts(
    values: list[float | None], start: int
) -> None:
    start = min(start, len(values) - 1)
    full = volatility(frame_of(values))["vol20"].slice(start)
    part = volatility(frame_of(values).slice(start))["vol20"]
    both = part.is_not_null()
    assert part.filter(both).equals(full.filter(both))
    returns = sum(value is not None for value in values[start:])
    assert both.sum() == max(0, returns - 19)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_log_returns_are_identical_without_later_sessions(data: st.DataObject) -> None:
    days = [START + dt.timedelta(days=n) for n in range(30)]
    prices, keys = st.integers(-1, 9), st.sampled_from(["ZL.v.0#1", "ZL.v.0#2"])
    rows = [
        closing(day, float(data.draw(prices)), contract_key=data.draw(keys))
        for day in data.draw(st.lists(st.sampled_from(days), unique=True, min_size=1))
    ]
    frame = session_frame(rows).sort("trade_date")

    def known(until: dt.date) -> pl.DataFrame:
        sessions = frame.filter(pl.col("trade_date") <= until)
        calendar = calendar_frame([day for day in days if day <= until])
        return log_returns(sessions, sessions, calendar)

    cut = data.draw(st.sampled_from(days))
    full = known(days[-1]).filter(pl.col("trade_date") <= cut)
    assert known(cut).equals(full)
