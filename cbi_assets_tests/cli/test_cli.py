"""`cbi` as a user runs it: exit statuses, one line an error, JSON on stdout and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cbi_assets_tests.load.lines import put_lines, record

Finished = subprocess.CompletedProcess[str]
Cbi = Callable[..., Finished]


@pytest.fixture
def cbi(tmp_path: Path, drive: Path) -> Cbi:
    """Run `cbi` in a process of its own, in an empty folder, with a home and a drive."""
    (tmp_path / "cwd").mkdir()

    def run(*arguments: str, **environment: str | None) -> Finished:
        settings = {"CBI_HOME": str(tmp_path / "home"), "CBI_DRIVE": str(drive)} | environment
        given = {name: value for name, value in settings.items() if value is not None}
        return subprocess.run(
            [sys.executable, "-m", "cbi_assets.cli", *arguments],
            env=os.environ | given,
            cwd=tmp_path / "cwd",
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def one_line(finished: Finished) -> str:
    """The error's one line: nothing on stdout, no stack trace."""
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("cbi: ")
    return line


def test_all_well_is_0_and_json_is_one_document(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0), record(0), record(1)])
    first = cbi("load", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["published"] == 2
    assert [part["root"] for part in document["partitions"]] == ["ZL"]
    assert [(book["records"], book["duplicates"]) for book in document["books"]] == [(3, 1)]
    assert all({"expected", "actual", "sample", "sql"} <= set(c) for c in document["checks"])

    again = cbi("load")
    assert again.returncode == 0
    assert again.stdout == ""
    assert "Nothing new on the drive: 0 bars published." in again.stderr


def test_data_that_fell_short_is_1_for_load_and_for_check(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, close="11.000000000"), record(1, volume="-1")])
    loaded = cbi("load", "--json")
    assert loaded.returncode == 1
    assert json.loads(loaded.stdout)["published"] == 1
    assert "Traceback" not in loaded.stderr
    checked = cbi("check", "--json")
    assert checked.returncode == 1
    failed = [
        found["check"]
        for found in json.loads(checked.stdout)
        if not found["passed"] and found["severity"] == "ERROR"
    ]
    assert failed == ["no_overlapping_loads_disagree"]


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["load"], {"CBI_DRIVE": None}, "CBI_DRIVE is not set"),
        (["load"], {"CBI_DRIVE": "/no/such/drive"}, "/no/such/drive: no such folder"),
        (["load", "--symbol", "XX"], {}, "--symbol XX: not a root of the universe"),
        (["unload", "--job", "GLBX-X"], {}, "--job GLBX-X: nothing of it is loaded"),
        (["copy", "--to", "mars"], {}, "--to mars: bigquery or duckdb"),
        (["copy", "--to", "bigquery"], {}, "CBI_BQ_PROJECT: not set"),
        (["config"], {"CBI_WAREHOUSE": "sqlite"}, "CBI_WAREHOUSE: "),
    ],
    ids=["unset drive", "unmounted drive", "unknown symbol", "unknown job", "unknown target",
         "no project", "wrong setting"],
)  # fmt: skip
def test_wrong_usage_is_2_and_one_line(
    cbi: Cbi, arguments: list[str], environment: dict[str, str | None], told: str
) -> None:
    finished = cbi(*arguments, **environment)
    assert finished.returncode == 2
    assert told in one_line(finished)


def test_debug_shows_the_stack_trace(cbi: Cbi) -> None:
    finished = cbi("--debug", "load", CBI_DRIVE=None)
    assert finished.returncode != 0
    assert "Traceback" in finished.stderr
    assert "UsageError: CBI_DRIVE is not set" in finished.stderr


def test_config_masks_secrets(cbi: Cbi) -> None:
    finished = cbi("config", "--json", DATABENTO_API_KEY="db-secret")
    assert finished.returncode == 0
    assert "db-secret" not in finished.stdout + finished.stderr
    shown = json.loads(finished.stdout)
    assert shown["DATABENTO_API_KEY"] == "********"
    assert shown["CBI_STAGING"].endswith("drive/TrainingData/staging")


def test_build_and_inventory_as_json(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0)])
    inventory = cbi("inventory", "--json")
    assert inventory.returncode == 0
    assert json.loads(inventory.stdout)
    cbi("load")
    built = cbi("build", "--json", "--symbol", "ZL")
    assert built.returncode == 0, built.stderr
    document = json.loads(built.stdout)
    assert document["rows"] == {"ZL": 1}
    assert (document["first"], document["last"]) == ("2025-01-06", "2025-01-06")
