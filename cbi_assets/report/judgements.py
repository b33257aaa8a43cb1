"""What an audit makes of its facts: checklists, decisions, the next step, and what changed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

ListName = Literal["load", "download", "build"]
DecisionKind = Literal["plan", "conflict", "quarantine", "staging conflict", "file"]
ChangeKind = Literal["rows", "files", "checks", "gaps", "decisions"]


@dataclass(frozen=True)
class Item:
    """One line of a checklist. `ok` None: not known, and the figure says why."""

    text: str
    ok: bool | None
    figure: str


@dataclass(frozen=True)
class Checklist:
    """What must hold before a load, a download or a build."""

    before: ListName
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Decision:
    """What waits for a person: how much of it, and the command that settles or shows it."""

    kind: DecisionKind
    what: str
    count: int
    command: str


@dataclass(frozen=True)
class Plan:
    """The newest download plan of this home, and how its approval stands."""

    plan_hash: str
    made_at: dt.datetime
    through: dt.date
    requests: int
    current: int
    cost_usd: float | None
    bytes: int | None
    basis: str
    approval: str


@dataclass(frozen=True)
class Step:
    """The next step: the exact command, and why it is the next."""

    command: str
    why: str


@dataclass(frozen=True)
class Change:
    """One figure that is another than in the previous audit. None where it was or is not there."""

    kind: ChangeKind
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Since:
    """What changed since the previous audit; `previous` is None at the first one."""

    previous: dt.datetime | None
    changes: tuple[Change, ...]
    note: str = ""
