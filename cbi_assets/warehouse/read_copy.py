"""The readers' own copy of the DuckDB warehouse: readers and commands never wait for each other."""

from __future__ import annotations

import ctypes
import datetime as dt
import errno
import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cbi_assets.config.settings import Home
from cbi_assets.errors import HomeError
from cbi_assets.formatting import instant
from cbi_assets.warehouse.write_ahead_log import log_of

_FICLONE = 0x40049409
"""The ioctl by which Linux lets two files share their blocks until one of them changes."""

_MARGIN = 64 << 20
"""Bytes to leave free: a copy that fills the disk would fail what else is written there."""

_REMEDIES = {errno.ENOSPC: "Free some space", errno.EBUSY: "Close it there"}

logger = logging.getLogger(__name__)


@contextmanager
def updated_read_copy(home: Home) -> Iterator[None]:
    """Update the readers' copy after the block, in which the warehouse is opened and closed.

    Also after an error, since something may have been published before it; but not if the home
    cannot be used, and not if a signal ends the process.
    """
    try:
        yield
    except HomeError:
        raise
    except Exception:
        update_read_copy(home)
        raise
    update_read_copy(home)


def update_read_copy(home: Home) -> None:
    """Replace the readers' copy as a whole, if the warehouse changed since it was made.

    Call it with the home's lock and the warehouse closed. A failure is a warning: the warehouse has
    what was published, and the next command tries again.
    """
    if not home.warehouse.exists() or is_current(home):
        return
    try:
        _replace(home)
    except OSError as error:
        made = read_copy_time(home)
        logger.warning(
            "%s: not updated (%s); the warehouse has what was published, and readers see %s. "
            "%s, then run `cbi doctor`.",
            home.read_copy,
            error.strerror or error,
            f"{instant(made)} UTC" if made else "nothing",
            _REMEDIES.get(error.errno or 0, "Make it writable"),
        )


def is_current(home: Home) -> bool:
    """Return whether the readers' copy is of the warehouse as it is now."""
    # A copy keeps the warehouse's time of change, so it needs no record of its own.
    try:
        copy, original = home.read_copy.stat(), home.warehouse.stat()
    except FileNotFoundError:
        return False
    return (copy.st_size, copy.st_mtime_ns) == (original.st_size, original.st_mtime_ns)


def read_copy_time(home: Home) -> dt.datetime | None:
    """Return the time, UTC, of the newest change that readers see; None if there is no copy."""
    try:
        changed = home.read_copy.stat().st_mtime
    except FileNotFoundError:
        return None
    return dt.datetime.fromtimestamp(changed, dt.UTC)


def _replace(home: Home) -> None:
    part = home.scratch / home.read_copy.name  # a killed process's is deleted by the next one
    home.read_copy.parent.mkdir(exist_ok=True)
    home.scratch.mkdir(exist_ok=True)
    try:
        with open(home.warehouse, "rb") as original:
            # DuckDB's own lock, so that no program writes while this copies. Closing any other
            # descriptor of the file would release it.
            try:
                fcntl.lockf(original, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                busy = f"another program has {home.warehouse} open"
                raise OSError(errno.EBUSY, busy) from None
            if log_of(home.warehouse).exists():
                return  # of a program that was killed; the next command that opens it replays it
            _clone_or_copy(original, part)
            changed = os.fstat(original.fileno())
        with open(part, "rb") as copied:
            os.fsync(copied.fileno())
        os.utime(part, ns=(changed.st_atime_ns, changed.st_mtime_ns))
        # A program that opened it for writing would leave a log, which fits no later copy.
        part.chmod(0o444)
        log_of(home.read_copy).unlink(missing_ok=True)
        part.replace(home.read_copy)
    finally:
        part.unlink(missing_ok=True)


def _clone_or_copy(original: BinaryIO, part: Path) -> None:
    """Let the copy share the original's blocks if the file system can; else copy the bytes."""
    part.unlink(missing_ok=True)
    try:
        _clone(original, part)
    except OSError:
        if shutil.disk_usage(part.parent).free < os.fstat(original.fileno()).st_size + _MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        with open(part, "wb") as copied:
            _copy(original, copied)


def _copy(original: BinaryIO, copied: BinaryIO) -> None:
    try:  # in the kernel, at a fifth of the CPU time; some file systems cannot
        while os.copy_file_range(original.fileno(), copied.fileno(), 1 << 30):
            pass
    except (AttributeError, OSError):
        original.seek(0)
        copied.seek(0)
        shutil.copyfileobj(original, copied, 4 << 20)


def _clone(original: BinaryIO, part: Path) -> None:
    """Clone a file; raises OSError if the file system cannot."""
    if sys.platform == "darwin":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fclonefileat(original.fileno(), -1, os.fsencode(part), 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot be cloned")
    else:
        with open(part, "wb") as copied:
            fcntl.ioctl(copied, _FICLONE, original.fileno())
