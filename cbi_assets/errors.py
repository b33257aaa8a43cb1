"""The kinds of error a user can act on, each with the exit status the command line gives it.

An error states what it is about (`subject`), what happened (`problem`) and what to do (`remedy`).
Code branches on the type or on `code`, never on the text.
"""

from __future__ import annotations

from typing import ClassVar


class CbiError(Exception):
    """An error that reads `subject: problem. Remedy.` on one line.

    Parameters
    ----------
    problem : str
        What happened, without the subject.
    subject : str
        The file, bar, table, option or setting concerned; empty if the problem names it.
    remedy : str
        What to do, as a sentence; empty if the problem says it.
    code : str
        A stable name to branch on, if the type alone does not decide.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, problem: str, *, subject: str = "", remedy: str = "", code: str = ""
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.subject = subject
        self.remedy = remedy
        self.code = code or type(self).__name__

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.subject else self.problem
        return f"{text.removesuffix('.')}. {self.remedy}" if self.remedy else text


class UsageError(CbiError):
    """A wrong setting, option or configuration file."""

    exit_code = 2


class ServiceError(CbiError):
    """An outside service (BigQuery, Databento) failed after retries."""

    exit_code = 3


class SourceError(CbiError):
    """A file on the drive cannot be used as it is; the files next to it still can."""


class UnreadableError(SourceError):
    """The system could not read a file: its permissions, or the drive itself."""


class FileChangingError(SourceError):
    """A file changed while it was read: it is not complete yet, and is left for the next run."""


class DamagedPackError(CbiError):
    """A pack of the landing zone has other bytes than were landed, or is missing."""


class AuditError(CbiError):
    """Staged bars do not match what their files contain, so none of them were published."""


class LedgerMovedError(AuditError):
    """Another publication committed between an audit and its transaction."""


class HomeError(CbiError):
    """The home cannot be used: its disk is full or read-only, or one of its files is damaged.

    `code` is "full", "read-only", "failing" (the disk) or "damaged" (a file).
    """

    exit_code = 2


class HomeBusyError(ServiceError):
    """Another process held the home's lock for longer than the wait."""
