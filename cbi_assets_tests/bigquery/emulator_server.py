"""Serve the BigQuery emulator over REST and gRPC on loopback.

A script for the emulator's own environment, which has an older DuckDB than the product, so it
imports nothing of this project. `emulator_server.py FOLDER` keeps everything under FOLDER, prints
its two ports as a line of JSON and runs until its standard input closes.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

EXTENSIONS = ("ducklake", "icu", "spatial")


def main(folder: Path) -> None:
    """Serve until standard input closes."""
    install_extensions()
    gc.set_threshold(100_000)  # every query is a tree of small objects, and none of them stays
    sys.modules["pandas"] = None  # type: ignore[assignment]  # or DuckDB looks for it for every value

    import uvicorn
    from local_bigquery import app
    from local_bigquery.engine import database
    from local_bigquery.grpc import server
    from local_bigquery.settings import settings

    settings.data_dir = folder / "data"
    keep_tables_in_memory()
    look_up_single_tables()
    database.connection().execute("SET threads = 1")  # tables of a test have a few rows
    unite_by_name()
    merge_within_transactions()
    storage, grpc_port = server.start("127.0.0.1", 0)
    rest = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=rest.run, daemon=True)
    thread.start()
    while not rest.started and thread.is_alive():
        thread.join(0.01)
    rest_port = rest.servers[0].sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"rest": rest_port, "grpc": grpc_port}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    storage.stop(None)


def install_extensions() -> None:
    """Install DuckDB's extensions from their packages, into the home folder of the environment."""
    with duckdb.connect() as connection:
        for name in EXTENSIONS:
            file = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
            path = resources.files(f"duckdb_extension_{name}").joinpath(file)
            connection.execute(f"INSTALL '{path}'")


def keep_tables_in_memory() -> None:
    """Have the emulator keep projects in memory instead of DuckLake's files: a commit to those
    takes a dozen statements and a Parquet file."""
    from local_bigquery.engine import database

    def attach(connection: duckdb.DuckDBPyConnection, project_id: str) -> None:
        connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {database.quote(project_id)}")
        database._attached.add(project_id)

    database._attach = attach


def look_up_single_tables() -> None:
    """Have the emulator ask for one table, where it asks DuckDB for the list of all columns or
    views and picks from that: it does so a dozen times for every query."""
    from local_bigquery.engine import database

    list_all, fetch = database.objects, database.fetch
    of_table = "duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ? AND"
    single = {
        f"SELECT column_name FROM {of_table} NOT is_nullable": (
            'SELECT name FROM pragma_table_info(?) WHERE "notnull"'
        ),
        f"SELECT 1 FROM {of_table} column_name = ?": (
            "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
        ),
    }

    def fetch_single(sql: str, params: list[object] | None = None) -> list[tuple[Any, ...]]:
        if params is None or sql not in single:
            return fetch(sql, params)
        try:
            return fetch(single[sql], [database.quote(*params[:3]), *params[3:]])
        except duckdb.CatalogException:  # no such table
            return []

    def objects(
        project_id: str, dataset_id: str, table_id: str | None = None
    ) -> list[tuple[str, str, int]]:
        if table_id is None:
            return list_all(project_id, dataset_id)
        name = database.quote(project_id, dataset_id, table_id)
        try:
            [(rows,)] = fetch(f"SELECT COUNT(rowid) FROM {name}")
        except duckdb.CatalogException:  # no such table
            return []
        except duckdb.BinderException:  # a view has no row ids
            return [(table_id, "VIEW", 0)]
        return [(table_id, "TABLE", rows)]

    database.fetch, database.objects = fetch_single, objects


def unite_by_name() -> None:
    """Have the emulator understand FULL UNION BY NAME: DuckDB's UNION BY NAME is that, without the
    word."""
    from sqlglot.generator import Generator

    generate = Generator.set_operation

    def set_operation(self: Any, expression: Any) -> str:
        if expression.args.get("by_name"):
            expression.set("side", None)
        return str(generate(self, expression))

    Generator.set_operation = set_operation


def merge_within_transactions() -> None:
    """Have the emulator begin no transaction for a MERGE: it is always in one, which a second BEGIN
    would abort."""
    from local_bigquery.jobs import merge

    run = merge.run

    class Cursor:
        def __init__(self, inner: duckdb.DuckDBPyConnection) -> None:
            self._inner = inner

        def execute(self, sql: str, *values: Any) -> duckdb.DuckDBPyConnection:
            if sql == "BEGIN":
                raise duckdb.TransactionException("within a transaction")
            return self._inner.execute(sql, *values)

    def run_within(cursor: duckdb.DuckDBPyConnection, *args: Any) -> Any:
        return run(Cursor(cursor), *args)

    merge.run = run_within


if __name__ == "__main__":
    main(Path(sys.argv[1]))
