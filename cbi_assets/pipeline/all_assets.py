"""Every asset, in the order of the graph: drive, raw partitions, raw and built tables."""

from cbi_assets.pipeline.audit.audit_asset import report as audit_report
from cbi_assets.pipeline.built.built_assets import built_tables
from cbi_assets.pipeline.built.derived_assets import DERIVED_TABLES
from cbi_assets.pipeline.downloads.spec_asset import spec as download_spec
from cbi_assets.pipeline.raw.drive_asset import inventory
from cbi_assets.pipeline.raw.partition_asset import databento_ohlcv
from cbi_assets.pipeline.raw.table_assets import RAW_TABLES
from cbi_assets.pipeline.staging.staging_assets import STAGING_ASSETS
from cbi_assets.pipeline.training.training_assets import training_tables

ALL_ASSETS = [
    inventory,
    databento_ohlcv,
    *RAW_TABLES.values(),
    *DERIVED_TABLES.values(),
    *STAGING_ASSETS,
    built_tables,
    training_tables,
    download_spec,
    audit_report,
]

__all__ = ["ALL_ASSETS"]
