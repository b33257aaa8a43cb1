"""What was sent to each address, stored in CBI_HOME/alerts.json.

Each address has a record of its own: one that was unreachable gets its events later, and the
others do not get them twice.
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
from cbi_assets.files import write_atomically

MAX_RUNS = 100
"""How many failed runs are stored; older ones are no longer sent."""


@dataclass
class SentAlerts:
    """`states` are the sent states by address and event key; `runs` are the newest failed runs."""

    states: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[Event] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """The keys of all events that were sent to any address."""
        return {key for states in self.states.values() for key in states}

    def add_run(self, event: Event) -> None:
        """Store a failed run, so that it is sent later if no address is reachable now."""
        if event.key not in {run.key for run in self.runs}:
            self.runs = [*self.runs, event][-MAX_RUNS:]

    def new_for(self, address: str, events: Collection[Event]) -> list[Event]:
        """Return the events not yet sent in their current state, failed runs first."""
        states = self.states.get(address, {})
        return [e for e in (*self.runs, *events) if states.get(e.key) != e.state]

    def resolved_for(self, address: str, events: Collection[Event]) -> list[str]:
        """Return the keys of sent events that are no longer active."""
        active = {event.key for event in events}
        return [
            key
            for key in self.states.get(address, {})
            if key not in active and key.partition(":")[0] not in ONE_SHOT
        ]

    def mark_sent(self, address: str, events: Collection[Event] | None) -> None:
        """Record that the address got all failed runs and, unless None, all active events."""
        runs = {run.key: run.state for run in self.runs}
        if events is None:
            self.states[address] = self.states.get(address, {}) | runs
        else:
            self.states[address] = runs | {event.key: event.state for event in events}

    def keep_addresses(self, addresses: Collection[str]) -> None:
        """Drop the records of addresses that are no longer configured."""
        self.states = {name: s for name, s in self.states.items() if name in addresses}


@contextmanager
def open_sent_alerts(home: Home) -> Iterator[SentAlerts]:
    """Yield the home's record and write it back at the end, also after an error.

    One process at a time; others wait.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with FileLock(home.alerts.with_suffix(".lock")):
        sent = read_sent_alerts(home)
        try:
            yield sent
        finally:
            # The keys are those of earlier versions, whose homes are still read.
            document = {"told": sent.states, "runs": [asdict(run) for run in sent.runs]}
            content = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
            write_atomically(home.alerts, content)


def read_sent_alerts(home: Home) -> SentAlerts:
    """Return the home's record, empty if there is none. Raises UsageError if it is malformed."""
    try:
        document: dict[str, Any] = json.loads(home.alerts.read_bytes())
        return SentAlerts(document["told"], [_parse_run(run) for run in document["runs"]])
    except FileNotFoundError:
        return SentAlerts()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            "malformed",
            subject=str(home.alerts),
            remedy="Delete it: active events are then sent once more.",
        ) from None


def _parse_run(values: dict[str, Any]) -> Event:
    remedy = values.pop("mend", None)  # its name in homes of earlier versions
    return Event(**values) if remedy is None else Event(**values, remedy=remedy)
