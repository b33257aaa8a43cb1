"""Judge issued texts by Google's analyzer, each text once: what it accepted is remembered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cbi_assets.tables import ALL_TABLES
from cbi_assets_tests.googlesql.analyzer import Analyzer, RefusedError
from cbi_assets_tests.googlesql.engine import CACHE, VERSIONS

_REMEMBERED = 20_000

_OWN = {spec.id: spec for spec in ALL_TABLES}

Created = dict[str, dict[str, str]]
"""The schemas of the tables that a text creates, by id."""


@dataclass(frozen=True)
class Issued:
    """A text that the project issued, and what it is about.

    `params` are types by name. `tables` are the tables that are not among the project's: a schema,
    or the key of the text that creates it and the table's id there.
    """

    sql: str
    params: dict[str, str]
    tables: dict[str, Any]
    test: str = field(compare=False)

    @property
    def creators(self) -> set[str]:
        """The keys of the texts that create what this one reads."""
        return {schema[0] for schema in self.tables.values() if isinstance(schema, list)}

    @cached_property
    def key(self) -> str:
        """A hash of all that the verdict depends on, but for the analyzer."""
        own = [spec.create_statement() for name, spec in _OWN.items() if f"`{name}`" in self.sql]
        text = json.dumps([self.sql, self.params, self.tables, own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Refusal:
    """A text, and why the analyzer refuses it."""

    issued: Issued
    error: str


def judge(issued: Mapping[str, Issued]) -> tuple[list[Refusal], int]:
    """Return what the analyzer refuses, and how many texts it was asked about."""
    path = CACHE / f"accepted-{_rules()}.json"
    accepted: dict[str, Created] = json.loads(path.read_text()) if path.exists() else {}
    pending = {key: text for key, text in issued.items() if key not in accepted}
    refused: dict[str, str] = {}
    asked = len(pending)
    while pending:
        # A text that reads what another one creates can be judged only after it.
        ready = [text for text in pending.values() if not text.creators & pending.keys()]
        assert ready, "texts create each other's tables"
        for text in ready:
            del pending[text.key]
            if text.creators & refused.keys():
                refused[text.key] = "it reads what a refused text creates"
        _judge([text for text in ready if text.key not in refused], accepted, refused)
    if asked:
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(dict(list(accepted.items())[-_REMEMBERED:])))
        part.replace(path)
    return [Refusal(issued[key], error) for key, error in refused.items()], asked


def _judge(texts: Iterable[Issued], accepted: dict[str, Created], refused: dict[str, str]) -> None:
    # One catalog serves all, for its registration takes longer than a text. Therefore a staged
    # table's name contains its schema.
    prepared: list[tuple[str, str, dict[str, str]]] = []
    tables = {spec.id: {c.name: c.type for c in spec.columns} for spec in ALL_TABLES}
    for text in texts:
        sql = text.sql
        for name, schema in text.tables.items():
            if isinstance(schema, list):
                creator, created_name = schema
                schema = accepted[creator][created_name]
            unique = f"{name}_{hashlib.sha256(json.dumps(schema).encode()).hexdigest()[:12]}"
            tables[unique] = schema
            sql = sql.replace(f"`{name}`", f"`{unique}`")
        prepared.append((text.key, sql, text.params))
    analyzer = Analyzer(tables)
    for key, sql, params in prepared:
        try:
            accepted[key] = analyzer.created_by(sql, params)
        except RefusedError as error:
            refused[key] = str(error)


def _rules() -> str:
    """A hash of what else a verdict depends on: the analyzer and how it is asked."""
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.py").read_text() for name in ("analyzer", "verdicts")]
    return hashlib.sha256("\n".join([VERSIONS, *texts]).encode()).hexdigest()[:16]
