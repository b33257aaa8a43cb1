"""The kinds of error a user can act on, each with the exit status the command line gives it."""

from __future__ import annotations


class CbiError(Exception):
    """An error whose message names the file, bar or setting and says what to do."""

    exit_code = 1


class UsageError(CbiError):
    """A wrong setting, option or configuration file."""

    exit_code = 2


class ServiceError(CbiError):
    """An outside service (BigQuery, Databento) failed after retries."""

    exit_code = 3


class SourceError(CbiError):
    """A file on the drive cannot be used as it is; the files beside it still can."""


class UnreadableError(SourceError):
    """The system would not read a file: its permissions, or the drive itself."""


class FileChangingError(SourceError):
    """A file changed while it was read: it is not complete yet, and is left for the next run."""


class AuditError(CbiError):
    """Staged bars fell short of what their files hold, so nothing of them was published."""


class LedgerMovedError(AuditError):
    """Another publication went through between an audit and its transaction."""


class HomeBusyError(ServiceError):
    """Another process holds the home's lock and did not let go in time."""
