"""Every command of `cbi`, from an empty home to one that is copied, on either warehouse."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer

from cbi_assets import session
from cbi_assets.checks import point_in_time
from cbi_assets.cli import app, main
from cbi_assets.config.training import parse_training
from cbi_assets.load import copy_tables
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.built.derived_assets import DERIVED_TABLES
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project
from cbi_assets.tables import DAILY_ML_MATRIX, LOADS, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import JOB, NOW, START, open_warehouse
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.load.staging.exports import TEN, write_bridge, write_indicators

pytestmark = pytest.mark.parametrize(
    "warehouse", ["bigquery", pytest.param("duckdb", marks=pytest.mark.full)], indirect=True
)

COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
ELSEWHERE = {"demo", "ui"}
"""Commands with tests of their own: the demo's home is on DuckDB, and the UI needs a browser."""

SCOPE = "--symbol ZL --timeframe 1h --to 2010-06-08"
"""Databento's first two trade dates, each of 19 hours."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Run a vendor on the machine's clock, whose jobs are done at the first poll."""
    with run_vendor(Vendor(looks=1, usd_per_gib=50.0)) as running:
        yield running


@pytest.fixture
def cbi(
    project: Project,
    vendor: Vendor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    """Return a function that runs a command line in this process and returns its JSON, if any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CBI_DATABENTO_ENDPOINT", vendor.url)
    monkeypatch.setenv("DATABENTO_API_KEY", vendor.key)
    for name, value in project.settings.environment().items():
        monkeypatch.setenv(name, value)

    def run(line: str, status: int = 0) -> Any:
        monkeypatch.setattr(sys, "argv", ["cbi", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert (ended.value.code or 0) == status, captured.err
        return json.loads(captured.out) if "--json" in line else None

    return run


def fill(drive: Path) -> None:
    """Write a job with minutes of two contracts, whose front month is the later one on the fourth
    day; another with one of these minutes again, an invalid bar, two versions of a bar of ZS, and a
    record without a symbol; and staging files with one row to refuse, and Yahoo's last two days."""
    days = [(dt.date(2010, 6, day) - START.date()).days * 24 * 60 for day in (9, 10, 11, 14)]
    volumes = {"ZLN0": "9933", "ZLZ0": "3399"}
    minutes = [
        record(day, symbol, "1m", volume=volume)
        for symbol, by_day in volumes.items()
        for day, volume in zip(days, by_day, strict=True)
    ]
    put_lines(drive, minutes, job=JOB)
    first = days[0]
    clash = [record(first, "ZS.v.0", "1m", close=f"{close}.000000000") for close in (11, 12)]
    invalid = record(first + 2, "ZLN0", "1m", volume="-1")
    others = [record(first + 1, "ZLN0", "1m"), invalid, record(first, None, "1m")]
    put_lines(drive, [minutes[0], *clash, *others], job=LATER_JOB)
    staging = drive / "TrainingData" / "staging"
    staging.mkdir(parents=True)
    write_indicators(
        staging / "macro.parquet", ("FRED", TEN, "2025-01-02", 4.5), (None, TEN, "2025-01-03", 4.6)
    )
    write_bridge(staging / "yahoo_zl_bridge.parquet", ("2010-06-03", 38.0), ("2010-06-04", 37.5))


@pytest.mark.starts_first
def test_every_command_runs(
    project: Project,
    drive: Path,
    cbi: Callable[..., Any],
    vendor: Vendor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each query takes the emulator a tenth of a second, and these two would be half of them.
    monkeypatch.setattr(point_in_time, "AS_OF_DATES", 1)
    monkeypatch.setattr(copy_tables, "COPIED", (LOADS, RAW["1h"], DAILY_ML_MATRIX))
    weekly = "tables: {zl_training_prod_allhistory_1w: {root: ZL, horizon: 1}}"
    training = parse_training(f"folds: {{train: 9, valid: 1, test: 1}}\n{weekly}")
    monkeypatch.setattr(session, "load_training", lambda: training)
    fill(drive)
    project.home.read_copy.unlink()  # the fixture's home was made on DuckDB
    ran = ["version", "config", "inventory", "plan", "approve", "approvals", "download", "unload",
           "load", "build", "check", "audit", "alert", "doctor", "accept", "schedule",
           "copy", "export", "resolve"]  # fmt: skip
    assert {*ran, *ELSEWHERE} == COMMANDS
    cbi("version")
    cbi("config --check")
    assert len(cbi("inventory --json")["files"]) == 4

    plan = cbi(f"plan --json {SCOPE}")["plan_hash"]
    cbi(f"approve {plan} --by Ada --max-usd 5")
    assert [entry["state"] for entry in cbi("approvals --json")] == ["valid"]
    bought = cbi(f"download --json {plan}", status=1)
    assert len(vendor.jobs) == 1
    # the vendor's hours, 8 minutes of the first job, and a minute of ZL and one of ZS of the second
    assert bought["load"]["published"] == 2 * 19 + 8 + 1 + 1

    standing = cbi("approve --json --standing --roots ZL --schemas ohlcv-1h --max-usd-per-run 0.1 "
                   "--max-usd-per-month 1 --until 2099-12-31 --by Ada")  # fmt: skip
    # the newest days, of sixteen years, cost 0.2 USD
    cbi("download --standing", status=2)
    cbi(f"approve --revoke {standing['approval_id']} --by Ada")
    listed = [(entry["state"], "standing" in entry) for entry in cbi("approvals --json")]
    assert listed == [("used up", False), ("revoked", True)]
    assert len(vendor.jobs) == 1

    unloaded = cbi(f"unload --json --yes --job {JOB}")
    assert (unloaded["removed"], unloaded["reopened"]) == (8, 1)
    change_rules(project)
    write_manifest(drive / LATER_JOB)  # verifies a file that is in the books
    loaded = cbi("load --json", status=1)
    assert loaded["published"] == 8
    assert {entry["difference"] for entry in loaded["books"]} == {0}

    built = cbi("build --json", status=1)
    assert built["rows"] == {"ZL": 5}  # 2 dates of hours, and 3 of minutes: the first has no chain
    assert built["replaced"]["market_data.roll_calendar"]["written"] == 1
    assert built["training"]["written"] == {"zl_training_prod_allhistory_1w": 5}
    assert_derived(project)
    exported = cbi("export --json --out exported training.zl_training_prod_allhistory_1w")
    (file,) = exported["tables"][0]["files"]
    assert (file["symbol"], file["rows"]) == ("ZL", 5)
    cbi("export --verify exported")
    checked = cbi("check --json", status=1)
    failed = [c for c in checked if c["severity"] == "ERROR" and not c["passed"]]
    clash = ("no_overlapping_loads_disagree", "ZS|1m")
    assert [(c["check"], c["partition"]) for c in failed] == [clash]

    audit = cbi("audit --json", status=1)
    assert clash[0] in json.dumps(audit)
    cbi("alert")
    cbi("doctor")
    resolved = cbi("resolve --json --symbol ZL")
    # the hours that were bought, of one instrument
    assert (resolved["asked"], resolved["unknown"], resolved["named_bars"]) == (1, 0, 2 * 19)
    (drive / JOB / "manifest.json").write_bytes(b"{")
    accepted = cbi(f"accept --json --job {JOB} --by Ada --why known")
    assert {file["path"] for file in accepted["files"]} >= {f"{JOB}/manifest.json"}
    texts = cbi("schedule show --json --with cron")["texts"]
    warehouse = project.settings.cbi_warehouse
    assert any(f"export CBI_WAREHOUSE={warehouse}\n" in text for text in texts.values())
    assert project.home.read_copy.exists() == (warehouse == "duckdb")
    if warehouse == "bigquery":
        copies = cbi("copy --json --to duckdb")
        rows = {copy["table_id"]: copy["rows"] for copy in copies}
        assert (rows[RAW["1h"].id], rows[DAILY_ML_MATRIX.id]) == (2 * 19, 5)
    else:
        cbi("copy --to bigquery", status=2)  # CBI_BQ_PROJECT is not set


def write_manifest(folder: Path) -> None:
    """Write a job's manifest, which lists the files that are there."""
    listed = [
        {
            "filename": file.name,
            "size": file.stat().st_size,
            "hash": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
        }
        for file in folder.iterdir()
    ]
    (folder / "manifest.json").write_text(json.dumps({"job_id": folder.name, "files": listed}))


def change_rules(project: Project) -> None:
    """Pretend that staging was validated by other rules, so that it is validated again."""
    with open_warehouse(project) as warehouse:
        sql = "UPDATE `ops.staging_files` SET rules_hash = 'other rules' WHERE TRUE"
        warehouse.transact([Statement(sql)])


def assert_derived(project: Project) -> None:
    """Dagster's asset of a derived table shows what the table has."""
    result = dg.materialize(
        [DERIVED_TABLES["4h"]],
        instance=dg.DagsterInstance.ephemeral(),
        resources={
            "project": ProjectResource(bigquery=BigQuery()),
            "clock": Clock(fixed=NOW.isoformat()),
        },
        partition_key="ZL",
    )
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    # 6 bars from 17:00 Chicago time on each date of hours, one for each minute of a contract
    assert metadata["dagster/partition_row_count"].value == 2 * 6 + 8
