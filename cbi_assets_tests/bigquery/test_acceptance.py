"""The acceptance run drops what it made and nothing else; the emulator stands for the project."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cbi_assets.errors import UsageError
from cbi_assets_tests.bigquery.acceptance import MARK, Acceptance, acceptance
from cbi_assets_tests.bigquery.emulator import Emulator

pytestmark = pytest.mark.bigquery
PROJECT = "cbi-tests"


@pytest.fixture
def given(warehouse: dict[str, Any]) -> dict[str, str]:
    """The environment of a run on an empty project."""
    return {
        "CBI_ACCEPTANCE_PROJECT": PROJECT,
        "CBI_ACCEPTANCE_ENDPOINT": warehouse["cbi_bq_endpoint"],
        "CBI_ACCEPTANCE_STORAGE_ENDPOINT": warehouse["cbi_bq_storage_endpoint"],
    }


def of(given: dict[str, str], run: str) -> Acceptance:
    found = acceptance(given, run)
    assert found is not None
    return found


def datasets(emulator: Emulator) -> set[str]:
    with emulator.client(PROJECT) as client:
        return {item.dataset_id for item in client.list_datasets()}


def make(emulator: Emulator, *names: str) -> None:
    with emulator.client(PROJECT) as client:
        for name in names:
            client.create_dataset(name)


def test_a_run_drops_what_it_made_and_nothing_else(
    given: dict[str, str], emulator: Emulator
) -> None:
    make(emulator, "users_own")
    run = of(given, "one")
    run.claim()
    make(emulator, "ops", "market_data")
    assert run.empty()["cbi_bq_project"] == PROJECT
    assert datasets(emulator) == {"users_own", MARK}
    make(emulator, "ops_staging", "features")
    run.release()
    assert datasets(emulator) == {"users_own"}


@pytest.mark.parametrize("name", ["market_data", "ops", "features", "ops_staging", MARK])
def test_a_project_with_a_warehouse_is_refused_and_left_alone(
    given: dict[str, str], emulator: Emulator, name: str
) -> None:
    make(emulator, name)
    with pytest.raises(UsageError, match=f"contains {name} already"):
        of(given, "one").claim()
    assert datasets(emulator) == {name}


def test_another_runs_project_is_left_alone(given: dict[str, str], emulator: Emulator) -> None:
    of(given, "one").claim()
    make(emulator, "ops")
    with pytest.raises(UsageError, match="nothing was dropped"):
        of(given, "two").empty()
    assert datasets(emulator) == {"ops", MARK}


def test_without_a_project_it_says_so_in_one_line() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "cbi_assets_tests.bigquery.acceptance"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert "CBI_ACCEPTANCE_PROJECT: not set" in line


def test_a_session_is_an_acceptance_run_only_where_the_script_started_it(
    given: dict[str, str],
) -> None:
    assert acceptance(given) is None
    assert acceptance(given | {"CBI_ACCEPTANCE_RUN": "one"}) is not None
