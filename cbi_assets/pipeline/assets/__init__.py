"""The assets, left to right: drive, raw partitions, raw tables, matrix."""

from cbi_assets.pipeline.assets.drive import inventory
from cbi_assets.pipeline.assets.features import daily_ml_matrix
from cbi_assets.pipeline.assets.market_data import RAW_TABLES
from cbi_assets.pipeline.assets.raw import databento_ohlcv

ALL_ASSETS = [inventory, databento_ohlcv, *RAW_TABLES.values(), daily_ml_matrix]

__all__ = ["ALL_ASSETS"]
