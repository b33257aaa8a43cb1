"""The ledger's version: of two publications that started from the same one, only one commits.

The home's lock serializes the processes of one machine. A shared warehouse has other machines too,
and jobs that continue after the process that sent them was killed.
"""

from __future__ import annotations

from cbi_assets.errors import LedgerMovedError
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

VERSION = Statement("SELECT COALESCE(MAX(version), 0) AS version FROM `ops.ledger_version`")
"""What `ledger_version` asks."""


def ledger_version(warehouse: Warehouse) -> int:
    """Return the current version; read it before anything that a publication depends on."""
    return int(warehouse.query(VERSION.sql)["version"].item())


def with_version_guard(statements: list[Statement], version: int) -> list[Statement]:
    """Return a publication's statements, guarded against a publication since `version`.

    The transaction raises LedgerMovedError if another one committed in the meantime.
    """
    return [
        Assertion(
            load_sql("ledger/assert_version"),
            {"seen_version": version},
            message="another load or unload committed first (ledger version {0})",
            remedy="Nothing was published. Retry.",
            error=LedgerMovedError,
        ),
        # Of two concurrent publications one is cancelled here, because both delete this row.
        Statement("DELETE FROM `ops.ledger_version` WHERE TRUE"),
        Statement(
            "INSERT INTO `ops.ledger_version` (version) SELECT @version", {"version": version + 1}
        ),
        *statements,
    ]
