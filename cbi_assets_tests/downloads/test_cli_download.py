"""`cbi plan`, `approve`, `download` as a user runs them, from an empty home to checked tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cbi_assets_tests.databento_api.buying import SIX, folders
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.processes import call_cbi

Finished = subprocess.CompletedProcess[str]
Cbi = Callable[..., Finished]

ONE_ROOT = ["--symbol", "ZL", "--to", "2010-06-11"]
"""A week of ZL, in the three timeframes that it is wanted in."""

SIX_ROOTS = [*(word for root in SIX for word in ("--symbol", root)), "--to", "2010-07-30"]
"""Eight weeks: ZL in three timeframes, ZS and ZM in two, the others in one."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Run a vendor on the machine's clock, whose jobs are done at the first poll."""
    with run_vendor(Vendor(looks=1, usd_per_gib=50.0)) as running:
        yield running


@pytest.fixture
def cbi(tmp_path: Path, drive: Path, vendor: Vendor, new_home: Path) -> Cbi:
    (tmp_path / "cwd").mkdir()
    shutil.copytree(new_home, tmp_path / "home")

    def run(*arguments: str, **environment: str) -> Finished:
        settings = {
            "CBI_HOME": str(tmp_path / "home"),
            "CBI_DRIVE": str(drive),
            "CBI_DATABENTO_ENDPOINT": vendor.url,
            "DATABENTO_API_KEY": vendor.key,
        }
        finished = call_cbi(arguments, os.environ | settings | environment, tmp_path / "cwd")
        assert vendor.key not in finished.stdout + finished.stderr
        return finished

    return run


def planned(cbi: Cbi, *scope: str) -> str:
    """Run `cbi plan`; return the start of its hash."""
    finished = cbi("plan", *scope, "--json")
    assert finished.returncode == 0, finished.stderr
    plan_hash: str = json.loads(finished.stdout)["plan_hash"]
    return plan_hash[:12]


def one_line(finished: Finished) -> str:
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("cbi: ")
    return line


@pytest.mark.parametrize(
    ("scope", "jobs"),
    [(ONE_ROOT, 3), pytest.param(SIX_ROOTS, 10, marks=pytest.mark.full)],
    ids=["one root", "six roots"],
)
def test_download_fills_tables_that_pass_their_checks(
    cbi: Cbi, drive: Path, vendor: Vendor, scope: list[str], jobs: int
) -> None:
    plan = planned(cbi, *scope)
    assert cbi("approve", plan, "--by", "Ada", "--max-usd", "5").returncode == 0
    assert vendor.requests_to("batch.submit_job") == []

    downloaded = cbi("download", plan, "--json")
    assert downloaded.returncode == 0, downloaded.stderr
    document = json.loads(downloaded.stdout)
    assert len(document["jobs"]) == document["submitted"] == len(vendor.jobs) == jobs
    assert {job["state"] for job in document["jobs"]} == {"downloaded"}
    assert document["load"]["published"] == sum(
        entry["records"] for entry in document["load"]["books"]
    )
    assert folders(drive) == sorted(
        f"raw/databento_{job.wanted.symbols[0].partition('.')[0].lower()}/{job.id}"
        for job in vendor.jobs.values()
    )

    verified = cbi("plan", "--verify", *scope)
    assert verified.returncode == 0, verified.stderr
    checked = cbi("check", "--json")
    assert checked.returncode == 0, checked.stderr
    assert all(c["passed"] for c in json.loads(checked.stdout) if c["severity"] == "ERROR")

    again = cbi("download", plan)
    assert again.returncode == 2
    assert "used up" in one_line(again)
    assert len(vendor.jobs) == jobs
    assert {logged.key for logged in vendor.log} == {vendor.key}


@pytest.mark.full
def test_download_does_not_load_with_no_load(cbi: Cbi, drive: Path) -> None:
    plan = planned(cbi, "--symbol", "ES", "--to", "2010-06-30")
    cbi("approve", plan, "--by", "Ada", "--max-usd", "5")
    downloaded = cbi("download", plan, "--no-load")
    assert downloaded.returncode == 0, downloaded.stderr
    assert downloaded.stdout == ""
    assert "PASS: 1 job submitted, 1 downloaded now" in downloaded.stderr
    loaded = cbi("load", "--json")
    assert json.loads(loaded.stdout)["published"] > 0


def test_download_fails_with_one_line(cbi: Cbi, tmp_path: Path, vendor: Vendor) -> None:
    plan = planned(cbi, "--symbol", "ES", "--to", "2010-06-30")
    unapproved = cbi("download", plan)
    assert unapproved.returncode == 2
    assert f"plan {plan}: not approved" in one_line(unapproved)
    assert "no plan of" in one_line(cbi("download", "0123abcd"))
    assert "/no/such.json: No such file" in one_line(cbi("download", "/no/such.json"))
    cbi("approve", plan, "--by", "Ada", "--max-usd", "5")
    assert "DATABENTO_API_KEY: not set" in one_line(cbi("download", plan, DATABENTO_API_KEY=""))
    unmounted = cbi("download", plan, CBI_DRIVE="/no/such/drive")
    assert unmounted.returncode == 2
    assert "Is the drive mounted?" in one_line(unmounted)
    remote = cbi("download", plan, CBI_DATABENTO_ENDPOINT="https://example.org")
    assert remote.returncode == 2
    assert "is not http:// on loopback" in one_line(remote)

    page = tmp_path / "edited.json"
    saved = tmp_path / "home" / "plans" / f"{plan}.json"
    page.write_text(saved.read_text().replace("ES.FUT", "CL.FUT"))
    edited = cbi("download", str(page))
    assert edited.returncode == 2
    assert "edited since it was made" in one_line(edited)

    vendor.usd_per_gib = 1e9
    dear = cbi("download", plan)
    assert dear.returncode == 2
    assert "above the 5.00 USD that Ada approved" in one_line(dear)
    vendor.usd_per_gib = 50.0
    vendor.file_host = "http://127.0.0.2:1"
    foreign = cbi("download", plan)
    assert foreign.returncode == 3
    assert foreign.stderr.splitlines()[-1].startswith("cbi: job GLBX-")
    assert "is not Databento's" in foreign.stderr
    assert len(vendor.requests_to("batch.submit_job")) == 1
