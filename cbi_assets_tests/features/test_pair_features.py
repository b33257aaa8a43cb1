"""Spreads equal published ones, and no row knows a market that closes after it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cbi_assets.config.features import load_features, parse_features
from cbi_assets.features.catalogue import catalogue_columns
from cbi_assets.market.sessions import trade_dates
from cbi_assets_tests.features.frames import OBSERVATION_SCHEMA

DAYS = trade_dates("grains", dt.date(2024, 3, 4), dt.date(2024, 12, 31))
MON, TUE, WED = DAYS[:3]
NOTHING = pl.DataFrame(schema=OBSERVATION_SCHEMA)
PRICES = ("open", "high", "low", "close")

SHORT = parse_features("""
structs: {s: any}
families:
  - {struct: s, measure: correlation, name: "c_{leg}", windows: [3],
     legs: {ho: HO, dollar: dollar_index}, roots: [ZL], counts: pairs, max_age_days: 9,
     formula: f, unit: u, source: x}
  - {struct: s, measure: beta, name: "b_{leg}", windows: [3],
     legs: {ho: HO, dollar: dollar_index}, roots: [ZL], counts: pairs, max_age_days: 9,
     formula: f, unit: u, source: x}
  - {struct: s, measure: spread, name: boho, terms: {ZL: 7.37, HO: -100}, roots: [ZL],
     counts: trade dates, max_age_days: 3, formula: f, unit: u, source: x}
""")


def closes(
    root: str,
    values: dict[dt.date, float],
    hour: int,
    built_from: str = "1h",
    days: list[dt.date] = DAYS,
) -> pl.DataFrame:
    """Make a root's rows, whose sessions close at `hour` UTC of their trade date."""
    prior = dict(zip(days[1:], days, strict=False))
    rows = []
    for day, close in values.items():
        before = values.get(prior.get(day, dt.date.min))
        growth = None if before is None or before <= 0 or close <= 0 else close / before
        at = dt.datetime.combine(day, dt.time(hour), dt.UTC)
        rows.append((root, day, built_from, at, *[close] * 4, prior.get(day), growth))
    schema = {
        "root": pl.String,
        "trade_date": pl.Date,
        "built_from": pl.String,
        "timestamp": pl.Datetime("us", "UTC"),
        **dict.fromkeys(PRICES, pl.Float64),
        "prior_date": pl.Date,
        "growth": pl.Float64,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(log_return=pl.col("growth").log())


def column(frames: list[pl.DataFrame], name: str, catalogue: object = None) -> list[float | None]:
    """Return a feature of ZL's rows, by trade date."""
    features = load_features() if catalogue is None else SHORT
    found = catalogue_columns(pl.concat(frames), NOTHING, features, ["ZL"])
    return found.sort("trade_date")[name].to_list()


@pytest.mark.parametrize(
    ("oil", "heating_oil", "boho"),
    [(30.87, 2.2164, 5.87), (30.59, 2.2692, -1.47), (33.35, 1.8592, 59.87)],
)
def test_boho_equals_the_published_one(oil: float, heating_oil: float, boho: float) -> None:
    legs = [closes("ZL", {MON: oil}, 19), closes("HO", {MON: heating_oil}, 19)]
    assert column(legs, "boho") == [pytest.approx(boho, abs=0.005)]
    assert column(legs, "oil_to_heating_oil") == [pytest.approx(7.37 * oil / 100 / heating_oil)]


def test_crack_spread_equals_the_published_one() -> None:
    """Penn State's example, EME 801: $79.44 on three barrels."""
    prices = {"ZL": 1.0, "CL": 84.54, "RB": 2.57, "HO": 2.79}
    legs = [closes(root, {MON: price}, 19) for root, price in prices.items()]
    assert column(legs, "crack_321") == [pytest.approx(26.48, abs=0.005)]


def test_hog_feeding_spread_is_of_seven_hog_contracts_three_of_corn_and_one_of_meal() -> None:
    # 7 * 40,000 lb at 90 ¢ = $252,000; 3 * 5,000 bu at 400 ¢ = $60,000; 100 tons at $300 = $30,000
    prices = {"ZL": 1.0, "HE": 90.0, "ZC": 400.0, "ZM": 300.0}
    legs = [closes(root, {MON: price}, 19) for root, price in prices.items()]
    # $162,000 on 280,000 lb
    assert column(legs, "hog_feeding") == [pytest.approx(162_000 * 100 / 280_000)]


def test_spread_is_of_the_newest_date_on_which_all_legs_had_closed() -> None:
    oil = closes("ZL", {MON: 1.0, TUE: 2.0, WED: 3.0}, 19)
    later = closes("HO", {MON: 0.01, TUE: 0.02, WED: 0.03}, 22)
    assert column([oil, later], "boho") == [
        None,
        pytest.approx(7.37 - 1),
        pytest.approx(14.74 - 2),
    ]
    # a UTC day of the vendor's ends at midnight, though its session is stamped before
    daily = closes("HO", {MON: 0.01, TUE: 0.02, WED: 0.03}, 18, "1d")
    assert column([oil, daily], "boho") == column([oil, later], "boho")
    both_daily = closes("ZL", {MON: 1.0, TUE: 2.0, WED: 3.0}, 19, "1d")
    assert column([both_daily, daily], "boho")[0] == pytest.approx(7.37 - 1)


def test_spread_is_null_if_its_newest_date_is_too_old() -> None:
    # 3 days in SHORT: Monday's is used on Thursday and no longer on Friday
    oil = closes("ZL", dict.fromkeys(DAYS[:5], 1.0), 19)
    found = column([oil, closes("HO", {MON: 0.01}, 19)], "boho", SHORT)
    assert found == [*[pytest.approx(6.37)] * 4, None]


def walk(seed: int, length: int, start: float) -> dict[dt.date, float]:
    steps = np.random.default_rng(seed).normal(0, 0.02, length)
    return dict(zip(DAYS, (start * np.exp(np.cumsum(steps))).tolist(), strict=False))


@pytest.mark.parametrize("window", [30, 60])
def test_correlation_and_beta_equal_those_of_numpy(window: int) -> None:
    oil, crude = walk(1, 70, 40.0), walk(2, 70, 80.0)
    legs = [closes("ZL", oil, 19), closes("CL", crude, 19)]
    y, x = (np.diff(np.log(list(v.values())))[-window:] for v in (oil, crude))
    found = column(legs, f"correlation_cl_{window}")
    assert found[-1] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)
    assert found[window - 1] is None
    assert found[window] is not None
    beta = column(legs, f"beta_cl_{window}")
    assert beta[-1] == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)


def test_pair_counts_once_both_sessions_have_closed() -> None:
    oil, heating_oil = walk(1, 8, 40.0), walk(2, 8, 2.0)
    same = column([closes("ZL", oil, 19), closes("HO", heating_oil, 19)], "c_ho", SHORT)
    later = column([closes("ZL", oil, 19), closes("HO", heating_oil, 22)], "c_ho", SHORT)
    assert same[:3] == [None] * 3
    assert later == [None, *same[:-1]]


def test_correlation_is_null_with_a_market_that_does_not_move() -> None:
    legs = [closes("ZL", walk(1, 8, 40.0), 19), closes("HO", dict.fromkeys(DAYS[:8], 2.0), 19)]
    assert column(legs, "c_ho", SHORT) == column(legs, "b_ho", SHORT) == [None] * 8


def dollar(values: dict[dt.date, float], hours_later: int = 30) -> pl.DataFrame:
    """Make observations of the dollar, each published so many hours after its date's midnight."""
    at = dt.timedelta(hours=hours_later)
    midnight = dt.time(tzinfo=dt.UTC)
    return pl.DataFrame(
        [
            ("dollar_index", day, dt.datetime.combine(day, midnight) + at, value)
            for day, value in values.items()
        ],
        schema=OBSERVATION_SCHEMA,
        orient="row",
    )


def test_series_counts_from_its_publication_and_with_its_first_vintage() -> None:
    oil, index = walk(1, 8, 40.0), walk(2, 8, 120.0)
    rows = closes("ZL", oil, 19)
    published = dollar(index)
    y, x = (np.diff(np.log(list(v.values()))) for v in (oil, index))

    def correlations(observations: pl.DataFrame) -> list[float | None]:
        found = catalogue_columns(rows, observations, SHORT, ["ZL"])
        return found["c_dollar"].to_list()

    # a value is out the next day at 06:00, before ZL's close at 19:00
    expected = [float(np.corrcoef(x[n : n + 3], y[n : n + 3])[0, 1]) for n in range(4)]
    assert correlations(published) == [*[None] * 4, *(pytest.approx(v) for v in expected)]
    revised = dollar(dict.fromkeys(list(index)[:5], 1.0), hours_later=50)
    assert correlations(pl.concat([revised, published])) == correlations(published)


@pytest.mark.full
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_no_feature_knows_what_was_not_known_at_the_rows_close(data: st.DataObject) -> None:
    def some(root: str, built_from: str) -> pl.DataFrame:
        days = data.draw(st.lists(st.sampled_from(DAYS[:12]), unique=True, min_size=8))
        values = {day: float(data.draw(st.integers(-1, 9))) for day in sorted(days)}
        return closes(root, values, data.draw(st.integers(17, 23)), built_from)

    kinds = st.sampled_from(["1h", "1d"])
    rows = pl.concat([some(root, data.draw(kinds)) for root in ("ZL", "HO")])
    index = dollar(walk(3, 12, 120.0), data.draw(st.integers(0, 90)))
    late = dollar({DAYS[3]: 1.0}, data.draw(st.integers(0, 200)))
    observations = pl.concat([index.filter(pl.col("reference_date") != DAYS[3]), late])
    whole = catalogue_columns(rows, observations, SHORT, ["ZL"]).sort("trade_date")
    midnight = pl.col("trade_date").dt.offset_by("1d").cast(pl.Datetime("us", "UTC"))
    known_at = (
        pl.when(pl.col("built_from") == "1d")
        .then(pl.max_horizontal("timestamp", midnight))
        .otherwise("timestamp")
    )
    rows = rows.with_columns(at=known_at)
    for row in rows.filter(pl.col("root") == "ZL").iter_rows(named=True):
        known = rows.filter(pl.col("at") <= row["at"])
        published = observations.filter(pl.col("available_at") <= row["at"])
        found = catalogue_columns(known, published, SHORT, ["ZL"])
        own = pl.col("trade_date") == row["trade_date"]
        assert_frame_equal(found.filter(own), whole.filter(own), check_exact=True)
