"""Partitions: a root and a timeframe, `ZL|1h`."""

from __future__ import annotations

import dagster as dg

from cbi_assets.config.universe import load_universe, select_timeframes
from cbi_assets.ledger.pending_events import Partition
from cbi_assets.market.bars import TIMEFRAMES, Timeframe

_SYMBOLS = dg.StaticPartitionsDefinition(list(load_universe().roots))


def partitions_of(timeframes: tuple[Timeframe, ...]) -> dg.MultiPartitionsDefinition:
    """Every root of the universe in these timeframes.

    A table's partitions are those of its one timeframe, so that `ZL|1h` is one key everywhere.
    """
    return dg.MultiPartitionsDefinition(
        {"symbol": _SYMBOLS, "timeframe": dg.StaticPartitionsDefinition(list(timeframes))}
    )


BARS = partitions_of(TIMEFRAMES)


def partition_key(partition: Partition) -> str:
    """`ZL|1h`."""
    return "|".join(partition)


def parse_partition_key(key: str) -> Partition:
    """The root and timeframe of `ZL|1h`. Raises UsageError for an unknown one."""
    symbol, _, timeframe = key.partition("|")
    (root,) = load_universe().select((symbol,))
    return root, select_timeframes((timeframe,))[0]
