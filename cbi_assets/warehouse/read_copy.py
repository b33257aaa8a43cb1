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
from contextlib import contextmanager, suppress
from io import BufferedIOBase, BufferedReader
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

_CHUNK = 1 << 20
"""Bytes compared at once: both copies' fit a processor's cache."""

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
            is_clone = _clone_or_copy(original, part, _take_previous(home, part))
            changed = os.fstat(original.fileno())
        with open(part, "rb") as copied:
            os.fsync(copied.fileno())
        os.utime(part, ns=(changed.st_atime_ns, changed.st_mtime_ns))
        # A program that opened it for writing would leave a log, which fits no later copy.
        part.chmod(0o444)
        log_of(home.read_copy).unlink(missing_ok=True)
        if not is_clone:
            _keep_previous(home)
        part.replace(home.read_copy)
    finally:
        part.unlink(missing_ok=True)


def _take_previous(home: Home, part: Path) -> bool:
    """Move the copy before the current one to `part` if no program has it open, or else delete it.

    Returns whether it is there. A program that still reads it, or copies it, needs it as it is.
    """
    part.unlink(missing_ok=True)
    try:
        # A process killed while it published leaves one file with both names.
        if not home.previous_read_copy.samefile(home.read_copy):
            home.previous_read_copy.rename(part)
            with open(part, "rb") as previous:
                fcntl.fcntl(previous, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                fcntl.fcntl(previous, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return True
    except (AttributeError, OSError):  # none, or open elsewhere; not all systems have leases
        part.unlink(missing_ok=True)
    home.previous_read_copy.unlink(missing_ok=True)
    return False


def _keep_previous(home: Home) -> None:
    """Keep the current copy for the next update, which then writes only what differs."""
    with suppress(OSError):  # no copy yet, or a file system without links
        os.link(home.read_copy, home.previous_read_copy)


def _clone_or_copy(original: BufferedReader, part: Path, has_previous: bool) -> bool:
    """Let the copy share the original's blocks if the file system can; else copy the bytes.

    Returns whether it is a clone. `part` may be an earlier copy.
    """
    size = os.fstat(original.fileno()).st_size
    if has_previous:
        part.chmod(0o644)
        with open(part, "r+b") as copied:
            _check_space(part, size - os.fstat(copied.fileno()).st_size)
            _copy_differences(original, copied)
        return False
    try:
        _clone(original, part)
    except OSError:
        _check_space(part, size)
        with open(part, "wb") as copied:
            _copy(original, copied)
        return False
    return True


def _check_space(part: Path, size: int) -> None:
    """Raise OSError if the disk lacks space for so many bytes more."""
    if shutil.disk_usage(part.parent).free < size + _MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _copy_differences(original: BufferedIOBase, copied: BufferedIOBase) -> None:
    """Overwrite the parts of an earlier copy that differ from the original."""
    new, old = bytearray(_CHUNK), bytearray(_CHUNK)
    offset = 0
    original.seek(0)
    while count := original.readinto(new):
        if count < _CHUNK or copied.readinto(old) < _CHUNK or old != new:
            copied.seek(offset)
            copied.write(memoryview(new)[:count])
        offset += count
    copied.truncate(offset)


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
