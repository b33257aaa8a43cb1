"""The canary: before anything enters an empty table, one file goes the whole way on its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from cbi_assets.checks import RAW_CHECKS, check_raw, roots_held
from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.load.audit import audit, stage
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Assertion, Statement
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

# The other checks look at the ledger or at the whole table, which a scratch table has none of.
_CHECKS = tuple(c for c in RAW_CHECKS if c.name in ("no_duplicate_bars", "ohlc_is_consistent"))


def run_canary(
    session: Session, contents: Mapping[int, Content], slices: Sequence[Slice]
) -> str | None:
    """Try the first file of `slices`, all of one timeframe; None where it goes well or where the
    table holds bars already, else why nothing may be loaded. `contents` is by file_no.

    Raises AuditError where its bars cannot be counted back out of the scratch table.
    """
    warehouse = session.warehouse
    timeframe = slices[0].timeframe
    table = RAW[timeframe].id
    named = [piece for piece in slices if piece.root]
    if not named or roots_held(warehouse, table):
        return None
    first = [piece for piece in slices if piece.file_no == named[0].file_no]
    content = contents[named[0].file_no]
    logger.info("canary for %s: %s", table, content.path)
    scratch = warehouse.stage_query(f"canary_{timeframe}", f"SELECT * FROM `{table}` WHERE FALSE")
    staged = stage(session, contents, first, "_canary", beside=slices)
    audited = audit(warehouse, staged, scratch)
    params = {**staged.params, "load_id": "canary", "loaded_at": session.now}
    warehouse.transact(
        [
            Statement(load_sql("load/publish_bars", **audited.names), params),
            Assertion(
                load_sql("load/assert_published", **audited.names),
                params,
                subject="{1} of file {0}",
                message="the canary published {2} bars, its table contains {3}",
                remedy="Nothing was loaded.",
            ),
        ]
    )
    if not audited.books["fresh"].sum():
        return (
            f"{content.path}: the canary found no sound bar in its {content.records} records, "
            f"so nothing was loaded into {table}. Look at it, or take it away."
        )
    roots = sorted({piece.root for piece in first if piece.root})
    results = check_raw(session, timeframe, roots, checks=_CHECKS, table=scratch)
    if failed := [result for result in results if result.failed]:
        return (
            f"{content.path}: the canary failed {failed[0].check.name} ({failed[0].actual}), "
            f"so nothing was loaded into {table}. Look at it, or take it away."
        )
    return None
