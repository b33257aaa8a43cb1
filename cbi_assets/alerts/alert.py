"""An event: something a person should know of, as long as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["check", "run", "stale", "decision", "disk"]

ONE_SHOT: Final = frozenset({"run"})
"""Kinds that happen and are not over again: a failed run stays failed."""


@dataclass(frozen=True)
class Event:
    """One thing that stands now.

    `subject` tells it from others of its kind, `state` is what it looks like: an event with another
    state is news again. `text` is one line for people, `mend` what to do about it.
    """

    kind: Kind
    subject: str
    state: str
    text: str
    mend: str

    @property
    def key(self) -> str:
        """Kind and subject: the same event, whatever its state."""
        return f"{self.kind}:{self.subject}"

    @property
    def line(self) -> str:
        """What happened and what to do, in one line."""
        return f"{self.text} {self.mend}"


def list_some(items: list[str], most: int = 6) -> str:
    """The first of `items`, and how many more there are."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
