"""The canary: before an empty table gets its first bars, load one file into a scratch table.

The file is the first one with a valid bar: files without any are quarantined by the load itself,
and stop no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.load.audit import audit, stage
from cbi_assets.load.naming import stage_names
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Assertion, Statement
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

CanaryCheck = Callable[[Session, Timeframe, Sequence[str], str], list[CheckResult]]
"""Checks the bars of these roots and this timeframe in a scratch table, given by its id."""


def run_canary(
    session: Session,
    contents: Mapping[int, Content],
    slices: Sequence[Slice],
    check: CanaryCheck,
) -> str | None:
    """Publish the first file with a valid bar into a scratch table and check it there.

    Returns why nothing may be loaded; None if the file passes, if the table has bars already, or if
    no file has a valid bar. The slices are of one timeframe, `contents` is by file_no. Raises
    AuditError if the scratch table does not contain the bars that were inserted.
    """
    warehouse = session.warehouse
    timeframe = slices[0].timeframe
    table = RAW[timeframe].id
    candidates = dict.fromkeys(piece.file_no for piece in slices if piece.root)
    counted = f"SELECT COUNT(*) AS n FROM `{table}`"  # reads no column, so nothing is billed
    if not candidates or warehouse.query(counted).item():
        return None
    scratch = warehouse.stage_query(
        f"canary_{timeframe}", f"SELECT * FROM `{table}` WHERE FALSE", to_fill=True
    )
    for file_no in candidates:
        content = contents[file_no]
        logger.info("canary for %s: %s", table, content.path)
        first = [piece for piece in slices if piece.file_no == file_no]
        staged = stage(session, contents, first, "_canary", together_with=slices)
        audited = audit(warehouse, staged, scratch)
        if audited.books["fresh"].sum():
            break
    else:
        return None
    names = {**audited.names, "names": stage_names(warehouse, timeframe)}
    params = {**staged.params, "load_id": "canary", "loaded_at": session.now}
    warehouse.transact(
        [
            Statement(load_sql("load/publish_bars", **names), params),
            Assertion(
                load_sql("load/assert_published", **audited.names),
                params,
                subject="{1} of file {0}",
                message="the canary published {2} bars, its table contains {3}",
                remedy="Nothing was loaded.",
            ),
        ]
    )
    roots = sorted({piece.root for piece in first if piece.root})
    results = check(session, timeframe, roots, scratch)
    if failed := [result for result in results if result.failed]:
        return (
            f"{content.path}: the canary failed {failed[0].name} ({failed[0].actual}), "
            f"so nothing was loaded into {table}. Inspect the file, or remove it."
        )
    return None
