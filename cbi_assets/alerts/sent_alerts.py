"""What each address was told, kept in CBI_HOME/alerts.json.

Each address has a memory of its own: one that could not be reached is told later, and the others
are not told twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from filelock import FileLock

from cbi_assets.alerts.alert import ONE_SHOT, Event
from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError

KEPT_RUNS = 100
"""How many failed runs are remembered; older ones are told to nobody any more."""


@dataclass
class Memory:
    """`told` maps an address to the states by event key that it was told; `runs` are the newest
    failed runs."""

    told: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[Event] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """Every event that some address was told."""
        return {key for states in self.told.values() for key in states}

    def enter_run(self, event: Event) -> None:
        """Remember a failed run, so that it is told even where no address can be reached now."""
        if event.key not in {run.key for run in self.runs}:
            self.runs = [*self.runs, event][-KEPT_RUNS:]

    def news(self, address: str, events: Collection[Event]) -> list[Event]:
        """What the address was not told yet, or not like this; failed runs first."""
        states = self.told.get(address, {})
        return [e for e in (*self.runs, *events) if states.get(e.key) != e.state]

    def over(self, address: str, events: Collection[Event]) -> list[str]:
        """Keys of what the address was told and what stands no longer."""
        standing = {event.key for event in events}
        return [
            key
            for key in self.told.get(address, {})
            if key not in standing and key.partition(":")[0] not in ONE_SHOT
        ]

    def told_all(self, address: str, events: Collection[Event], *, runs_only: bool) -> None:
        """The address knows of everything that stands; with `runs_only`, of the runs alone."""
        states = {run.key: run.state for run in self.runs}
        if runs_only:
            states = self.told.get(address, {}) | states
        else:
            states |= {event.key: event.state for event in events}
        self.told[address] = states

    def forget_others(self, addresses: Collection[str]) -> None:
        """Drop what addresses were told that are set no longer."""
        self.told = {name: states for name, states in self.told.items() if name in addresses}


@contextmanager
def open_memory(home: Home) -> Iterator[Memory]:
    """The home's memory, written back at the end, whatever happens; for one process at a time."""
    home.root.mkdir(parents=True, exist_ok=True)
    path = home.alerts
    with FileLock(path.with_suffix(".lock")):
        memory = read_memory(home)
        try:
            yield memory
        finally:
            beside = path.with_suffix(".part")
            beside.write_text(json.dumps(asdict(memory), indent=1, ensure_ascii=False) + "\n")
            beside.replace(path)


def read_memory(home: Home) -> Memory:
    """What the home remembers. Raises UsageError where its file is not what was written."""
    try:
        document: dict[str, Any] = json.loads(home.alerts.read_bytes())
        return Memory(document["told"], [Event(**run) for run in document["runs"]])
    except FileNotFoundError:
        return Memory()
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{home.alerts}: not what was written there. Delete it: what stands is told once more."
        ) from None
