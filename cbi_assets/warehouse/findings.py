"""The result of one access check, for `cbi config --check` and `cbi doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from cbi_assets.errors import CbiError, ServiceError

Verdict = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """What was found of one requirement, and how to fix it if it is `missing`.

    `unanswered` marks a finding that is missing only because the service did not respond.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
    unanswered: bool = False

    @classmethod
    def of_error(cls, name: str, error: CbiError) -> Self:
        """Return the finding `missing` that an error describes."""
        found = f"{error.subject}: {error.problem}" if error.subject else error.problem
        return cls(name, "missing", found, error.remedy, isinstance(error, ServiceError))

    @property
    def status(self) -> int:
        """The exit status it calls for: 2 for what must be fixed here, 3 for a service."""
        if self.verdict != "missing":
            return 0
        return 3 if self.unanswered else 2

    @property
    def text(self) -> str:
        """What was found and the remedy, on one line."""
        return f"{self.found}. {self.remedy}" if self.remedy else self.found
