"""The ledger's version: two publications that started from the same one cannot both go through.

The home's lock keeps one machine's processes apart; a shared warehouse has other machines too, and
jobs that run on after the process that sent them was killed.
"""

from __future__ import annotations

from cbi_assets.errors import LedgerMovedError
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def ledger_version(warehouse: Warehouse) -> int:
    """The version to start from; read it before anything that a publication rests on."""
    found = warehouse.query("SELECT COALESCE(MAX(version), 0) AS version FROM `ops.ledger_version`")
    return int(found["version"].item())


def guarded(statements: list[Statement], version: int) -> list[Statement]:
    """The statements of one publication, held to the version that it started from.

    The transaction raises LedgerMovedError where another one went through since.
    """
    return [
        Statement(
            load_sql("assert_version"),
            {"seen_version": version},
            "another load or unload went through meanwhile (version {0} of the books). "
            "Nothing was published; run this again.",
            LedgerMovedError,
        ),
        # of two publications at once, one is cancelled here: both delete the row
        Statement("DELETE FROM `ops.ledger_version` WHERE TRUE"),
        Statement(
            "INSERT INTO `ops.ledger_version` (version) SELECT @version", {"version": version + 1}
        ),
        *statements,
    ]
