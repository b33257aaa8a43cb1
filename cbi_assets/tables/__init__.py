"""The specs of all tables, one module per kind."""

from typing import Final

from cbi_assets.tables.derived_tables import CONTINUOUS, DERIVED, ROLL_CALENDAR, SESSIONS
from cbi_assets.tables.download_tables import (
    APPROVAL_USES,
    APPROVALS,
    DOWNLOAD_JOBS,
    DOWNLOADS,
    STANDING_APPROVALS,
)
from cbi_assets.tables.instrument_tables import (
    INSTRUMENT_CONFLICTS,
    INSTRUMENTS,
    SYMBOLOGY_REQUESTS,
)
from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX, DAILY_ML_MATRIX_FLAT
from cbi_assets.tables.ops_tables import (
    ACCEPTANCES,
    BAR_CONFLICTS,
    BUILD_SLICES,
    CHECK_RESULTS,
    CHECK_SLICES,
    LEDGER,
    LEDGER_VERSION,
    LOAD_COSTS,
    LOADS,
    QUARANTINED_BARS,
    SOURCE_FILES,
)
from cbi_assets.tables.raw_tables import RAW
from cbi_assets.tables.spec import Column, TableSpec, canonical_type, plain_id, struct
from cbi_assets.tables.staging_tables import (
    MACRO_OBSERVATIONS,
    REFUSED_OBSERVATIONS,
    STAGING_FILES,
    STAGING_TABLES,
    STITCH_STATISTICS,
    YAHOO_BRIDGE,
)
from cbi_assets.tables.training_tables import FOLDS, TRAINING, TRAINING_BUILDS

BUILT: Final = (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)
"""The tables that a build publishes in one transaction."""

ALL_TABLES: Final = (
    *RAW.values(),
    *LEDGER,
    LEDGER_VERSION,
    ACCEPTANCES,
    INSTRUMENTS,
    INSTRUMENT_CONFLICTS,
    SYMBOLOGY_REQUESTS,
    *DERIVED.values(),
    *BUILT,
    *DOWNLOADS,
    *STAGING_TABLES,
    FOLDS,
    TRAINING_BUILDS,
)
"""The tables that every command creates; a build also creates those of TRAINING."""

ALL_VIEWS: Final = (DAILY_ML_MATRIX_FLAT,)

EVERY_TABLE: Final = (*ALL_TABLES, *TRAINING.values(), *ALL_VIEWS)

__all__ = [
    "ACCEPTANCES",
    "ALL_TABLES",
    "ALL_VIEWS",
    "APPROVALS",
    "APPROVAL_USES",
    "BAR_CONFLICTS",
    "BUILD_SLICES",
    "BUILT",
    "CHECK_RESULTS",
    "CHECK_SLICES",
    "CONTINUOUS",
    "DAILY_ML_MATRIX",
    "DAILY_ML_MATRIX_FLAT",
    "DERIVED",
    "DOWNLOADS",
    "DOWNLOAD_JOBS",
    "EVERY_TABLE",
    "FOLDS",
    "INSTRUMENTS",
    "INSTRUMENT_CONFLICTS",
    "LEDGER",
    "LEDGER_VERSION",
    "LOADS",
    "LOAD_COSTS",
    "MACRO_OBSERVATIONS",
    "QUARANTINED_BARS",
    "RAW",
    "REFUSED_OBSERVATIONS",
    "ROLL_CALENDAR",
    "SESSIONS",
    "SOURCE_FILES",
    "STAGING_FILES",
    "STAGING_TABLES",
    "STANDING_APPROVALS",
    "STITCH_STATISTICS",
    "SYMBOLOGY_REQUESTS",
    "TRAINING",
    "TRAINING_BUILDS",
    "YAHOO_BRIDGE",
    "Column",
    "TableSpec",
    "canonical_type",
    "plain_id",
    "struct",
]
