"""An event: a problem or a decision that a person should know of while it is active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["check", "run", "stale", "decision", "disk"]

ONE_SHOT: Final = frozenset({"run"})
"""Kinds that never resolve: a failed run stays failed."""


@dataclass(frozen=True)
class Event:
    """One active event.

    `subject` identifies it among events of its kind. An event whose `state` changes is sent again.
    `text` says what happened, `remedy` what to do; both are one line.
    """

    kind: Kind
    subject: str
    state: str
    text: str
    remedy: str

    @property
    def key(self) -> str:
        """Kind and subject, the same for every state."""
        return f"{self.kind}:{self.subject}"

    @property
    def line(self) -> str:
        """What happened and what to do, on one line."""
        return f"{self.text} {self.remedy}"


def list_some(items: list[str], most: int = 6) -> str:
    """Return the first items, and how many more there are."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
