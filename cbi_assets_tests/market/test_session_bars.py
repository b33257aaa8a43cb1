"""Session bars, computed by hand."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from cbi_assets.market.session_bars import choose_finest, session_bars
from cbi_assets_tests.features.frames import SESSION_SCHEMA, bar, bar_frame

MON, TUE, WED = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(3))

THREE = [
    bar(TUE, 14, (100.0, 102.0, 99.0, 101.0), 10),
    bar(TUE, 15, (101.0, 105.0, 100.0, 104.0), 30),
    bar(TUE, 16, (104.0, 104.0, 98.0, 100.0), 20),
]


def test_session_bar_is_first_open_extremes_last_close_and_summed_volume() -> None:
    (row,) = session_bars(bar_frame(THREE[::-1])).to_dicts()
    assert (row["open"], row["high"], row["low"], row["close"]) == (100.0, 105.0, 98.0, 100.0)
    assert row["volume"] == 60
    assert row["contract_key"] == "ZL.v.0#1"
    assert row["is_pure"]


def test_vwap_weights_typical_prices_by_volume() -> None:
    (row,) = session_bars(bar_frame(THREE)).to_dicts()
    # typical prices 302/3, 103 and 302/3: (3020/3 + 3090 + 6040/3) / 60
    assert row["vwap"] == pytest.approx(6110 / 60, rel=1e-12)


def test_vwap_is_identical_to_the_last_bit_whether_computed_alone_or_with_others() -> None:
    # 17/3: multiplied by 1/3 it would be the float below
    rows = [bar(day, 14, (0.0, 17.0, 0.0, 0.0), 1) for day in (MON, TUE, WED)]
    alone, together = session_bars(bar_frame(rows[:1])), session_bars(bar_frame(rows))
    assert alone["vwap"].to_list() == [17 / 3]
    assert together["vwap"].to_list() == [17 / 3] * 3


def test_vwap_is_null_without_volume() -> None:
    (row,) = session_bars(bar_frame([bar(TUE, 14, (1.0, 1.0, 1.0, 1.0), 0)])).to_dicts()
    assert row["vwap"] is None


def test_realized_vol_starts_at_the_session_open() -> None:
    (row,) = session_bars(bar_frame(THREE)).to_dicts()
    returns = [math.log(101 / 100), math.log(104 / 101), math.log(100 / 104)]
    assert row["realized_vol_1h"] == pytest.approx(math.sqrt(sum(r * r for r in returns)))


def test_realized_vol_ignores_the_previous_session() -> None:
    before = bar(MON, 16, (50.0, 50.0, 50.0, 50.0))
    rows = session_bars(bar_frame([before, *THREE]))
    alone = session_bars(bar_frame(THREE))
    assert rows.filter(pl.col("trade_date") == TUE).equals(alone)


def test_realized_vol_is_null_if_a_price_is_not_positive() -> None:
    below_zero = bar(TUE, 17, (100.0, 100.0, -38.0, -37.0))
    (row,) = session_bars(bar_frame([*THREE, below_zero])).to_dicts()
    assert row["realized_vol_1h"] is None
    assert row["close"] == -37.0


def test_vwap_and_realized_vol_are_null_for_daily_bars() -> None:
    (row,) = session_bars(bar_frame(THREE[:1], "1d")).to_dicts()
    assert row["vwap"] is None
    assert row["realized_vol_1h"] is None
    assert row["close"] == 101.0


def test_session_bar_has_the_last_contract_and_is_not_pure_if_it_rolls_mid_session() -> None:
    rows = [
        bar(TUE, 14, (1.0, 1.0, 1.0, 1.0), instrument_id=1),
        bar(TUE, 15, (2.0, 2.0, 2.0, 2.0), instrument_id=2, load_id="L2"),
    ]
    (row,) = session_bars(bar_frame(rows)).to_dicts()
    assert row["contract_key"] == "ZL.v.0#2"
    assert not row["is_pure"]


def test_contract_key_of_an_outright_is_its_contract_whatever_its_instrument_id() -> None:
    rows = [
        bar(TUE, 14, (1.0,) * 4, symbol="ZLH4", contract="ZLH2024", instrument_id=1),
        bar(TUE, 15, (1.0,) * 4, symbol="ZLH4", contract="ZLH2024", instrument_id=2),
    ]
    (row,) = session_bars(bar_frame(rows)).to_dicts()
    assert row["contract_key"] == "ZLH2024"
    assert row["is_pure"]


def test_vwap_uses_the_weights_of_an_hours_minutes() -> None:
    """An hour of two minutes: (10+10+10)·1 + (40+40+40)·3 = 390, over 3·4 contracts."""
    hour = bar_frame([bar(TUE, 14, (10.0, 40.0, 10.0, 40.0), 4)], "1m")
    (row,) = session_bars(hour.with_columns(weighted=pl.lit(390.0))).to_dicts()
    assert row["vwap"] == 32.5
    assert row["built_from"] == "1m"
    assert row["realized_vol_1h"] == pytest.approx(math.log(4))


def test_session_bars_are_separate_by_timeframe() -> None:
    rows = [bar(TUE, 14, (1.0, 1.0, 1.0, 1.0))]
    found = session_bars(pl.concat([bar_frame(rows), bar_frame(rows, "1d")]))
    assert found["built_from"].to_list() == ["1d", "1h"]
    assert found.select(*SESSION_SCHEMA).schema == SESSION_SCHEMA
    assert found.width == len(SESSION_SCHEMA)


@pytest.mark.parametrize(
    ("minutes", "hours", "chosen"),
    [(100, 100, "1m"), (101, 100, "1m"), (99, 100, "1h"), (100, None, "1m"), (None, 1, "1h")],
)
def test_choose_finest_takes_minutes_unless_they_have_less_volume(
    minutes: int | None, hours: int | None, chosen: str
) -> None:
    volumes = {"1m": minutes, "1h": hours, "1d": 7}
    inventory = pl.DataFrame(
        [
            {"root": "ZL", "symbol": "ZL.v.0", "trade_date": TUE, "built_from": name}
            | {"bars": 1, "volume": volume}
            for name, volume in volumes.items()
            if volume is not None
        ]
    )
    assert choose_finest(inventory)["built_from"].to_list() == sorted(["1d", chosen])
