"""Recognize bytes that look like bars although no reader takes them, so that none is ignored."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

UTF8_MARK: Final = b"\xef\xbb\xbf"

_BARS_NAME = re.compile(r"\.ohlcv-", re.IGNORECASE)
_FORMAT_NAME = re.compile(r"\.(dbn|parquet|zip)(\.zst)?$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\.(.+)\.icloud", re.IGNORECASE)
_DATA_NAME = re.compile(r"\.(dbn|json|csv|parquet|zip|zst)$", re.IGNORECASE)

_STARTS: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
)
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_TAR_MAGIC_AT: Final = 257
_TEXT_BYTES: Final = 1 << 16
_IDENTIFIERS: Final = frozenset({"ts_event", "rtype", "publisher_id", "instrument_id"})
_HEADERLESS = re.compile(rb'"?(\d{4}-\d\d-\d\dT[0-9:.]+Z|\d{19})"?,"?3[2-6]"?,"?\d+"?,')
_CUT_JSON = re.compile(rb'[^\n]{0,2}"?hd"?\s*:\s*\{')
_JSON_START = re.compile(rb"\s*[\[{]")
_JSON_TIME = re.compile(rb'"ts_event"\s*:')
_JSON_IDENTIFIER = re.compile(rb'"(hd|rtype|publisher_id|instrument_id)"\s*:')


def is_named_like_bars(name: str, encoding: str = "") -> bool:
    """Whether a file's name claims bars, or a format of theirs other than its `encoding`."""
    format_name = _FORMAT_NAME.search(name)
    claims_format = format_name is not None and format_name[1].lower() != encoding
    return _BARS_NAME.search(name) is not None or claims_format


def placeholder_of(name: str) -> str | None:
    """Return the file of which a dot file is iCloud's placeholder, if it could be of bars."""
    match = _PLACEHOLDER.fullmatch(name)
    return match[1] if match and _DATA_NAME.search(match[1]) else None


def unread_format(head: bytes, columns: Collection[str]) -> str | None:
    """Return why bytes that start like bars, or like an archive of them, cannot be read.

    None if they start like neither. `columns` are those of a bar. The remedy is part of the text.
    """
    for magic, name in _STARTS:
        if head.startswith(magic):
            return f"{name}, which is not read. Decompress it into its job's folder."
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        return "a tar archive, which is not read. Unpack it."
    if head.startswith(_UTF16_MARKS):
        return "UTF-16 text, which is not read. Download the file again, or save it as UTF-8."
    if kind := _damaged_magic(head):
        return f"it starts like {kind}, with a damaged byte. Download the file again."
    return _unread_text(head[:_TEXT_BYTES], columns)


def _damaged_magic(head: bytes) -> str | None:
    """Name the format whose first bytes these are but for one."""
    if _differ_by_one(head, b"DBN") and head[3:4] in (b"\1", b"\2", b"\3"):
        return "DBN"
    if _differ_by_one(head, b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if _differ_by_one(head, b"PK\x03\x04"):
        return "a zip"
    if _differ_by_one(head, b"PAR1") and head[4:5] == b"\x15":  # the first page's header
        return "Parquet"
    return None


def _differ_by_one(head: bytes, magic: bytes) -> bool:
    start = head[: len(magic)]
    return len(start) == len(magic) and sum(a != b for a, b in zip(start, magic, strict=True)) == 1


def _unread_text(text: bytes, columns: Collection[str]) -> str | None:
    is_json = _JSON_START.match(text) and _JSON_TIME.search(text) and _JSON_IDENTIFIER.search(text)
    if is_json or _CUT_JSON.match(text):
        return (
            "records in JSON, but not one per line as Databento writes them. "
            "Download the file again."
        )
    first = text.lstrip().partition(b"\n")[0].decode("utf-8", errors="replace")
    names = {name.strip("\"' \r") for name in re.split(r"[;,\t|]", first)}
    if len(names & set(columns)) >= 3 and names & _IDENTIFIERS:
        return "columns of bars, but not a CSV as Databento writes it. Download the file again."
    if _HEADERLESS.match(text.lstrip()):
        return "a CSV of bars without its header. Download the file again."
    return None
