"""A staging file is decoded to the values that its writer meant, whatever types hold them."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.errors import SourceError
from cbi_assets.load.staging.layouts import observe, prices_of
from cbi_assets.load.staging.read import StagingFile, decode

DAY = dt.date(2025, 1, 2)


def file_of(columns: dict[str, Any], names: list[str] | None = None) -> StagingFile:
    out = io.BytesIO()
    table = pa.table(columns)
    pq.write_table(table.rename_columns(names) if names else table, out)
    return StagingFile("sub/x.parquet", "id", out.getvalue())


def indicators(**changes: pa.Array) -> StagingFile:
    columns = {
        "time": pa.array([dt.datetime(2025, 1, 2, tzinfo=dt.UTC)]),
        "indicator": pa.array(["ten_year_treasury"]),
        "value": pa.array([3.11]),
        "source_name": pa.array(["FRED"]),
    }
    return file_of(columns | changes)


def encoded(value: Any) -> pa.Array:
    """Return an array of one value as pandas writes a categorical."""
    return pa.array([value]).dictionary_encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"time": encoded("2025-01-02")},
        {"time": encoded(DAY)},
        {"time": encoded(dt.datetime(2025, 1, 2))},
        {"indicator": encoded("ten_year_treasury"), "source_name": encoded("FRED")},
        {"value": pa.array([3.11], pa.float32())},
        {"value": encoded(3.11)},
        {"value": pa.array(["3.11"])},
    ],
    ids=[
        "plain",
        "categorical text date",
        "categorical date",
        "categorical time",
        "categorical names",
        "float32",
        "categorical float",
        "text value",
    ],
)
def test_observation_is_the_same_in_every_type(changes: dict[str, Any]) -> None:
    layout, found = observe("x.parquet", decode(indicators(**changes)), ())
    assert layout == "indicators"
    assert found.to_dicts() == [
        {
            "row_no": 1,
            "item": "ten_year_treasury",
            "source": "FRED",
            "reference_date": DAY,
            "value": 3.11,
            "fault": None,
        }
    ]


def test_float32_becomes_the_shortest_decimal_that_it_stands_for() -> None:
    values = [3.11, -0.1, 16_777_217.0, 1e-45, None, 0.0]
    frame = decode(file_of({"value": pa.array(values, pa.float32())}))
    # 24 bits hold no odd number above 2^24
    assert frame["value"].to_list() == [3.11, -0.1, 16_777_216.0, 1e-45, None, 0.0]
    assert frame.schema == {"value": pl.Float64}


def test_categorical_symbols_do_not_hide_prices() -> None:
    frame = decode(file_of({"symbol": encoded("ZLZ5"), "close": pa.array([45.0])}))
    assert prices_of(frame, ["ZL"]) is not None


def test_file_with_a_column_twice_is_refused() -> None:
    file = file_of({"a": [1], "b": [2], "c": [3]}, ["date", "value", "value"])
    with pytest.raises(SourceError, match="it has the column 'value' twice") as caught:
        decode(file)
    assert str(caught.value) == (
        "sub/x.parquet: it has the column 'value' twice. Export it again, with each column once."
    )
