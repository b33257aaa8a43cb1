"""The BigQuery emulator as a process of its own, over REST and gRPC on loopback.

`python -m cbi_assets_tests.bigquery.emulator FOLDER` keeps everything under FOLDER, prints its two
ports as a line of JSON and runs until its standard input closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from cbi_assets.config.settings import Settings
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
from cbi_assets.warehouse.bigquery.connection import Options, connect

EXTENSIONS = ("ducklake", "icu", "spatial")

_SEEDED = {spec.id for spec in ALL_TABLES if spec.seed is not None}
_PASSING = {"creationTime", "etag", "lastModifiedTime"}


@dataclass(frozen=True)
class Emulator:
    """Where the emulator listens: a URL for REST, host:port for gRPC; `bucket` is its `gs://`;
    `forms` says how the warehouse's datasets and tables look when they are new."""

    rest: str
    grpc: str
    bucket: Path
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)

    def client(self, project: str) -> bigquery.Client:
        """A plain client, for what a test looks at or spoils behind the warehouse's back."""
        return bigquery.Client(
            project=project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.rest},
        )

    def bare_project(self, project: str) -> dict[str, Any]:
        """The settings that lead to a project, after all in it was dropped. One project serves all
        tests: the emulator grows slower with each."""
        with self.client(project) as client:
            for dataset in client.list_datasets():
                client.delete_dataset(dataset.reference, delete_contents=True)
        return self.settings(project)

    def empty_project(self, project: str) -> dict[str, Any]:
        """The same, but for the warehouse's tables, which take seconds to create: those that are as
        they were created stay, emptied."""
        with self.client(project) as client:
            if not self.forms:
                self._create_all(project)
                self.forms.update((name, _form(live)) for name, live in _held(client).items())
            for name, live in _held(client).items():
                is_new = _form(live) == self.forms.get(name)
                if isinstance(live, bigquery.Dataset):
                    if not is_new:
                        client.delete_dataset(live, delete_contents=True)
                elif not is_new or name in _SEEDED:
                    client.delete_table(live, not_found_ok=True)
                elif live.num_rows:
                    client.query_and_wait(f"TRUNCATE TABLE `{name}`")
        return self.settings(project)

    def _create_all(self, project: str) -> None:
        settings = Settings(_env_file=None, **self.settings(project))  # type: ignore[call-arg]
        with (
            connect(Options.of(settings)) as connection,
            BigQueryWarehouse(connection, "tests", self.bucket.with_name("scratch")) as warehouse,
        ):
            warehouse.create_tables(ALL_TABLES)

    def settings(self, project: str) -> dict[str, Any]:
        """The settings that lead to one of its projects."""
        return {
            "cbi_warehouse": "bigquery",
            "cbi_bq_project": project,
            "cbi_bq_endpoint": self.rest,
            "cbi_bq_storage_endpoint": self.grpc,
            "cbi_bq_patience": 30.0,
        }


def _held(client: bigquery.Client) -> dict[str, bigquery.Dataset | bigquery.Table]:
    """The datasets, by name, and then the tables, by dataset.name."""
    datasets = list(client.list_datasets())
    tables = [table for dataset in datasets for table in client.list_tables(dataset.reference)]
    return {item.dataset_id: client.get_dataset(item.reference) for item in datasets} | {
        f"{item.dataset_id}.{item.table_id}": client.get_table(item.reference) for item in tables
    }


def _form(live: bigquery.Dataset | bigquery.Table) -> dict[str, Any]:
    return {
        key: value
        for key, value in live.to_api_repr().items()
        if key not in _PASSING and not key.startswith("num")
    }


@contextmanager
def run_emulator(folder: Path) -> Iterator[Emulator]:
    """Start it, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    # its DuckDB looks for extensions in the home folder, and the user's is not for tests
    environment = {**os.environ, "HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    with (
        open(folder / "emulator.log", "w") as log,
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "emulator.log").read_text()
        ports = json.loads(line)
        try:
            yield Emulator(
                f"http://127.0.0.1:{ports['rest']}",
                f"127.0.0.1:{ports['grpc']}",
                folder / "data" / "gcs",
            )
        finally:
            process.kill()


def _serve(folder: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        for name in EXTENSIONS:
            file = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
            path = resources.files(f"duckdb_extension_{name}").joinpath(file)
            connection.execute(f"INSTALL '{path}'")

    import uvicorn
    from local_bigquery import app
    from local_bigquery.grpc import server
    from local_bigquery.settings import settings

    settings.data_dir = folder / "data"
    _hasten()
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


def _hasten() -> None:
    """Have the emulator look one table up without asking all of them for their size, as DuckDB's
    list of tables does: it does so four times a query, and took half of its time."""
    import duckdb
    from local_bigquery.engine import database

    look_through = database.objects

    def objects(
        project_id: str, dataset_id: str, table_id: str | None = None
    ) -> list[tuple[str, str, int]]:
        if table_id is None:
            return look_through(project_id, dataset_id)
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
    _serve(Path(sys.argv[1]))
