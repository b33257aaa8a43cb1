"""Partitions that changed and whose changes are not reported to Dagster yet.

They are written before a load commits and removed once Dagster has the events, so that if the
process is killed in between, the next run checks and reports them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from cbi_assets.config.settings import Home
from cbi_assets.files import write_atomically
from cbi_assets.market.bars import Timeframe

Partition = tuple[str, Timeframe]
"""A root and a timeframe."""


class PendingEvents:
    """The partitions of one home whose changes are not reported to Dagster yet."""

    def __init__(self, home: Home) -> None:
        self._path: Path = home.root / "unreported.json"

    def partitions(self) -> set[Partition]:
        """Return the partitions to report."""
        if not self._path.exists():
            return set()
        return {(root, timeframe) for root, timeframe in json.loads(self._path.read_text())}

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
