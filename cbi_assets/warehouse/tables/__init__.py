"""Every table of the project, each written down once, in the module of its kind."""

from typing import Final

from cbi_assets.warehouse.tables.derived import CONTINUOUS, DERIVED, ROLL_CALENDAR, SESSIONS
from cbi_assets.warehouse.tables.features import DAILY_ML_MATRIX
from cbi_assets.warehouse.tables.ledger import (
    BAR_CONFLICTS,
    CHECK_RESULTS,
    LEDGER,
    LEDGER_VERSION,
    LOAD_COSTS,
    LOADS,
    QUARANTINED_BARS,
    SOURCE_FILES,
)
from cbi_assets.warehouse.tables.raw import RAW
from cbi_assets.warehouse.tables.spec import Column, TableSpec, canonical_type, plain_id

ALL_TABLES: Final = (
    *RAW.values(),
    *LEDGER,
    LEDGER_VERSION,
    *DERIVED.values(),
    SESSIONS,
    ROLL_CALENDAR,
    CONTINUOUS,
    DAILY_ML_MATRIX,
)

__all__ = [
    "ALL_TABLES",
    "BAR_CONFLICTS",
    "CHECK_RESULTS",
    "CONTINUOUS",
    "DAILY_ML_MATRIX",
    "DERIVED",
    "LEDGER",
    "LEDGER_VERSION",
    "LOADS",
    "LOAD_COSTS",
    "QUARANTINED_BARS",
    "RAW",
    "ROLL_CALENDAR",
    "SESSIONS",
    "SOURCE_FILES",
    "Column",
    "TableSpec",
    "canonical_type",
    "plain_id",
]
