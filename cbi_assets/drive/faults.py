"""Turn whatever the reading of a file raises into the refusal of that file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cbi_assets.drive.streams import CHECK_DRIVE, DOWNLOAD_AGAIN
from cbi_assets.errors import CbiError, SourceError, UnreadableError
from cbi_assets.formatting import printable

_MAX_REASON = 200


def is_fault_of_file(error: BaseException) -> bool:
    """Whether an error is one that only a file's bytes can cause, not memory or a signal."""
    if isinstance(error, MemoryError):
        return False
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
        raise SourceError(
            f"cannot be read as bars ({reason_of(error)})", remedy=DOWNLOAD_AGAIN
        ) from error


def guarded_parts[T](parts: Iterator[T]) -> Iterator[T]:
    """Yield the items of a reader, with its errors translated but not those of the consumer."""
    while True:
        with source_errors():
            try:
                part = next(parts)
            except StopIteration:
                return
        yield part
