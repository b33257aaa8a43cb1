"""Judge issued texts by Google's analyzer, each text once: what it accepted is remembered."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cbi_assets.tables import EVERY_TABLE
from cbi_assets.warehouse.bigquery.inline_frames import MOST_BYTES
from cbi_assets_tests.googlesql.analyzer import Analyzer, RefusedError
from cbi_assets_tests.googlesql.engine import CACHE, VERSIONS

_REMEMBERED = 20_000

DISAGREEMENTS = {
    name: re.compile(pattern)
    for name, pattern in {
        "CAST": r"(?<!SAFE_)\bCAST\((?!TRUNC\()[^'()]* AS INT64\)",
        "NaN": r"(?i)'[+-]?(nan|inf)",
        "UNIX_SECONDS": r"\bUNIX_(SECONDS|MILLIS)\(",
        "EXTRACT": r"\bEXTRACT\((DAYOFWEEK|WEEK|ISOWEEK)",
        "SAFE_CAST": r"\bSAFE_CAST\(.* AS (INT64|DATE)\)",
        "SUBSTR from 0": r"\bSUBSTR\([^,]+, 0\b",
        "FORMAT": r"\bFORMAT\(",
        "STRUCT": r"\bSTRUCT\(.*\) *=",
        "BIT_COUNT": r"\bBIT_COUNT\((?!BIT_OR\(1 << ABS\(MOD\()",  # of no negative number
        "ANY_VALUE": r"\bANY_VALUE\((?!.* HAVING)",
        "SQRT, LN": r"\b(SQRT|LN|LOG|LOG10)\(",
        "TO_JSON_STRING": r"(?<!FARM_FINGERPRINT\()\bTO_JSON_STRING\(",
        "ARRAY_AGG LIMIT": r"\bARRAY_AGG\([^)]* LIMIT ",
    }.items()
}
"""What DuckDB answers otherwise than BigQuery, so that no text for both may contain it."""

_LONGEST = 1 << 20
"""Bytes that BigQuery takes of a query's text."""

_MOST_PARAMS = 10_000
_MOST_FRAMES = (10 << 20) // MOST_BYTES - 20
"""That a request of 10 MB has room for, besides its text."""

_COMMENT = re.compile(r"--[^\n]*")
_QUOTED = re.compile(r"`([^`]+)`")
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\b\d[\d_.]*\b")
_PARAMETER = re.compile(r"@\w+")
_SEVERAL = re.compile(r"\?(, \?)+")
_OWN = {spec.id: spec for spec in EVERY_TABLE}

Created = dict[str, dict[str, str]]
"""The schemas of the tables that a text creates, by id."""


@dataclass(frozen=True)
class Part:
    """A statement as DuckDB is asked it: types and values of its parameters, by name."""

    sql: str
    params: dict[str, str]
    values: dict[str, Any]


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
    parts: tuple[Part, ...] = field(compare=False, default=())

    @property
    def creators(self) -> set[str]:
        """The keys of the texts that create what this one reads."""
        return {schema[0] for schema in self.tables.values() if isinstance(schema, list)}

    @cached_property
    def key(self) -> str:
        """A hash of all that the verdict depends on, but for the analyzer."""
        own = [spec.create_statement for name, spec in _OWN.items() if f"`{name}`" in self.sql]
        text = json.dumps([self.sql, self.params, self.tables, own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Refusal:
    """A text, and why the analyzer refuses it."""

    issued: Issued
    error: str


Compare = Callable[[Part, Mapping[str, dict[str, str]]], str | None]
"""Returns how a statement over tables of these schemas differs in meaning; None if it does not."""


def judge(
    issued: Mapping[str, Issued], compare: Compare | None = None
) -> tuple[list[Refusal], int]:
    """Return what the analyzer refuses, and how many texts it was asked about.

    With `compare`, also return what it accepts and DuckDB answers otherwise; one part of each
    shape is compared.
    """
    path = CACHE / f"accepted-{_rules()}.json"
    accepted: dict[str, Created] = json.loads(path.read_text()) if path.exists() else {}
    pending = {key: text for key, text in issued.items() if compare or key not in accepted}
    refused: dict[str, str] = {}
    asked = len(pending)
    if compare is not None:
        compare = _once_per_shape(compare)
    while pending:
        # A text that reads what another one creates can be judged only after it.
        ready = [text for text in pending.values() if not text.creators & pending.keys()]
        assert ready, "texts create each other's tables"
        for text in ready:
            del pending[text.key]
            if text.creators & refused.keys() - accepted.keys():
                refused[text.key] = "it reads what a refused text creates"
        _judge([text for text in ready if text.key not in refused], accepted, refused, compare)
    if asked:
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(dict(list(accepted.items())[-_REMEMBERED:])))
        part.replace(path)
    return [Refusal(issued[key], error) for key, error in refused.items()], asked


def _once_per_shape(compare: Compare) -> Compare:
    shapes: set[str] = set()

    def compare_new(part: Part, tables: Mapping[str, dict[str, str]]) -> str | None:
        shape = shape_of(part.sql)
        if shape in shapes:
            return None
        shapes.add(shape)
        return compare(part, tables)

    return compare_new


def shape_of(sql: str) -> str:
    """Return a text without what hardly changes its meaning, so that it is compared once.

    Comments, values of literals, and names of parameters and tables; of the project's tables, those
    with the same columns are one.
    """
    text = _QUOTED.sub(_family, _LITERAL.sub("?", _COMMENT.sub("", sql)))
    return _SEVERAL.sub("?", " ".join(_PARAMETER.sub("@", text).split()))


def _family(name: re.Match[str]) -> str:
    spec = _OWN.get(name[1])
    columns = [(c.name, c.type, c.required) for c in spec.columns] if spec else "staged"
    return f"`{hashlib.sha256(repr(columns).encode()).hexdigest()[:12]}`"


def _judge(
    texts: Iterable[Issued],
    accepted: dict[str, Created],
    refused: dict[str, str],
    compare: Compare | None,
) -> None:
    # One catalog serves all, for its registration takes longer than a text. Therefore a staged
    # table's name contains its schema.
    prepared: list[tuple[Issued, dict[str, str]]] = []
    tables = {spec.id: {c.name: c.type for c in spec.columns} for spec in EVERY_TABLE}
    for text in texts:
        names: dict[str, str] = {}
        for name, schema in text.tables.items():
            if isinstance(schema, list):
                creator, created_name = schema
                schema = accepted[creator][created_name]
            digest = hashlib.sha256(json.dumps(schema).encode()).hexdigest()[:12]
            names[name] = f"{name}_{digest}"
            tables[names[name]] = schema
        prepared.append((text, names))
    # The engine lets go of Python's lock while it works.
    threads = min(len(prepared), os.process_cpu_count() or 1)
    shares = [prepared[start::threads] for start in range(threads)]
    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        for verdicts in pool.map(lambda share: _ask(share, tables, compare), shares):
            for key, verdict in verdicts:
                if isinstance(verdict, str):
                    refused[key] = verdict
                else:
                    accepted[key] = verdict


def _ask(
    texts: Iterable[tuple[Issued, dict[str, str]]],
    tables: Mapping[str, dict[str, str]],
    compare: Compare | None,
) -> list[tuple[str, Created | str]]:
    """Return by key what each text creates, or why it is refused."""
    analyzer, verdicts = Analyzer(tables), []
    for text, names in texts:
        problems: list[str] = []
        created: Created = {}
        try:
            created = analyzer.created_by(_renamed(text.sql, names), text.params)
        except RefusedError as error:
            problems.append(str(error))
        frames = sum(kind.startswith("ARRAY<STRUCT") for kind in text.params.values())
        if (
            len(text.sql.encode()) > _LONGEST
            or len(text.params) > _MOST_PARAMS
            or frames > _MOST_FRAMES
        ):
            problems.append(f"a request may not be so large\n{text.sql[:200]}")
        for part in text.parts:
            code = _COMMENT.sub("", part.sql)
            for name in [name for name, found in DISAGREEMENTS.items() if found.search(code)]:
                problems.append(f"the warehouses disagree on {name}\n{part.sql}")
        for part in text.parts if compare and not problems else ():
            sql = _renamed(part.sql, names)
            used = {name: tables[name] for name in _QUOTED.findall(sql) if name in tables}
            if problem := compare(replace(part, sql=sql), used):
                problems.append(f"{problem}\n{part.sql}")
        verdicts.append((text.key, "\n".join(problems) or created))
    return verdicts


def _renamed(sql: str, names: Mapping[str, str]) -> str:
    return _QUOTED.sub(lambda match: f"`{names.get(match[1], match[1])}`", sql)


def _rules() -> str:
    """A hash of what else a verdict depends on: the analyzer and how it is asked."""
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.py").read_text() for name in ("analyzer", "verdicts")]
    return hashlib.sha256("\n".join([VERSIONS, *texts]).encode()).hexdigest()[:16]
