"""Partitions that changed and whose changes are not reported to Dagster yet.

They are written before a load commits and removed once Dagster has the events, so that if the
process is killed in between, the next run checks and reports them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from cbi_assets.config.home_errors import damaged, way_out
from cbi_assets.config.settings import Home
from cbi_assets.files import write_atomically
from cbi_assets.market.bars import TIMEFRAMES, Timeframe

Partition = tuple[str, Timeframe]
"""A root and a timeframe."""


class PendingEvents:
    """The partitions of one home whose changes are not reported to Dagster yet."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path: Path = home.pending

    def partitions(self) -> set[Partition]:
        """Return the partitions to report. Raises HomeError if their file is damaged."""
        if not self._path.exists():
            return set()
        try:
            found = {(root, timeframe) for root, timeframe in json.loads(self._path.read_bytes())}
            if unknown := found - {(root, t) for root, _ in found for t in TIMEFRAMES}:
                raise ValueError(f"{sorted(unknown)[0]} is not a partition")
        except (OSError, ValueError, TypeError) as error:
            raise damaged(self._path, error, way_out(self._home, self._path)) from error
        return found

    def add(self, partitions: Iterable[Partition]) -> None:
        """Add partitions, durably."""
        self._write(sorted(self.partitions() | set(partitions)))

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Remove partitions that are reported."""
        left = sorted(self.partitions() - set(partitions))
        if left:
            self._write(left)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self, noted: list[Partition]) -> None:
        write_atomically(self._path, json.dumps(noted), durable=True)
