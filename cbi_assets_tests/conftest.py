"""Shared fixtures: a project of its own for every test, deaf to the caller's environment."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.demo.run import run_demo
from cbi_assets.drive.catalog import Catalog
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project
from cbi_assets_tests.bigquery.acceptance import acceptance
from cbi_assets_tests.bigquery.emulator import Emulator, run_emulator
from cbi_assets_tests.executed_sql import ExecutedSql
from cbi_assets_tests.googlesql.issued_sql import IssuedSql
from cbi_assets_tests.helpers import made_once

MakeProject = Callable[..., Project]

# On a busy machine any example can take longer than Hypothesis' default deadline of 200 ms.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

DEFAULT_HANDLERS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}

ACCEPTANCE = acceptance(os.environ)
"""A real project to test on, in a run of `make bigquery-acceptance`; else None."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--every-sql`."""
    parser.addoption(
        "--every-sql",
        action="store_true",
        help="fail if an SQL file did not run on DuckDB or did not run on BigQuery",
    )

    parser.addoption(
        "--meanings",
        nargs="?",
        const="issued",
        choices=("issued", "every-file"),
        help="ask Google's reference engine on random rows what the tests ask DuckDB, once per "
        "shape of a text, and fail if the answers differ; `every-file`: or if an SQL file is not "
        "among the texts",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Record from the start which SQL files run, and what BigQuery's analyzer is to judge.

    Whoever runs the tests in the background ignores signals, and so would the processes under test.
    """
    for number, handler in DEFAULT_HANDLERS.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    for name, plugin in (("executed-sql", ExecutedSql()), ("issued-sql", IssuedSql())):
        plugin.record()
        config.pluginmanager.register(plugin, name)


def pytest_xdist_auto_num_workers() -> int:
    """Start a process more than there are cores: tests wait for processes of their own."""
    return (os.process_cpu_count() or 1) + 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `both_warehouses` on DuckDB and on BigQuery, what is marked `bigquery` on
    BigQuery alone, and all else on DuckDB.

    The emulator is slow: on it, `both_warehouses` tests are part of the full run alone, unless they
    are marked `both_warehouses(quick=True)`.
    """
    if "warehouse" not in metafunc.fixturenames:
        return
    if both := metafunc.definition.get_closest_marker("both_warehouses"):
        is_quick = both.kwargs.get("quick", False)
        on_bigquery = pytest.param("bigquery", marks=() if is_quick else pytest.mark.full)
        names = [on_bigquery] if ACCEPTANCE else ["duckdb", on_bigquery]
        metafunc.parametrize("warehouse", names, indirect=True)
    elif metafunc.definition.get_closest_marker("bigquery"):
        metafunc.parametrize("warehouse", ["bigquery"], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a `sampled` test `full`, but for the first ones; put the longest first.

    Next come the tests on BigQuery: pytest-xdist deals tests out in stretches, and each process
    that gets one of these starts an emulator of its own.
    """
    items.sort(
        key=lambda item: (not item.get_closest_marker("starts_first"), not _on_bigquery(item))
    )
    quick: Counter[str] = Counter()
    for item in items:
        if (sampled := item.get_closest_marker("sampled")) and not item.get_closest_marker("full"):
            name = item.nodeid.partition("[")[0]
            quick[name] += 1
            if quick[name] > sampled.args[0]:
                item.add_marker(pytest.mark.full)


def _on_bigquery(item: pytest.Item) -> bool:
    warehouse = getattr(item, "callspec", None) and item.callspec.params.get("warehouse")
    return warehouse == "bigquery" or "emulator" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep DuckDB from starting threads for a few rows; `make test` does the same for Polars."""
    connect = duckdb.connect

    def connect_with_one_thread(*args: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        return connect(*args, **options | {"config": {"threads": 1} | options.get("config", {})})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", connect_with_one_thread)
        yield


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CBI_") or name in ("DATABENTO_API_KEY", "DAGSTER_HOME"):
            monkeypatch.delenv(name)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """An empty drive."""
    folder = tmp_path / "drive"
    folder.mkdir()
    return folder


@pytest.fixture
def staging(drive: Path) -> Path:
    """An empty staging folder on the drive."""
    folder = drive / "TrainingData" / "staging"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The BigQuery emulator, one process for the whole session."""
    with run_emulator(tmp_path_factory.mktemp("bigquery")) as running:
        yield running


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of the warehouse that a test runs on; without a row in any case, and without a
    table where the test is of BigQuery alone."""
    if getattr(request, "param", "duckdb") == "duckdb":
        return {"cbi_warehouse": "duckdb"}
    if ACCEPTANCE is not None:
        return ACCEPTANCE.empty()
    running: Emulator = request.getfixturevalue("emulator")
    of_bigquery_alone = request.node.get_closest_marker("bigquery") is not None
    return (running.bare_project if of_bigquery_alone else running.empty_project)("cbi-tests")


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an empty catalog, empty tables and an empty Dagster instance.

    To create them takes seconds, to copy them milliseconds.
    """

    def make(root: Path) -> None:
        project = Project(Settings(_env_file=None, cbi_home=root))  # type: ignore[call-arg]
        project.home.create()
        Catalog(project.home.catalog).close()
        with project.open_warehouse(), open_instance(project.home) as instance:
            instance.get_runs()  # creates the databases

    return made_once(tmp_path_factory, "new-home", make)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo without failures: `home`, `drive`, and the audit in the home.

    Copy it to open the home.
    """

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            root.mkdir()
            patch.chdir(root)
            assert not run_demo(root / "demo").has_failures

    return made_once(tmp_path_factory, "demo", make) / "demo"


@pytest.fixture
def make_project(
    tmp_path: Path, drive: Path, warehouse: dict[str, Any], new_home: Path
) -> MakeProject:
    """Make a project: `make_project("other")` has a home of its own on the same drive.

    On BigQuery, homes of one test share a warehouse.
    """

    def make(home: str = "home", demo: bool = False, **settings: Any) -> Project:
        settings = {"cbi_home": tmp_path / home, "cbi_drive": drive} | warehouse | settings
        project = Project(Settings(_env_file=None, **settings))  # type: ignore[call-arg]
        if not project.home.root.exists():
            shutil.copytree(new_home, project.home.root)
        if demo:
            project.home.demo_mark.touch()
        return project

    return make


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project with an empty home on the test's drive."""
    return make_project()
