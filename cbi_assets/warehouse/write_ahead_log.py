"""DuckDB's write-ahead log: what a killed process committed and did not write into the file.

DuckDB replays it up to the first entry that is cut off, and reports neither that nor what it drops.
The layout, from DuckDB 1.4 to 2.0: a header, then entries, each of a size and a checksum of eight
bytes and its content; a commit ends with a flush.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from cbi_assets.config.home_errors import MOVE_LOG, damaged
from cbi_assets.formatting import plural

_NUMBER: Final = rb"[\x80-\xff]*[\x00-\x7f]"
_START: Final = b"\x64\x00\x62"
# Version, the 16 bytes that identify the database, and the count of its checkpoints.
_HEADER: Final = re.compile(
    rb"%s\x65\x00%s(?:\x66\x00\x10(?:%s){16})?(?:\x67\x00%s)?\xff\xff"
    % (_START, _NUMBER, _NUMBER, _NUMBER)
)
_LONGEST_HEADER: Final = 64
_FLUSH: Final = b"\x64\x00\x64\xff\xff"
_PREFIX: Final = 16
"""Bytes of an entry's size and checksum."""

logger = logging.getLogger(__name__)


def log_of(database: Path) -> Path:
    """Return the path of a database's write-ahead log."""
    return database.with_name(f"{database.name}.wal")


def read_log(database: Path) -> bytes:
    """Return a database's log as it is before the database is opened; b"" if there is none."""
    try:
        return log_of(database).read_bytes()
    except OSError:  # not there, or DuckDB cannot read it either and says so
        return b""


def end_of_log_dropped(database: Path, log: bytes) -> bool:
    """Log a warning and return True if DuckDB dropped the end of the log when it opened the file.

    Raises HomeError if it dropped all of the log; for a wrong checksum, DuckDB raises an error.
    """
    dropped = len(log) - _committed_bytes(log, log_of(database)) if log else 0
    if dropped:
        logger.warning(
            "%s: its last %s were not a complete commit, and are dropped. A command was killed "
            "while it committed: run it again.",
            log_of(database),
            plural(dropped, "byte"),
        )
    return dropped > 0


def _committed_bytes(log: bytes, path: Path) -> int:
    """Return where the last complete commit ends; 0 if none does."""
    header = _HEADER.match(log)
    if header is None:
        if len(log) < _LONGEST_HEADER and _START.startswith(log[: len(_START)]):
            return 0  # cut off in the header
        raise damaged(path, "not a write-ahead log", MOVE_LOG)
    committed, end = 0, header.end()
    while end + _PREFIX <= len(log):
        content = end + _PREFIX
        end = content + int.from_bytes(log[end : end + 8], "little")
        if end <= len(log) and log[content:end] == _FLUSH:
            committed = end
    return committed
