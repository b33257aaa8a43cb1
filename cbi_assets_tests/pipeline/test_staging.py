"""The assets of staging show each table's row count and the books of its files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY
from cbi_assets.pipeline.staging.staging_assets import BRIDGE_ASSET, MACRO_ASSET, STAGING_ASSETS


@pytest.fixture(autouse=True)
def _macro_file(staging: Path) -> None:
    pl.DataFrame(
        {
            "time": [dt.datetime(2025, 1, 2, tzinfo=dt.UTC)] * 2,
            "indicator": ["ten_year_treasury", "soybean_oil"],
            "value": [4.5, 40.0],
            "source_name": ["FRED", "Yahoo_Finance"],
        }
    ).write_parquet(staging / "macro.parquet")


def test_staging_assets_depend_on_the_inventory() -> None:
    keys = {asset.key.to_user_string() for asset in STAGING_ASSETS}
    assert keys == {
        "raw_intelligence/macro_observations",
        "market_data/yahoo_zl_historical_2000_2010",
    }
    for asset in STAGING_ASSETS:
        assert asset.asset_deps[asset.key] == {INVENTORY_KEY}


def test_each_asset_shows_its_own_rows_and_books(
    instance: dg.DagsterInstance, resources: dict[str, Any]
) -> None:
    result = dg.materialize(
        [MACRO_ASSET, BRIDGE_ASSET],
        instance=instance,
        resources=resources,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    shown: dict[str, tuple[Any, ...]] = {}
    for event in result.get_asset_materialization_events():
        values = event.materialization.metadata
        name = event.materialization.asset_key.path[-1]
        (dates,) = (values[kind].value for kind in values if kind.endswith(" dates"))
        shown[name] = (values["dagster/row_count"].value, dates, values["books"].value)
        assert "| train | red | no bars are loaded | " in values["lights"].value
    rows, dates, books = shown["macro_observations"]
    assert (rows, dates) == (1, "2025-01-02")
    assert "| macro.parquet | FRED | indicators | loaded | 1 |" in books
    assert "1: Yahoo_Finance: Yahoo may give nothing but the ZL bridge" in books
    assert shown["yahoo_zl_historical_2000_2010"] == (0, "none", "–")
