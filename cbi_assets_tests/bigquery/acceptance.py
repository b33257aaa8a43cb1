"""Run the tests marked `both_warehouses` on a real BigQuery project without a warehouse.

`CBI_ACCEPTANCE_PROJECT=my-empty-project make bigquery-acceptance`, with application-default
credentials. The run marks the project with a dataset that carries its label, and drops nothing
where the mark is not its own. `CBI_ACCEPTANCE_ENDPOINT` and `CBI_ACCEPTANCE_STORAGE_ENDPOINT` try
the script itself on an emulator.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core import exceptions
from google.cloud import bigquery

from cbi_assets.config.settings import Settings
from cbi_assets.errors import CbiError, UsageError
from cbi_assets.formatting import dollars, plural, size
from cbi_assets.warehouse.bigquery.bigquery_access import DATASETS
from cbi_assets.warehouse.bigquery.connection import Options, connect
from cbi_assets.warehouse.bigquery.error_translation import translate_errors
from cbi_assets_tests.billing.cost_model import DOLLARS_PER_TIB

MARK = "cbi_acceptance"


@dataclass(frozen=True)
class Acceptance:
    """A project that a run has to itself. `run` is the label of its mark."""

    settings: Mapping[str, Any]
    run: str

    def claim(self) -> None:
        """Mark the project. Raises UsageError if it contains a warehouse or another run's mark."""
        project = self.settings["cbi_bq_project"]
        with self._client() as client:
            existing = {item.dataset_id for item in client.list_datasets()} & {MARK, *DATASETS}
            if existing:
                raise UsageError(
                    f"{project} contains {', '.join(sorted(existing))} already",
                    subject="CBI_ACCEPTANCE_PROJECT",
                    remedy="Use a project without them; if an earlier run was killed, delete them.",
                )
            mark = bigquery.Dataset(f"{project}.{MARK}")
            mark.location = self.settings["cbi_bq_location"]
            mark.labels = {"run": self.run}
            try:
                client.create_dataset(mark)
            except exceptions.Conflict:
                raise UsageError(
                    f"CBI_ACCEPTANCE_PROJECT: another run is at work in {project}."
                ) from None

    def empty(self) -> dict[str, Any]:
        """The settings of the project, after all that this run's tests made in it was dropped."""
        with self._client() as client:
            if client.get_dataset(MARK).labels.get("run") != self.run:
                raise UsageError(f"dataset {MARK} is another run's; nothing was dropped.")
            for name in DATASETS:
                client.delete_dataset(name, delete_contents=True, not_found_ok=True)
        return dict(self.settings)

    def spent(self, since: dt.datetime) -> tuple[int, int]:
        """Return how many jobs ran in the project since then, and the bytes they were billed.

        A transaction's job includes its statements.
        """
        with self._client() as client:
            jobs = list(client.list_jobs(min_creation_time=since))
        return len(jobs), sum(getattr(job, "total_bytes_billed", None) or 0 for job in jobs)

    def release(self) -> None:
        """Leave the project as it was."""
        self.empty()
        with self._client() as client:
            client.delete_dataset(MARK)

    @contextmanager
    def _client(self) -> Iterator[bigquery.Client]:
        settings = Settings(_env_file=None, **self.settings)  # type: ignore[call-arg]
        with translate_errors(), connect(Options.of(settings)) as connection:
            yield connection.client


def acceptance(environment: Mapping[str, str], run: str | None = None) -> Acceptance | None:
    """The project that the environment names, None where a test session is no acceptance run."""
    run = run or environment.get("CBI_ACCEPTANCE_RUN")
    project = environment.get("CBI_ACCEPTANCE_PROJECT")
    if not run or not project:
        return None
    settings: dict[str, Any] = {
        "cbi_warehouse": "bigquery",
        "cbi_bq_project": project,
        "cbi_bq_location": environment.get("CBI_ACCEPTANCE_LOCATION", "us-central1"),
    }
    if endpoint := environment.get("CBI_ACCEPTANCE_ENDPOINT"):
        settings["cbi_bq_endpoint"] = endpoint
        settings["cbi_bq_storage_endpoint"] = environment.get("CBI_ACCEPTANCE_STORAGE_ENDPOINT")
    return Acceptance(settings, run)


def main(arguments: list[str]) -> int:
    """Claim the project, run the tests in it, leave it as it was; arguments go to pytest."""
    run = uuid.uuid4().hex[:12]
    given = acceptance(os.environ, run)
    if given is None:
        raise UsageError("CBI_ACCEPTANCE_PROJECT: not set. Name a project without a warehouse.")
    given.claim()
    started = dt.datetime.now(dt.UTC)
    try:
        tests = Path(__file__).parents[1]
        first = tests / "bigquery" / "test_required_columns.py"  # every load depends on it
        command = [sys.executable, "-m", "pytest", "-m", "both_warehouses", *arguments]
        command += [] if arguments else [str(first), str(tests)]
        environment = os.environ | {"CBI_ACCEPTANCE_RUN": run}
        say(f"before: {estimate(command, environment)}")
        code = subprocess.run(command, env=environment, check=False).returncode
        jobs, billed = given.spent(started)
        say(f"after: {jobs:,} jobs were billed {cost_of(billed)}, by their statistics")
        return code
    finally:
        given.release()


def estimate(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what the tests may cost, by the cost model: each at most a load, a build and a check.

    Their tables are so small that each statement is billed for the minimum of 10 MB a table.
    """
    from cbi_assets_tests.billing.daily import bill_a_day  # conftest.py imports this module

    listing = [*command, "--collect-only", "-q"]
    found = subprocess.run(
        listing, env=environment, capture_output=True, text=True, check=False
    ).stdout
    tests = sum("::" in line for line in found.splitlines())
    with tempfile.TemporaryDirectory(prefix="cbi-bill-") as folder:
        (Path(folder) / "drive").mkdir()
        totals = bill_a_day(Path(folder) / "home", Path(folder) / "drive", bars=0)
    each = sum(total.billed for total in totals.values())
    return f"{plural(tests, 'test')} of at most {cost_of(each)}: {cost_of(tests * each)} in all"


def cost_of(billed: int) -> str:
    """Return bytes, and their price beyond the free TiB of a month."""
    return f"{size(billed)} ({dollars(billed / 2**40 * DOLLARS_PER_TIB)})"


def say(text: str) -> None:
    """Print a line on stderr at once, before the tests' own."""
    sys.stderr.write(f"bigquery-acceptance: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CbiError as error:
        sys.stderr.write(f"bigquery-acceptance: {error}\n")
        sys.exit(error.exit_code)
