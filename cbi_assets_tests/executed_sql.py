"""Record which SQL files ran on which warehouse, as a plug-in of pytest.

With `--every-sql`, a session fails if a file did not run on one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest

import cbi_assets.warehouse
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

FOLDER = Path(cbi_assets.warehouse.__file__).parent / "sql"
FILES = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*.sql")}
BY_COMMENT = {re.split(r"[$\n]", path.read_text())[0]: name for name, path in FILES.items()}
"""The files by their first line, as far as it has no placeholder: a comment that stays with the SQL
wherever it runs."""

NOT_ON_DUCKDB = {"load/record_cost.sql"}
"""DuckDB bills nothing."""

WAREHOUSES = {"duckdb": DuckDBWarehouse, "bigquery": BigQueryWarehouse}

Execution = tuple[str, str]
"""A warehouse's name and a file's."""


class ExecutedSql:
    """What ran in this session, and in the processes that pytest-xdist started for it."""

    def __init__(self) -> None:
        self.executed: set[Execution] = set()

    @property
    def missing(self) -> list[Execution]:
        """What did not run."""
        needed = {(name, file) for name in WAREHOUSES for file in FILES}
        not_needed = {("duckdb", file) for file in NOT_ON_DUCKDB}
        return sorted(needed - not_needed - self.executed)

    def record(self) -> None:
        """Record from now on what the warehouses run without an error."""
        assert len(BY_COMMENT) == len(FILES), "two SQL files start with the same comment"
        for name, kind in WAREHOUSES.items():
            vars_of = vars(kind)
            for method in ("query", "stage_query", "transact"):
                setattr(kind, method, self._recording(name, vars_of[method]))

    def _recording(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        takes_statements = method.__name__ == "transact"
        place = 1 if method.__name__ == "stage_query" else 0

        @wraps(method)
        def recording(warehouse: Any, *args: Any, **options: Any) -> Any:
            if takes_statements:
                statements: Iterable[Statement] = args[0]
                args = (list(statements), *args[1:])
            result = method(warehouse, *args, **options)
            texts = [s.sql for s in args[0]] if takes_statements else [args[place]]
            self.executed |= {(name, file) for text in texts for file in files_in(text)}
            return result

        return recording

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what one of pytest-xdist's processes recorded."""
        found = getattr(node, "workeroutput", {}).get("executed_sql", [])
        self.executed |= {(name, file) for name, file in found}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the record over, or judge it."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["executed_sql"] = [list(pair) for pair in self.executed]
        elif session.exitstatus == pytest.ExitCode.OK and self._judges(session) and self.missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name what did not run."""
        if self._judges(terminalreporter) and self.missing:
            terminalreporter.section("SQL files that no test ran on a warehouse", red=True)
            for name, file in self.missing:
                terminalreporter.line(f"{name:8} {file}")

    @staticmethod
    def _judges(of: Any) -> bool:
        return bool(of.config.getoption("every_sql"))


@cache
def files_in(text: str) -> frozenset[str]:
    lines = (line.lstrip("( ") for line in text.splitlines())  # a file may be a subquery of a text
    comments = [line for line in lines if line.startswith("-- ")]
    return frozenset(
        file
        for start, file in BY_COMMENT.items()
        if any(comment.startswith(start) for comment in comments)
    )
