"""Read the header of a DBN file: its dataset, schema and symbol mappings."""

from __future__ import annotations

from typing import Final

import databento_dbn

from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.errors import SourceError

MAX_HEADER: Final = 64 << 20


def dbn_metadata(head: bytes) -> databento_dbn.Metadata:
    """Decode a DBN header. Raises SourceError unless `head` contains a complete, valid one."""
    length = dbn_header_length(head)
    if length > MAX_HEADER:
        raise SourceError(f"unreadable DBN header ({length:,} bytes long)", remedy=DOWNLOAD_AGAIN)
    if len(head) < length:
        raise SourceError("truncated: it ends inside the DBN header", remedy=DOWNLOAD_AGAIN)
    try:
        return databento_dbn.Metadata.decode(head[:length])
    except databento_dbn.DBNError as error:
        raise SourceError(f"unreadable DBN header ({error})", remedy=DOWNLOAD_AGAIN) from None


def dbn_header_length(head: bytes | bytearray) -> int:
    """Return the length of a DBN header in bytes, given its first 8 bytes."""
    return 8 + int.from_bytes(head[4:8], "little")
