"""The assets, left to right: drive, raw partitions, raw tables, what is built of them."""

from cbi_assets.pipeline.assets.audit import report as audit_report
from cbi_assets.pipeline.assets.derived import DERIVED_TABLES
from cbi_assets.pipeline.assets.downloads import spec as download_spec
from cbi_assets.pipeline.assets.drive import inventory
from cbi_assets.pipeline.assets.features import built_tables
from cbi_assets.pipeline.assets.market_data import RAW_TABLES
from cbi_assets.pipeline.assets.raw import databento_ohlcv
from cbi_assets.pipeline.assets.staging import STAGING_ASSETS

ALL_ASSETS = [
    inventory,
    databento_ohlcv,
    *RAW_TABLES.values(),
    *DERIVED_TABLES.values(),
    *STAGING_ASSETS,
    built_tables,
    download_spec,
    audit_report,
]

__all__ = ["ALL_ASSETS"]
