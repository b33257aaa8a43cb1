"""Turn whatever the reading of a file raises into the refusal of that file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from cbi_assets.drive.file_records import FileRecord
from cbi_assets.drive.streams import CHECK_DRIVE, DOWNLOAD_AGAIN
from cbi_assets.errors import CbiError, SourceError, UnreadableError
from cbi_assets.formatting import printable, shorten

FREE_MEMORY: Final = "End other programs, or move the file away; retry."

_MAX_REASON: Final = 200
_MAX_REFUSAL: Final = 1_000


def is_fault_of_file(error: BaseException) -> bool:
    """Whether an error can be one of reading a file, not a signal."""
    # A panic of a library in Rust is no Exception, and each library has its own type of it.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def reason_of(error: BaseException) -> str:
    """Return an error's first line, with its type if it has none of our own."""
    text = printable(str(error).strip().partition("\n")[0])[:_MAX_REASON]
    if isinstance(error, CbiError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def source_errors() -> Iterator[None]:
    """Raise a SourceError instead of what a reader of untrusted bytes raises.

    Enclose only reading: an error of the landing zone must not become one of the file.
    """
    try:
        yield
    except CbiError:
        raise
    except OSError as error:
        reason = error.strerror or reason_of(error)
        raise UnreadableError(f"cannot be read: {reason}", remedy=CHECK_DRIVE) from error
    except BaseException as error:
        if not is_fault_of_file(error):
            raise
        raise source_error(error, "cannot be read as bars") from error


def source_error(error: BaseException, problem: str) -> SourceError:
    """Return the refusal of a file for an error of its reader.

    A lack of memory may be the machine's: the next run retries the file.
    """
    if isinstance(error, MemoryError):
        return UnreadableError("reading it needs more memory than is free", remedy=FREE_MEMORY)
    return SourceError(f"{problem} ({reason_of(error)})", remedy=DOWNLOAD_AGAIN)


def refused(record: FileRecord, error: SourceError) -> FileRecord:
    """Return the record of a file, refused. Without a stamp, the next run reads it again."""
    return replace(
        record,
        verdict="refused",
        reason=shorten(printable(str(error)), _MAX_REFUSAL),
        stamp=None if isinstance(error, UnreadableError) else record.stamp,
    )


def guarded_parts[T](parts: Iterator[T]) -> Iterator[T]:
    """Yield the items of a reader, with its errors translated but not those of the consumer."""
    while True:
        with source_errors():
            try:
                part = next(parts)
            except StopIteration:
                return
        yield part
