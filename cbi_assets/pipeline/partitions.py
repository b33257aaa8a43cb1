"""Partitions: a root and a timeframe, `ZL|1h`; or a root."""

from __future__ import annotations

import dagster as dg

from cbi_assets.config.universe import load_universe, select_timeframes
from cbi_assets.ledger.pending_events import Partition
from cbi_assets.market.bars import TIMEFRAMES, Timeframe

ROOTS = dg.StaticPartitionsDefinition(list(load_universe().roots))
"""One partition per root."""


FEW_RUNS = dg.BackfillPolicy.single_run()
"""A backfill is one run per timeframe and range of roots: a run costs more than a partition."""


def partitions_of(timeframes: tuple[Timeframe, ...]) -> dg.MultiPartitionsDefinition:
    """Return the partitions of every root of the universe in these timeframes.

    A table's partitions name its only timeframe, too, so that `ZL|1h` is the same key everywhere.
    """
    return dg.MultiPartitionsDefinition(
        {"symbol": ROOTS, "timeframe": dg.StaticPartitionsDefinition(list(timeframes))}
    )


BARS = partitions_of(TIMEFRAMES)


def partition_key(partition: Partition) -> str:
    """Return a partition's key, such as `ZL|1h`."""
    return "|".join(partition)


def parse_partition_key(key: str) -> Partition:
    """Return the root and timeframe of a key such as `ZL|1h`. Raises UsageError if unknown."""
    symbol, _, timeframe = key.partition("|")
    (root,) = load_universe().select((symbol,))
    return root, select_timeframes((timeframe,))[0]
