"""Turn errors of the home's disk and files into one line that names the file and what to do."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cbi_assets.config.settings import Home
from cbi_assets.errors import CbiError, HomeBusyError, HomeError

RUN_AGAIN: Final = "run the command again: it continues where this one stopped"
READ_AGAIN: Final = (
    "Delete it: the next `cbi load` reads the drive again, and publishes no bar twice."
)
RESTORE: Final = (
    "Put its backup in its place (docs/operations.md): nothing else records approvals and "
    "purchases."
)
MOVE_LOG: Final = (
    "Move it away, and run the command again that was killed: the log has only what that command "
    "committed last."
)
NEW_INSTANCE: Final = (
    "Move that folder away: a new one is created, and only the history of runs is lost."
)

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_OF_DISK: Final = _FULL | {errno.EROFS, errno.EIO}
"""Errors that only a disk causes, so they need no path to be recognized."""

_RUST_ERRNO: Final = re.compile(r"\(os error (\d+)\)")
_PRIMARY_CODE: Final = 0xFF
"""SQLite's extended codes have the primary one in their lowest byte."""


def way_out(home: Home, path: Path) -> str:
    """Return what to do about a damaged file of the home: delete it, or restore its backup."""
    inside = path.relative_to(home.root).parts if path.is_relative_to(home.root) else ()
    name = inside[0] if inside else ""
    if name == f"{home.warehouse.name}.wal":
        return MOVE_LOG
    if name.startswith(home.warehouse.name):
        return RESTORE
    if name == home.landing.name or name.startswith(home.catalog.name):
        return READ_AGAIN
    if name == home.dagster.name:
        return NEW_INSTANCE
    if name == home.pending.name:
        return "Delete it, then run `cbi check`: it only lists what Dagster does not show yet."
    if name in (home.plans.name, "audit", home.identity.name, home.demo_mark.name):
        return "Put its backup in its place (docs/operations.md)."
    if name:
        return "Delete it while nothing runs in this home."
    return "Correct CBI_HOME, or move away what is there."


@contextmanager
def translated_home_errors(home: Home) -> Iterator[None]:
    """Raise HomeError, with what to do, instead of an OSError of the home's disk or files."""
    try:
        yield
    except OSError as error:
        if (translated := home_error(error, home)) is None:
            raise
        raise translated from error


def home_error(error: OSError, home: Home) -> HomeError | None:
    """Return the error to raise for a failed system call of the home; None if it is another's.

    A call is the home's if its path is inside it, or if it has no path but the disk is the cause:
    the readers of the drive translate their own.
    """
    number = _errno(error)
    if number is None or isinstance(error, ConnectionError | TimeoutError):
        return None
    path = Path(error.filename) if isinstance(error.filename, str) else None
    if path is None and number not in _OF_DISK:
        return None
    if path is not None and not path.is_relative_to(home.root):
        return None
    return failed_call(number, path or home.root, way_out(home, path or home.root))


def failed_call(number: int, path: Path, remedy: str) -> HomeError:
    """Return the error for a system call on `path` that failed with an errno."""
    if number in _FULL:
        lacks_inodes = _lacks_inodes(path)
        what = "no inodes are free" if lacks_inodes else f"the disk is full ({os.strerror(number)})"
        verb = "Delete some files" if lacks_inodes else "Free some space"
        return HomeError(what, subject=str(path), remedy=f"{verb}, then {RUN_AGAIN}.", code="full")
    text = os.strerror(number)
    if number in _READ_ONLY:
        writable = "Make it writable, or choose another CBI_HOME."
        problem = f"cannot be written ({text})"
        return HomeError(problem, subject=str(path), remedy=writable, code="read-only")
    if number == errno.EIO:
        remedy = f"Check the disk and its free space, then {RUN_AGAIN}."
        return HomeError("the disk failed", subject=str(path), remedy=remedy, code="failing")
    return HomeError(f"cannot be used ({text})", subject=str(path), remedy=remedy, code="damaged")


def damaged(path: Path, reason: object, remedy: str) -> HomeError:
    """Return the error for a file whose content cannot be read; `reason` is a library's error."""
    first = (str(reason).strip() or type(reason).__name__).splitlines()[0].rstrip(".")
    return HomeError(f"damaged ({first})", subject=str(path), remedy=remedy, code="damaged")


def sqlite_error(error: sqlite3.Error, path: Path, remedy: str) -> CbiError:
    """Return the error to raise for a failed call of SQLite on the file `path`."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY_CODE
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return HomeBusyError(
            "another program has it open", subject=str(path), remedy="Close it there, then retry."
        )
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_CANTOPEN and _lacks_inodes(path)):
        return failed_call(errno.ENOSPC, path, remedy)
    if code == sqlite3.SQLITE_READONLY or (
        code == sqlite3.SQLITE_CANTOPEN and not os.access(path.parent, os.W_OK)
    ):
        return failed_call(errno.EROFS, path, remedy)
    if code == sqlite3.SQLITE_IOERR:
        return failed_call(errno.EIO, path, remedy)
    return damaged(path, error, remedy)


def errno_named(text: str) -> int | None:
    """Return the errno of the disk whose description a library's message ends with, if any."""
    return next((n for n in _OF_DISK if text.rstrip(". \n").endswith(os.strerror(n))), None)


def _errno(error: OSError) -> int | None:
    """Return the errno, also of an error that Polars raised, which sets none."""
    if error.errno is not None:
        return error.errno
    named = _RUST_ERRNO.search(str(error))
    return int(named[1]) if named else None


def _lacks_inodes(path: Path) -> bool:
    """Return whether the file system of `path` counts inodes and has none left."""
    folder = next(parent for parent in (path, *path.parents) if os.path.exists(parent))
    disk = os.statvfs(folder)
    return disk.f_files > 0 and disk.f_favail == 0
