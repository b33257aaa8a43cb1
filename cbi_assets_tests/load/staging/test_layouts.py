"""A staging file's layout is detected from its columns, not from its name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.sources import DeclaredFile, load_sources
from cbi_assets.load.staging.layouts import (
    NO_DATE,
    NO_NUMBER,
    NO_SOURCE,
    NOT_A_DAY,
    NOT_MEASURED,
    UNKNOWN_LAYOUT,
    is_bridge,
    observe,
    prices_of,
)

ROOTS = ["ZL", "MES", "ES", "CL"]
DAY = dt.date(2025, 1, 2)


def frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({name: [value] for name, value in columns.items()})


@pytest.mark.parametrize(
    "columns",
    [
        {"date": DAY, "zl_open": 1.0, "zl_close": 1.0},
        {"date": DAY, "mes_volume": 5},
        {"date": DAY, "ZL_Close": 1.0},
        {"date": DAY, "databento_es_high": 1.0},
        {"time": DAY, "indicator": "x", "value": 1.0, "source_name": "FRED", "cl_settle": 1.0},
        {"date": DAY, "symbol": "ZL", "close": 1.0},
        {"date": DAY, "symbol": "ZLZ5", "close": 1.0},
        {"date": DAY, "ticker": "ZL=F", "open": 1.0},
        {"date": DAY, "contract": "MESH2025", "high": 1.0},
        {"date": DAY, "symbol": "ZL.v.0", "low": 1.0},
        {"date": DAY, "symbol": "zl", "Close": 1.0},
    ],
)
def test_prices_of_detects_price_tables_by_columns_and_symbols(columns: dict[str, Any]) -> None:
    assert prices_of(frame(**columns), ROOTS) is not None


@pytest.mark.parametrize(
    "columns",
    [
        {"date": DAY, "symbol": "VIX", "open": 1.0, "close": 1.0},
        {"report_date": DAY, "contract_code": "ZL", "open_interest": 1.0},
        {"date": DAY, "zl_events": 1},
        {"date": DAY, "rates_close": 1.0},  # `es` inside a word is not a root
        {"date": DAY, "symbol": "ZLOTY", "close": 1.0},
        {"date": DAY, "symbol": None, "close": 1.0},
    ],
)
def test_prices_of_is_none_for_other_tables(columns: dict[str, Any]) -> None:
    assert prices_of(frame(**columns), ROOTS) is None


def test_prices_of_names_the_symbol_if_one_of_several_is_in_the_universe() -> None:
    rows = pl.DataFrame({"symbol": ["VIX", "ZL"], "close": [1.0, 2.0]})
    assert prices_of(rows, ROOTS) == "it contains prices of futures of the universe (symbol ZL)"


def indicators(**changes: Any) -> pl.DataFrame:
    row = {
        "time": dt.datetime(2025, 1, 2, tzinfo=dt.UTC),
        "indicator": "vix_index_fred",
        "value": 17.0,
        "source_name": "FRED",
    }
    return frame(**row | changes)


def observe_one(rows: pl.DataFrame, declared: tuple[DeclaredFile, ...] = ()) -> dict[str, Any]:
    _, found = observe("any.parquet", rows, declared)
    (row,) = found.to_dicts()
    return row


def test_observe_reads_an_indicator() -> None:
    assert observe_one(indicators()) == {
        "row_no": 1,
        "item": "vix_index_fred",
        "source": "FRED",
        "reference_date": DAY,
        "value": 17.0,
        "fault": None,
    }


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"time": dt.datetime(2025, 1, 2, 3, 7, tzinfo=dt.UTC)}, NOT_A_DAY),
        ({"time": dt.datetime(2025, 1, 2, microsecond=1, tzinfo=dt.UTC)}, NOT_A_DAY),
        ({"time": None}, NO_DATE),
        ({"time": "soon"}, NO_DATE),
        ({"time": 20250102}, NO_DATE),
        ({"time": DAY}, None),
        ({"time": "2025-01-02"}, None),
        ({"value": None}, NO_NUMBER),
        ({"value": float("nan")}, NO_NUMBER),
        ({"value": float("inf")}, NO_NUMBER),
        ({"value": "high"}, NO_NUMBER),
        ({"value": 0.0}, None),
    ],
)
def test_observe_reports_an_invalid_date_or_value(
    changes: dict[str, Any], fault: str | None
) -> None:
    row = observe_one(indicators(**changes))
    assert row["fault"] == fault
    assert (row["value"] is None) == (fault == NO_NUMBER)


@pytest.mark.parametrize("name", [None, "", "  "])
def test_observe_reads_a_blank_source_as_none(name: str | None) -> None:
    assert observe_one(indicators(source_name=name))["source"] is None


def test_observe_names_a_currency_pair() -> None:
    rows = frame(date=DAY, from_currency="USD", to_currency="BRL", rate=5.4, source_name="X")
    row = observe_one(rows)
    assert (row["item"], row["value"], row["reference_date"]) == ("USD/BRL", 5.4, DAY)


def cot(**changes: list[float]) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "report_date": [DAY, DAY + dt.timedelta(days=7)],
        "contract_code": ["ZL", "ZL"],
        "managed_money_long": [0.0, 0.0],
        "commercial_net": [0.0, -4.0],
        "open_interest": [100.0, 110.0],
        "source_name": ["CFTC_API", "CFTC_API"],
    }
    return pl.DataFrame(columns | changes)


def faults(rows: pl.DataFrame) -> dict[str, set[str | None]]:
    """Return the faults of each item, None for rows without one."""
    _, found = observe("cot.parquet", rows, ())
    by_item: dict[str, set[str | None]] = {}
    for row in found.to_dicts():
        by_item.setdefault(row["item"], set()).add(row["fault"])
    return by_item


def test_positions_are_not_measured_if_all_rows_are_zero() -> None:
    assert faults(cot()) == {
        "ZL.managed_money_long": {NOT_MEASURED},
        "ZL.commercial_net": {None},
        "ZL.open_interest": {None},
    }


def test_zero_positions_are_values_if_another_row_is_not_zero() -> None:
    assert faults(cot(managed_money_long=[0.0, 1.0]))["ZL.managed_money_long"] == {None}


def test_zero_positions_are_values_if_open_interest_is_zero() -> None:
    found = faults(cot(open_interest=[0.0, 0.0]))
    assert found["ZL.managed_money_long"] == {None}
    assert found["ZL.open_interest"] == {None}


def test_zero_positions_are_detected_per_contract() -> None:
    other = cot(managed_money_long=[5.0, 6.0]).with_columns(contract_code=pl.lit("ZS"))
    found = faults(pl.concat([cot(), other]))
    assert found["ZL.managed_money_long"] == {NOT_MEASURED}
    assert found["ZS.managed_money_long"] == {None}


def test_declared_file_is_detected_by_its_columns_in_any_order() -> None:
    declared = DeclaredFile(
        id="mine", source="me", date="day", columns=("day", "a", "b"), reason="mine"
    )
    layout, found = observe("x.parquet", frame(b=2.0, a=1, day=DAY), (declared,))
    assert layout == "mine"
    assert found.select("item", "source", "value").rows() == [("b", "me", 2.0), ("a", "me", 1.0)]
    assert observe_one(frame(a=1, day=DAY), (declared,))["fault"] == NO_SOURCE


def test_declared_file_is_detected_by_its_name() -> None:
    declared = DeclaredFile(id="mine", source="me", date="day", name="my_*.parquet", reason="mine")
    assert observe("my_1.parquet", frame(day=DAY, a=1.0), (declared,))[0] == "mine"
    assert observe("other.parquet", frame(day=DAY, a=1.0), (declared,))[0] == "unknown"


def test_observe_reports_an_unknown_layout_or_a_missing_source() -> None:
    assert observe_one(frame(date=DAY, symbol="VIX", close=1.0))["fault"] == NO_SOURCE
    row = observe_one(frame(date=DAY, reading=1.0, source_name="FRED"))
    assert (row["fault"], row["source"]) == (UNKNOWN_LAYOUT, "FRED")


def test_bridge_is_detected_by_its_columns() -> None:
    stitch = load_sources().stitch
    assert stitch is not None
    names = list(stitch.columns.model_dump().values())
    assert is_bridge(frame(**dict.fromkeys(names, 1.0)), stitch)
    assert not is_bridge(frame(**dict.fromkeys(names[1:], 1.0)), stitch)
    assert not is_bridge(frame(**dict.fromkeys(names, 1.0)), None)
