"""The keys of the assets, and which tables are assets."""

from __future__ import annotations

from typing import Final

import dagster as dg

from cbi_assets.tables import (
    BUILT,
    DERIVED,
    FOLDS,
    MACRO_OBSERVATIONS,
    RAW,
    TRAINING,
    YAHOO_BRIDGE,
)

INVENTORY_KEY: Final = dg.AssetKey(["drive", "inventory"])
RAW_KEY: Final = dg.AssetKey(["raw", "databento_ohlcv"])

ASSET_TABLES: Final = {
    spec.id: spec
    for spec in (
        *RAW.values(),
        *DERIVED.values(),
        *BUILT,
        MACRO_OBSERVATIONS,
        YAHOO_BRIDGE,
        *TRAINING.values(),
        FOLDS,
    )
}
"""The tables that are assets, by id."""


def table_key(table_id: str) -> dg.AssetKey:
    """Return a table's asset key: its dataset, then its name."""
    return dg.AssetKey(table_id.split("."))
