"""Serve the BigQuery emulator over REST and gRPC on loopback.

A script for the emulator's own environment, which has an older DuckDB than the product, so it
imports nothing of this project. `emulator_server.py FOLDER` keeps everything under FOLDER, prints
its two ports as a line of JSON and runs until its standard input closes.
"""

from __future__ import annotations

import json
import sys
import threading
from importlib import resources
from pathlib import Path

import duckdb

EXTENSIONS = ("ducklake", "icu", "spatial")


def main(folder: Path) -> None:
    """Serve until standard input closes."""
    install_extensions()

    import uvicorn
    from local_bigquery import app
    from local_bigquery.grpc import server
    from local_bigquery.settings import settings

    settings.data_dir = folder / "data"
    keep_tables_in_memory()
    look_tables_up_one_by_one()
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


def look_tables_up_one_by_one() -> None:
    """Have the emulator look one table up without asking all of them for their size, as DuckDB's
    list of tables does: it does so four times a query, and took half of its time."""
    from local_bigquery.engine import database

    list_all = database.objects

    def objects(
        project_id: str, dataset_id: str, table_id: str | None = None
    ) -> list[tuple[str, str, int]]:
        if table_id is None:
            return list_all(project_id, dataset_id)
        place = [project_id, dataset_id, table_id]
        of_table = "WHERE database_name = ? AND schema_name = ? AND"
        if not database.fetch(f"FROM duckdb_columns() {of_table} table_name = ? LIMIT 1", place):
            return []
        if database.fetch(f"FROM duckdb_views() {of_table} view_name = ? LIMIT 1", place):
            return [(table_id, "VIEW", 0)]
        try:
            [(rows,)] = database.fetch(f"SELECT COUNT(*) FROM {database.quote(*place)}")
        except duckdb.CatalogException:  # dropped since
            return []
        return [(table_id, "TABLE", rows)]

    database.objects = objects


if __name__ == "__main__":
    main(Path(sys.argv[1]))
