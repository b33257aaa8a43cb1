"""Partitions that changed and were not yet reported to Dagster.

Written before a load commits and removed once Dagster has the events, so that a process killed in
between leaves a note for the next run, which checks and reports them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from cbi_assets.config.settings import Home
from cbi_assets.market.bars import Timeframe

Partition = tuple[str, Timeframe]
"""A root and a timeframe."""


class PendingEvents:
    """The partitions of one home whose changes Dagster has not been shown yet."""

    def __init__(self, home: Home) -> None:
        self._path: Path = home.root / "unreported.json"

    def partitions(self) -> set[Partition]:
        """What waits to be reported."""
        if not self._path.exists():
            return set()
        return {(root, timeframe) for root, timeframe in json.loads(self._path.read_text())}

    def add(self, partitions: Iterable[Partition]) -> None:
        """Note more of them, durably."""
        self._write(sorted(self.partitions() | set(partitions)))

    def remove(self, partitions: Iterable[Partition]) -> None:
        """These are reported."""
        left = sorted(self.partitions() - set(partitions))
        if left:
            self._write(left)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self, noted: list[Partition]) -> None:
        part = self._path.with_suffix(".part")
        with open(part, "w") as out:
            json.dump(noted, out)
            out.flush()
            os.fsync(out.fileno())
        part.replace(self._path)
