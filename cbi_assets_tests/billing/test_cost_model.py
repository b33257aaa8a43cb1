"""The cost model follows BigQuery's rules: expected bytes are computed by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.tables import RAW
from cbi_assets.warehouse.bigquery.script import query_parameters
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.billing.cost_model import LEAST_BYTES, MB, TableSize, width
from cbi_assets_tests.billing.daily import bill_a_day
from cbi_assets_tests.billing.recorded import Asked, RecordingWarehouse, bill_all, evenly

BARS = RAW["1m"].id
MILLION = 1_000_000
JANUARY, FEBRUARY, MARCH = (dt.date(2024, month, 1) for month in (1, 2, 3))
SIZES = {
    BARS: TableSize.of(
        RAW["1m"], {JANUARY: 2 * MILLION, FEBRUARY: 3 * MILLION, MARCH: 5 * MILLION}
    ),
    "market_data.small": TableSize({"root": "STRING", "n": "INT64"}, {None: 5}),
    "market_data.structs": TableSize({"s": "STRUCT<a FLOAT64, b INT64>"}, {None: 10 * MILLION}),
}


def billed(sql: str, **params: Any) -> dict[str, int]:
    """Return the bytes billed for a statement, by table."""
    asked = Asked(sql, query_parameters(sql, params), (0, 0), {})
    (found,) = bill_all([asked], SIZES).bills
    return dict(found.by_table)


def in_mb(size: int) -> int:
    """Return a size rounded up to a whole MB."""
    return -(-size // MB) * MB


def noon(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)


def test_bar_of_a_continuous_symbol_has_208_bytes() -> None:
    # six integers and times, four prices, and strings of 2 + 2, 6, 10, 9, 64 and 25; no contract
    assert 6 * 8 + 4 * 8 + sum((4, 8, 12, 11, 66, 27)) == 208
    assert sum(width(column.name, column.type) for column in RAW["1m"].columns) == 208


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"SELECT COUNT(*) AS n FROM `{BARS}`", {}),
        (f"SELECT root FROM `{BARS}`", {BARS: in_mb(10 * MILLION * 4)}),
        (f"SELECT volume, root FROM `{BARS}` ORDER BY close", {BARS: in_mb(10 * MILLION * 20)}),
        (
            f"SELECT a.root FROM `{BARS}` AS a JOIN `{BARS}` AS b ON a.volume = b.volume",
            {BARS: in_mb(10 * MILLION * 12)},
        ),
        ("SELECT n FROM `market_data.small`", {"market_data.small": LEAST_BYTES}),
        ("SELECT s.a FROM `market_data.structs`", {"market_data.structs": in_mb(80 * MILLION)}),
        ("SELECT s FROM `market_data.structs`", {"market_data.structs": in_mb(160 * MILLION)}),
    ],
)
def test_query_is_billed_for_the_columns_it_reads(sql: str, expected: dict[str, int]) -> None:
    assert billed(sql) == expected


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("ts_event >= @first", 8),
        ("ts_event > @first AND root = 'ZL'", 8),
        ("ts_event < @first", 5),
        ("@first >= ts_event", 5),
        ("ts_event BETWEEN @first AND @last", 3),
        ("ts_event = @first", 3),
        ("ts_event >= @first OR root = 'ZL'", 10),
        ("trade_date >= DATE '2024-02-10'", 10),
        ("TIMESTAMP_TRUNC(ts_event, DAY) >= @first", 10),
    ],
)
def test_only_constant_bounds_of_the_partition_column_prune(condition: str, rows: int) -> None:
    # ts_event and root: 12 bytes; trade_date another 8
    sql = f"SELECT root, ts_event FROM `{BARS}` WHERE {condition}"
    each = 20 if "trade_date" in condition else 12
    found = billed(sql, first=noon(dt.date(2024, 2, 10)), last=noon(dt.date(2024, 2, 20)))
    assert found == {BARS: in_mb(rows * MILLION * each)}


def test_delete_is_billed_for_all_columns_of_the_partitions_it_may_change() -> None:
    chosen = "SELECT 1 FROM `market_data.small` AS s WHERE s.root = b.root"
    where = f"ts_event >= @first AND EXISTS ({chosen})"
    found = billed(f"DELETE FROM `{BARS}` AS b WHERE {where}", first=noon(MARCH))
    assert found == {
        BARS: in_mb(5 * MILLION * (12 + 208)),  # ts_event and root, then everything
        "market_data.small": LEAST_BYTES,
    }


def test_merge_is_billed_for_all_columns_of_the_partitions_it_deletes_from() -> None:
    # of MARCH's bars it reads root, a code of two letters, and ts_event; it writes volume unread
    where = "t.root = 'ZL' AND t.ts_event >= @first"
    sql = (
        f"MERGE INTO `{BARS}` AS t USING (SELECT root, n FROM `market_data.small`) AS s ON FALSE "
        f"WHEN NOT MATCHED BY SOURCE AND {where} THEN DELETE "
        "WHEN NOT MATCHED BY TARGET THEN INSERT (root, volume) VALUES (s.root, s.n)"
    )
    expected = in_mb(5 * MILLION * (4 + 8 + 208))
    assert billed(sql, first=noon(MARCH)) == {BARS: expected, "market_data.small": LEAST_BYTES}


def test_merge_by_key_is_billed_for_all_columns() -> None:
    sql = (
        f"MERGE INTO `{BARS}` AS t USING `market_data.small` AS s ON s.root = t.root "
        "WHEN MATCHED THEN UPDATE SET volume = s.n"
    )
    read = 4  # what it updates is among all columns
    expected = in_mb(10 * MILLION * (read + 208))
    assert billed(sql) == {BARS: expected, "market_data.small": LEAST_BYTES}


def test_insert_is_billed_for_what_it_reads_only() -> None:
    sql = f"INSERT INTO `market_data.small` (root, n) SELECT root, volume FROM `{BARS}`"
    assert billed(sql) == {BARS: in_mb(10 * MILLION * 12)}


def test_frame_as_a_parameter_is_not_billed(tmp_path: Path) -> None:
    days = [JANUARY, FEBRUARY]  # of one year; those of two would be many in a large home
    small = pl.DataFrame({"root": ["ZL", "ZS"], "day": days})
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "scratch") as inner:
        warehouse = RecordingWarehouse(inner)
        staged = warehouse.stage_frame("chosen", small)
        large = warehouse.stage_frame("many", pl.concat([small] * 501))
        for name in (staged, large, warehouse.stage_query("few", f"SELECT root FROM `{large}`")):
            warehouse.query(f"SELECT root FROM `{name}` GROUP BY root")
    bills = bill_all(warehouse.asked, {}).bills
    # one load job, whose table both statements that read it are billed for
    assert warehouse.load_jobs == 1
    assert [dict(bill.by_table) for bill in bills] == [
        {large: LEAST_BYTES},
        {},
        {large: LEAST_BYTES},
        {"few": LEAST_BYTES},
    ]


def test_evenly_spreads_all_rows_over_the_months() -> None:
    assert evenly(8, JANUARY, MARCH) == {JANUARY: 3, FEBRUARY: 3, MARCH: 2}


BUDGETS = {"load": (19, 565), "build": (54, 2_290), "check": (20, 625)}
"""Billed statements, those inside of scripts included, and MB (10^6 bytes) of one day of six roots
at 50 million existing bars."""


@pytest.mark.full
def test_verbs_of_a_day_stay_within_their_budgets(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    totals = bill_a_day(tmp_path / "home", tmp_path / "drive")
    over = {
        name: (total.statements, round(total.billed / 1e6))
        for name, total in totals.items()
        if total.statements > BUDGETS[name][0] or total.billed > BUDGETS[name][1] * 1e6
    }
    assert over == {}
