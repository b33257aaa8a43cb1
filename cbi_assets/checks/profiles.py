"""Profile the partitions of the raw tables, for people to look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from cbi_assets.checks.check import CheckContext, store_checked
from cbi_assets.checks.sliced_table import SlicedTable, closes_by_date
from cbi_assets.checks.slices import Slice, SliceKey, spans_of
from cbi_assets.load.partition_profiles import PartitionProfile
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.sql_files import load_sql


def profile_partitions(
    context: CheckContext, timeframe: Timeframe, roots: Sequence[str]
) -> list[PartitionProfile]:
    """Return the profiles of these roots' partitions; none for a root without bars.

    They are those of the slices, which are checked first if they are owed.
    """
    session = context.session
    table = SlicedTable(context, timeframe, RAW[timeframe].id)
    slices = {key: piece for key, piece in table.check().items() if piece.bars and key[0] in roots}
    store_checked(context)
    samples = _sample(session, timeframe, slices)
    profiles = []
    for (root,), closes in closes_by_date(slices).group_by("root", maintain_order=True):
        own = [piece for piece in slices.values() if piece.root == root]
        profiles.append(
            PartitionProfile(
                root=str(root),
                timeframe=timeframe,
                row_count=sum(piece.bars for piece in own),
                symbols=len({symbol for piece in own for symbol in piece.symbols}),
                files=len({file for piece in own for _, file, _ in piece.files}),
                first_ts_event=min(t for piece in own if (t := piece.first_ts_event)),
                last_ts_event=max(t for piece in own if (t := piece.last_ts_event)),
                closes=closes,
                sample=samples.get(str(root), []),
            )
        )
    return profiles


def _sample(
    session: Session, timeframe: Timeframe, slices: Mapping[SliceKey, Slice]
) -> dict[str, list[dict[str, Any]]]:
    """Return the last bars of each root, one query per newest month."""
    by_month: dict[dt.date, list[str]] = {}
    for root in {root for root, _ in slices}:
        newest = max(month for own, month in slices if own == root)
        by_month.setdefault(newest, []).append(root)
    found: dict[str, list[dict[str, Any]]] = {}
    sql = load_sql("load/partition_sample", table=RAW[timeframe].id)
    for month, roots in by_month.items():
        (span,) = spans_of([month])
        rows = session.warehouse.query(
            sql, {"roots": sorted(roots), "first": span.first, "end": span.end}
        )
        for row in rows.sort("root", "ts_event", "symbol").to_dicts():
            found.setdefault(row.pop("root"), []).append(row)
    return found
