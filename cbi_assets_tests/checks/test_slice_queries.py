"""Checks that read few bars closely find what reading all of them closely would find."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets.warehouse.sql_files import load_sql

START = dt.datetime(2025, 1, 30, tzinfo=dt.UTC)
PARAMS = {
    "roots": ["ZL"],
    "before": START - dt.timedelta(days=31),
    "first": START,
    "end": START + dt.timedelta(days=60),
    "micros": 60_000_000,
}
SCHEMA = pl.Schema(
    {
        "root": pl.String,
        "symbol": pl.String,
        "contract": pl.String,
        "kind": pl.String,
        "ts_event": pl.Datetime("us", "UTC"),
        "close": pl.Float64,
    }
)
MINUTE = (pl.col("ts_event") - START).dt.total_minutes().alias("minute")
CLOSES = (50.0, 51.0, 74.9, 75.0, 76.0, 34.0, -20.0, 0.0, None)
bars = st.tuples(
    # minutes from the start: neighbors, across midnights, across the end of a month, far apart
    st.sampled_from((-1_441, -1, 0, 1, 59, 60, 61, 1_439, 1_440, 2_879, 2_881, 50_000, 60_000)),
    st.sampled_from(("ZL.v.0", "ZLH5")),
    st.sampled_from(CLOSES),
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    folder = tmp_path_factory.mktemp("queries")
    with DuckDBWarehouse(folder / "warehouse.duckdb", folder) as opened:
        yield opened


def found(
    warehouse: DuckDBWarehouse, name: str, rows: list[tuple[int, str, float]]
) -> pl.DataFrame:
    frame = pl.DataFrame(
        [
            ("ZL", symbol, None, "continuous", START + dt.timedelta(minutes=minute), close)
            for minute, symbol, close in rows
        ],
        schema=SCHEMA,
        orient="row",
    )
    table = warehouse.stage_frame("bars", frame)
    return warehouse.query(load_sql(f"checks/{name}", table=table), PARAMS)


@pytest.mark.full
@given(rows=st.lists(bars, max_size=12))
@settings(max_examples=30, deadline=None)
def test_duplicates_are_the_starts_that_occur_twice(
    warehouse: DuckDBWarehouse, rows: list[tuple[int, str, float]]
) -> None:
    starts = [(symbol, minute) for minute, symbol, _ in rows if minute >= 0]
    copies = {start: starts.count(start) for start in starts if starts.count(start) > 1}
    result = found(warehouse, "no_duplicate_bars", rows)
    assert {row[:2]: row[2] for row in result.select("symbol", MINUTE, "copies").rows()} == copies


@pytest.mark.full
@given(rows=st.lists(bars, max_size=12, unique_by=lambda row: row[:2]))
@settings(max_examples=30, deadline=None)
def test_implausible_steps_are_those_of_neighboring_bars(
    warehouse: DuckDBWarehouse, rows: list[tuple[int, str, float]]
) -> None:
    expected = set()
    for series in ("ZL.v.0", "ZLH5"):
        own = sorted((minute, close) for minute, symbol, close in rows if symbol == series)
        for (before, previous), (minute, close) in pairwise(own):
            if None in (previous, close) or previous == 0 or minute < 0:
                continue
            is_near = minute - before < 32 * 24 * 60
            if is_near and not 2 / 3 <= close / previous <= 3 / 2:
                expected.add((series, minute))
    result = found(warehouse, "prices_are_plausible", rows)
    assert set(result.select("symbol", MINUTE).rows()) == expected
