"""What a home remembers of translated SQL: each text is translated once, not once per command.

A translation depends on the text, on sqlglot and on this project's own rules alone. A file that was
written by another version of either is ignored, like a damaged one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cbi_assets.files import write_atomically

_MOST_BYTES: Final = 4 << 20
"""Texts with dates in them change daily: a larger file is written again from what was used."""


class Translations:
    """The translations that one file keeps, by a hash of the text.

    `translate` takes a text and whether to put one clause on a line; `rules` is its version.
    """

    def __init__(self, path: Path, translate: Callable[[str, bool], str], rules: str) -> None:
        self._path = path
        self._translate = translate
        self._rules = rules
        self._stored = self._read()
        self._used: dict[str, str] = {}

    def get(self, sql: str, pretty: bool = False) -> str:
        """Return a text's translation."""
        key = hashlib.sha256(f"{pretty} {sql}".encode()).hexdigest()
        found = self._used.get(key) or self._stored.get(key)
        if found is None:
            found = self._translate(sql, pretty)
        self._used[key] = found
        return found

    def save(self) -> None:
        """Write what is new. A failure costs the next command some time, and nothing else."""
        if self._used.keys() <= self._stored.keys():
            return
        texts = self._stored | self._used
        if sum(map(len, texts.values())) > _MOST_BYTES:
            texts = self._used
        body = json.dumps(texts)
        with contextlib.suppress(OSError):
            write_atomically(self._path, f"{self._head(body)}\n{body}")

    def _head(self, body: str) -> str:
        return hashlib.sha256(f"{self._rules} {body}".encode()).hexdigest()

    def _read(self) -> dict[str, str]:
        try:
            head, _, body = self._path.read_text().partition("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        texts: dict[str, str] = json.loads(body) if head == self._head(body) else {}
        return texts
