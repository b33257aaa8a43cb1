"""The BigQuery emulator: a process of its own, in an environment of its own (`make test` makes it),
reached over REST and gRPC on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from cbi_assets.config.settings import Settings
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS
from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
from cbi_assets.warehouse.bigquery.connection import Options, connect

PYTHON = Path(__file__).parents[2] / ".venv-emulator" / "bin" / "python"
SERVER = Path(__file__).with_name("emulator_server.py")

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
            warehouse.create_tables((*ALL_TABLES, *ALL_VIEWS))

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
    if not PYTHON.exists():
        raise RuntimeError(
            f"{PYTHON.parents[1]}: no such environment. Make it: make .venv-emulator/.ready"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # its DuckDB looks for extensions in the home folder, and the user's is not for tests
    environment = {**os.environ, "HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    with (
        open(folder / "emulator.log", "w") as log,
        subprocess.Popen(
            [PYTHON, "-P", SERVER, folder],
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
