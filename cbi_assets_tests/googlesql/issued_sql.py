"""Record every GoogleSQL text that the project issues, and have Google's analyzer judge it.

A plug-in of pytest. Both warehouses are asked the same, so a test on DuckDB is enough for its texts
to be judged as BigQuery would get them: parameters and staged tables typed as the client sends
them, a transaction as one script. A session in which a text is refused fails, unless it is of a
test marked `invalid_sql`.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from time import process_time
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from cbi_assets.checks import check, inline_sql, raw_checks
from cbi_assets.tables import EVERY_TABLE, TableSpec
from cbi_assets.tables.spec import Column
from cbi_assets.warehouse.bigquery import live_schema
from cbi_assets.warehouse.bigquery.bigquery_warehouse import STAGING, staging_statement
from cbi_assets.warehouse.bigquery.inline_frames import FrameParameter, parameter_kinds
from cbi_assets.warehouse.bigquery.script import query_parameters, transaction_script
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.executed_sql import FILES, NOT_ON_DUCKDB, files_in
from cbi_assets_tests.googlesql.verdicts import Issued, Part, Refusal, judge

_QUOTED = re.compile(r"`([^`]+)`")
_CREATED = re.compile(r"CREATE (?:OR REPLACE )?TABLE (?:IF NOT EXISTS )?`([^`]+)`")
_DATES = re.compile(r"'\d{4}-\d{2}-\d{2}( \d{4}-\d{2}-\d{2})*'")
_A_DATE = "'2024-01-02'"
_ROOTS = re.compile(r"'[A-Z0-9]{1,3}'(?=\)| AS root\b)")
_A_ROOT = "'ZL'"
_OWN = {spec.id: spec for spec in EVERY_TABLE}
_NONE = pickle.dumps([])
_RECORDERS = ("cbi_assets_tests.executed_sql", "cbi_assets.warehouse.read_ahead", __name__)
"""What passes statements on."""

Tables = dict[str, Any]
"""By id, the schema of a table that is not one of the project's, or the key of the text that
creates it and the table's id there."""


class _Frame(dict[str, str]):
    """The schema of a staged frame, and its `kinds` as a parameter, if it can be one."""

    def __init__(self, schema: Mapping[str, str], kinds: Mapping[str, str]) -> None:
        super().__init__(schema)
        self.kinds = kinds

    def __reduce__(self) -> tuple[Any, ...]:
        return _Frame, (dict(self), self.kinds)


class IssuedSql:
    """The texts issued in this session, and in the processes that pytest-xdist started for it."""

    def __init__(self) -> None:
        self.issued: dict[str, Issued] = {}
        self.refused: list[Refusal] = []
        self.not_compared: list[str] = []
        self.summary = ""
        self._test = ""
        self._is_invalid = False
        self._is_pasting = False
        self._remote: Tables = {}
        self._local: WeakKeyDictionary[DuckDBWarehouse, Tables] = WeakKeyDictionary()

    def record(self) -> None:
        """Record from now on what the project asks of a warehouse."""
        _wrap(TableSpec, "add_statement", after=self._on_add_statement)
        _wrap(DuckDBWarehouse, "create_tables", before=self._on_create_tables)
        _wrap(DuckDBWarehouse, "stage_frame", after=self._on_stage_frame)
        _wrap(DuckDBWarehouse, "stage_parquet", after=self._on_stage_parquet)
        _wrap(DuckDBWarehouse, "query", before=self._on_query)
        _wrap(DuckDBWarehouse, "stage_query", before=self._on_stage_query)
        _wrap(DuckDBWarehouse, "transact", before=self._on_transact)
        _wrap(DuckDBWarehouse, "to_dialect", before=self._on_to_dialect)
        _wrap(bigquery.Client, "create_table", before=self._on_remote_table)
        _wrap(bigquery.Client, "query", before=self._on_remote_query)
        _wrap(bigquery.Client, "query_and_wait", before=self._on_remote_query)
        self._record_pastes()

    # What DuckDB is asked, as BigQuery would be.

    def _on_add_statement(self, sql: str, spec: TableSpec, *added: Column) -> None:
        if _is_issued_by_the_project():
            whole = {column.name: column.type for column in spec.columns}
            live = {name: whole[name] for name in whole.keys() - {c.name for c in added}}
            is_own = spec == _OWN.get(spec.id)
            self._add(sql, [], {} if is_own else {spec.id: live})
            if not is_own:
                self._remote[spec.id] = whole

    def _on_create_tables(self, warehouse: DuckDBWarehouse, specs: Iterable[TableSpec]) -> None:
        for spec in specs:
            if spec != _OWN.get(spec.id):
                schema = {column.name: column.type for column in spec.columns}
                self._tables(warehouse)[spec.id] = schema
            if _is_issued_by_the_project():
                self._add(";\n".join([spec.create_statement, *spec.fill_statements()]), [], {})

    def _on_stage_frame(self, table: str, warehouse: Any, name: str, frame: Any) -> None:
        fields = live_schema.staging_fields([frame.to_arrow().schema])
        self._tables(warehouse)[table] = _Frame(_schema(fields), parameter_kinds(frame))

    def _on_stage_parquet(self, table: str, warehouse: Any, name: str, paths: Any, *_: Any) -> None:
        fields = live_schema.staging_fields(pq.read_schema(path) for path in paths)
        self._tables(warehouse)[table] = _schema(fields)

    def _on_query(self, warehouse: Any, sql: str, params: Any = None) -> None:
        if _is_issued_by_the_project():
            found = query_parameters(sql, params)
            self._add(sql, found, self._tables(warehouse), [(sql, found)])

    def _on_stage_query(
        self, warehouse: Any, name: str, sql: str, params: Any = None, **_: Any
    ) -> None:
        statement = staging_statement(name, sql)
        found = query_parameters(sql, params)
        key = self._add(statement, found, self._tables(warehouse), [(sql, found)])
        self._tables(warehouse)[name] = [key, "created"]

    def _on_transact(self, warehouse: Any, statements: Sequence[Any]) -> None:
        if _is_issued_by_the_project():
            script, params = transaction_script(statements)
            parts = [(s.sql, query_parameters(s.sql, s.params)) for s in statements]
            self._add(script, params, self._tables(warehouse), parts)

    def _on_to_dialect(self, warehouse: Any, sql: str) -> None:
        if not self._is_pasting and _is_issued_by_the_project():
            self._add(sql, [], self._tables(warehouse))

    def _record_pastes(self) -> None:
        """Record what a check prints for pasting into BigQuery's console."""
        render = inline_sql.render_check_sql

        def recording(warehouse: Any, *args: Any) -> str:
            self._is_pasting = True
            try:
                text = render(warehouse, *args)
                pasted = render(_CONSOLE, *args)  # type: ignore[arg-type]
                typical = _ROOTS.sub(_A_ROOT, _DATES.sub(_A_DATE, pasted))
                self._add(typical, [], self._tables(warehouse))
            finally:
                self._is_pasting = False
            return text

        for module in (check, raw_checks):
            module.render_check_sql = recording  # type: ignore[attr-defined]

    # What BigQuery's client is asked.

    def _on_remote_table(self, client: Any, table: Any, *_: Any, **__: Any) -> None:
        if isinstance(table, bigquery.Table):
            self._remote[f"{table.dataset_id}.{table.table_id}"] = _schema(table.schema)

    def _on_remote_query(self, client: Any, sql: str, *_: Any, **options: Any) -> None:
        config = options.get("job_config")
        if not _is_issued_by_the_project():
            return
        created = _CREATED.findall(sql)
        for name in created:
            self._remote.pop(name, None)  # of an earlier test, or what this text replaces
        key = self._add(sql, config.query_parameters if config else [], self._remote)
        for name in created:
            if name not in _OWN:
                self._remote[name] = [key, "created" if name.startswith(f"{STAGING}.") else name]

    def _tables(self, warehouse: Any) -> Tables:
        while hasattr(warehouse, "inner"):  # a test wraps it, or a session
            warehouse = warehouse.inner
        is_local = isinstance(warehouse, DuckDBWarehouse)
        return self._local.setdefault(warehouse, {}) if is_local else self._remote

    def _add(
        self,
        sql: str,
        params: Iterable[Any],
        tables: Tables,
        parts: Iterable[tuple[str, Iterable[Any]]] = (),
    ) -> str:
        """Record a text and return its key.

        Names of staged tables differ from run to run, so they are numbered. A staged frame that can
        be a parameter is one in the text, and a table in its parts.
        """
        used: Tables = {}
        numbers: dict[str, str] = {}
        frames: dict[str, str] = {}

        def sent(match: re.Match[str]) -> str:
            new = renamed(match)
            frame = used.get(new.strip("`"))
            if not isinstance(frame, _Frame) or not frame.kinds:
                return new
            parameter = FrameParameter(frame.kinds, [()])
            name = f"frame_{new.strip('`')}"
            frames[name] = f"ARRAY<{_struct(frame.kinds)}>"
            return parameter.subquery(name)

        def renamed(match: re.Match[str]) -> str:
            name = match[1]
            if name in tables and name not in created:
                new = numbers.setdefault(name, f"staged_{len(numbers)}")
                used[new] = tables[name]
                return f"`{new}`"
            return "`created`" if name in created else match[0]

        created = {name for name in _CREATED.findall(sql) if name.startswith(f"{STAGING}.")}
        text = _QUOTED.sub(sent, sql)
        numbered = tuple(
            Part(_QUOTED.sub(renamed, part), _kinds(given), {p.name: _value(p) for p in given})
            for part, given in parts
        )
        issued = Issued(text, _kinds(params) | frames, used, self._test, numbered)
        if not self._is_invalid:
            self.issued.setdefault(issued.key, issued)
        return issued.key

    # pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember which test runs, and whether BigQuery shall refuse its texts."""
        self._test = item.nodeid
        self._is_invalid = item.get_closest_marker("invalid_sql") is not None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what one of pytest-xdist's processes recorded."""
        for issued in pickle.loads(getattr(node, "workeroutput", {}).get("issued_sql", _NONE)):
            self.issued.setdefault(issued.key, issued)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the record over, or have it judged."""
        if hasattr(session.config, "workeroutput"):
            issued = list(self.issued.values())
            session.config.workeroutput["issued_sql"] = pickle.dumps(issued)
        elif self.issued:
            start = process_time()
            compare = None
            wanted = session.config.getoption("meanings")
            if wanted:
                from cbi_assets_tests.googlesql.meanings import compare
            self.refused, analyzed = judge(self.issued, compare)
            if wanted == "every-file":
                asked = {
                    file
                    for text in self.issued.values()
                    for part in text.parts
                    for file in files_in(part.sql)
                }
                self.not_compared = sorted(FILES.keys() - asked - NOT_ON_DUCKDB)
            self.summary = (
                f"GoogleSQL: {len(self.issued)} texts issued, {analyzed} analyzed now, "
                f"{len(self.refused)} refused, {process_time() - start:.1f} s"
            )
            if (self.refused or self.not_compared) and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show what was refused."""
        if self.refused:
            terminalreporter.section("SQL that BigQuery would refuse", red=True)
            for refusal in self.refused:
                terminalreporter.line(refusal.issued.test, red=True)
                terminalreporter.line(refusal.error)
        if self.not_compared:
            terminalreporter.section("SQL files whose meaning was not compared", red=True)
            for file in self.not_compared:
                terminalreporter.line(file)
        if self.summary:
            terminalreporter.line(self.summary)


class _Console:
    """BigQuery's console, which takes GoogleSQL as it is."""

    @staticmethod
    def to_dialect(sql: str) -> str:
        return sql


_CONSOLE = _Console()


def _wrap(
    owner: type,
    name: str,
    before: Callable[..., None] | None = None,
    after: Callable[..., None] | None = None,
) -> None:
    method = getattr(owner, name)

    @wraps(method)
    def recording(*args: Any, **options: Any) -> Any:
        if name in ("transact", "create_tables"):
            args = (args[0], list(args[1]))
        if before is not None:
            before(*args, **options)
        result = method(*args, **options)
        if after is not None:
            after(result, *args)
        return result

    setattr(owner, name, recording)


def _is_issued_by_the_project() -> bool:
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") in _RECORDERS:
        assert frame.f_back is not None
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("cbi_assets.")


def _schema(fields: Iterable[bigquery.SchemaField]) -> Mapping[str, str]:
    return {field.name: live_schema._type_of(field) for field in fields}


def _kinds(params: Iterable[Any]) -> dict[str, str]:
    return {param.name: kind_of(param) for param in params}


def _value(param: Any) -> Any:
    return param.values if isinstance(param, bigquery.ArrayQueryParameter) else param.value


def kind_of(param: Any) -> str:
    """Return a query parameter's GoogleSQL type."""
    if not isinstance(param, bigquery.ArrayQueryParameter):
        return str(param.type_)
    element = param.to_api_repr()["parameterType"]["arrayType"]
    if "structTypes" not in element:
        return f"ARRAY<{element['type']}>"
    fields = {field["name"]: field["type"]["type"] for field in element["structTypes"]}
    return f"ARRAY<{_struct(fields)}>"


def _struct(fields: Mapping[str, str]) -> str:
    return f"STRUCT<{', '.join(f'`{name}` {kind}' for name, kind in fields.items())}>"
