"""`cbi` as a user runs it: exit statuses, errors on one line, nothing but JSON on stdout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from cbi_assets.cli import drive_commands
from cbi_assets.cli.drive_commands import load_and_show
from cbi_assets.config.settings import Home
from cbi_assets.pipeline import terminal
from cbi_assets.session import Project
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.load.staging.exports import TEN, write_indicators
from cbi_assets_tests.processes import call_cbi

Finished = subprocess.CompletedProcess[str]
Cbi = Callable[..., Finished]


@pytest.fixture
def cbi(tmp_path: Path, drive: Path, new_home: Path) -> Cbi:
    """Run `cbi` in a process of its own, in an empty folder, with a home and a drive."""
    (tmp_path / "cwd").mkdir()
    shutil.copytree(new_home, tmp_path / "home")

    def run(*arguments: str, **environment: str | None) -> Finished:
        settings = {"CBI_HOME": str(tmp_path / "home"), "CBI_DRIVE": str(drive)} | environment
        given = {name: value for name, value in settings.items() if value is not None}
        return call_cbi(arguments, os.environ | given, tmp_path / "cwd")

    return run


def error_line(finished: Finished) -> str:
    """Return the error, which must be one line, with nothing on stdout."""
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("cbi: ")
    return line


def test_load_exits_0_and_prints_one_json_document_if_nothing_fails(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0), record(0), record(1)])
    first = cbi("load", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert "auditing 3 records" in first.stderr
    assert document["published"] == 2
    assert [part["root"] for part in document["partitions"]] == ["ZL"]
    assert [(book["records"], book["duplicates"]) for book in document["books"]] == [(3, 1)]
    assert all({"expected", "actual", "sample", "sql"} <= set(c) for c in document["checks"])

    again = cbi("load")
    assert again.returncode == 0
    assert again.stdout == ""
    lines = again.stderr.splitlines()
    assert "PASS: nothing new on the drive, 0 bars published" in lines
    assert lines[-1] == "Next: cbi build"


def test_load_of_a_symbol_or_a_timeframe_leaves_the_staging_files(
    cbi: Cbi, drive: Path, staging: Path
) -> None:
    put_lines(drive, [record(0)])
    write_indicators(staging / "macro.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    for option in (["--symbol", "ZL"], ["--timeframe", "1h"]):
        assert json.loads(cbi("load", "--json", *option).stdout)["staging"]["load_id"] is None
    assert json.loads(cbi("load", "--json").stdout)["staging"]["load_id"] is not None


def test_load_names_each_file_with_quarantined_records(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0), record(1, volume="-1"), record(2, volume="x")])
    put_lines(drive, [record(3)], "b.json")
    lines = [line for line in cbi("load").stderr.splitlines() if line.startswith("quarantined: ")]
    assert lines == [
        "quarantined: GLBX-20250110-AAAAAAAAAA/a.json: 2 of 3 records, first record 2: "
        "volume is missing or negative"
    ]


@pytest.mark.full
def test_load_and_check_exit_1_if_data_has_failures(cbi: Cbi, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, close="11.000000000"), record(1, volume="-1")])
    loaded = cbi("load", "--json")
    assert loaded.returncode == 1
    assert json.loads(loaded.stdout)["published"] == 1
    assert "Traceback" not in loaded.stderr
    assert json.loads(loaded.stdout)["quarantined"] == [
        {
            "path": "GLBX-20250110-AAAAAAAAAA/a.json",
            "records": 3,
            "quarantined": 1,
            "record_no": 3,
            "reason": "volume is missing or negative",
        }
    ]
    checked = cbi("check", "--json")
    assert checked.returncode == 1
    failed = [
        found["check"]
        for found in json.loads(checked.stdout)
        if not found["passed"] and found["severity"] == "ERROR"
    ]
    assert failed == ["no_overlapping_loads_disagree"]


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["load"], {"CBI_DRIVE": None}, "CBI_DRIVE is not set"),
        (["load"], {"CBI_DRIVE": "/no/such/drive"}, "/no/such/drive: no such folder"),
        (["load", "--symbol", "XX"], {}, "--symbol XX: not a root of the universe"),
        (["unload", "--job", "GLBX-X"], {}, "--job GLBX-X: nothing of it is loaded"),
        (["copy", "--to", "mars"], {}, "--to mars: not a warehouse. Choose bigquery or duckdb."),
        (["copy", "--to", "bigquery"], {}, "CBI_BQ_PROJECT: not set"),
        (["config"], {"CBI_WAREHOUSE": "sqlite"}, "CBI_WAREHOUSE: "),
    ],
    ids=["unset drive", "unmounted drive", "unknown symbol", "unknown job", "unknown target",
         "no project", "wrong setting"],
)  # fmt: skip
def test_command_exits_2_with_one_line_on_wrong_usage(
    cbi: Cbi, arguments: list[str], environment: dict[str, str | None], message: str
) -> None:
    finished = cbi(*arguments, **environment)
    assert finished.returncode == 2
    assert message in error_line(finished)


def test_debug_option_shows_the_stack_trace(cbi: Cbi) -> None:
    finished = cbi("--debug", "load", CBI_DRIVE=None)
    assert finished.returncode != 0
    assert "Traceback" in finished.stderr
    assert "UsageError: CBI_DRIVE is not set" in finished.stderr


def test_config_masks_the_api_key(cbi: Cbi) -> None:
    finished = cbi("config", "--json", DATABENTO_API_KEY="db-secret")
    assert finished.returncode == 0
    assert "db-secret" not in finished.stdout + finished.stderr
    shown = json.loads(finished.stdout)
    assert shown["DATABENTO_API_KEY"] == "********"
    assert shown["CBI_STAGING"].endswith("drive/TrainingData/staging")


def test_inventory_and_build_print_json(cbi: Cbi, drive: Path) -> None:
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


@pytest.mark.full
def test_load_records_only_after_the_background_thread_has_created_dagsters_instance(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that create it at once each stamp the database with its schema's revision."""
    put_lines(drive, [record(0)])
    order: list[str] = []
    recorded = Event()

    def create(home: Home) -> None:
        recorded.wait(1)
        order.append("created")

    def record_load(*given: object) -> None:
        order.append("recorded")
        recorded.set()

    monkeypatch.setattr(drive_commands, "_start_dagster", create)
    monkeypatch.setattr(terminal, "record_load", record_load)
    load_and_show(project, 0, show=False)
    assert order == ["created", "recorded"]
