"""`cbi plan`, `cbi approve` and `cbi approvals` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.downloads.plan_model import Plan
from cbi_assets_tests.databento_api.vendor import KEY, Vendor
from cbi_assets_tests.processes import call_cbi

Finished = subprocess.CompletedProcess[str]
Cbi = Callable[..., Finished]
SPEC = Path("docs/data/DATABENTO_DOWNLOAD_SPEC_FINAL")


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir()
    return folder


@pytest.fixture
def cbi(tmp_path: Path, drive: Path, cwd: Path) -> Cbi:
    def run(*arguments: str, **environment: str) -> Finished:
        settings = {"CBI_HOME": str(tmp_path / "home"), "CBI_DRIVE": str(drive)} | environment
        return call_cbi(arguments, os.environ | settings, cwd)

    return run


def document(finished: Finished) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_plan_approve_and_verify(cbi: Cbi, cwd: Path, tmp_path: Path) -> None:
    zl = ("plan", "--symbol", "zl", "--to", "2025-01-10", "--json")
    made = document(cbi(*zl, "--out", str(SPEC.parent)))
    assert [(r["symbols"], r["start"], r["end"]) for r in made["requests"]] == [
        (["ZL.FUT"], "2010-06-06", "2025-01-11"),
        (["ZL.v.0"], "2010-06-06", "2025-01-11"),
        (["ZL.v.0"], "2010-06-06", "2025-01-11"),
    ]
    name = made["plan_hash"][:12]
    written = Plan.load(cwd / SPEC.with_suffix(".json"))
    assert written == Plan.load(tmp_path / "home" / "plans" / f"{name}.json")
    assert written.plan_hash == made["plan_hash"]
    assert f"Plan `{name}`" in (cwd / SPEC.with_suffix(".md")).read_text()

    again = cbi("plan", "--symbol", "ZL", "--to", "2025-01-10")
    assert again.stdout == ""
    assert f"cbi approve {name} --by NAME --max-usd N" in again.stderr

    given = document(
        cbi("approve", name, "--by", "Ada", "--max-usd", "5", "--expires", "2099-12-31", "--json")
    )
    assert (given["plan_hash"], given["max_usd"]) == (made["plan_hash"], 5.0)
    assert given["expires_at"] == "2100-01-01T00:00:00+00:00"
    by_file = cbi("approve", str(SPEC.with_suffix(".json")), "--by", "Grace", "--max-usd", "6")
    assert by_file.returncode == 0, by_file.stderr
    assert "gets a quote first and stops above the ceiling" in by_file.stderr
    listed = document(cbi("approvals", "--json"))
    assert [(e["approval"]["approved_by"], e["state"]) for e in listed] == [
        ("Ada", "valid"), ("Grace", "valid"),
    ]  # fmt: skip
    assert "Grace" in cbi("approvals").stderr

    short = cbi("plan", "--verify", "--symbol", "ZL", "--to", "2025-01-10", "--json")
    assert short.returncode == 1
    found = json.loads(short.stdout)
    assert not found["whole"]
    for row in found["coverage"]:
        assert row["wanted"] == row["published"] + row["gaps"] + row["missing"]
        assert row["ranges"] == ["2010-06-07 to 2025-01-10"]


def test_plan_is_quoted_if_a_key_is_set(cbi: Cbi, tmp_path: Path, vendor: Vendor) -> None:
    settings = {"DATABENTO_API_KEY": KEY, "CBI_DATABENTO_ENDPOINT": vendor.url}
    # the vendor's clock says 2025-04-01, a Tuesday: it has all of Monday and nothing later
    finished = cbi("plan", "--symbol", "ZM", "--timeframe", "1d", "--json", **settings)
    made = document(finished)
    assert made["through"] == "2025-03-31"
    assert [r["basis"] for r in made["requests"]] == ["quoted"]
    assert made["requests"][0]["records"] * 56 == made["requests"][0]["bytes"]
    cost = made["requests"][0]["cost_usd"]
    refused = cbi("approve", made["plan_hash"], "--by", "Ada", "--max-usd", f"{cost / 2:.2f}")
    assert refused.returncode == 2
    assert "the plan was quoted at" in refused.stderr
    assert vendor.requests_to("batch.submit_job") == []
    # the key is neither printed nor written
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert written
    assert KEY not in finished.stdout + finished.stderr + refused.stderr
    assert not any(KEY.encode() in path.read_bytes() for path in written)


def test_plan_fails_with_one_line_for_a_rejected_key(cbi: Cbi, vendor: Vendor) -> None:
    wrong = "db-WRONGWRONGWRONG"
    finished = cbi("plan", DATABENTO_API_KEY=wrong, CBI_DATABENTO_ENDPOINT=vendor.url)
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("cbi: DATABENTO_API_KEY: ")
    assert wrong not in line


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (["plan", "--symbol", "XX"], {}, "--symbol XX: not a root of the universe"),
        (["plan", "--timeframe", "4h"], {}, "--timeframe 4h: not a timeframe"),
        (["approve", "abcdef", "--by", "A", "--max-usd", "1"], {}, "abcdef: no plan of"),
        (["approve", "no.json", "--by", "A", "--max-usd", "1"], {}, "no.json: No such file"),
        (
            ["plan"],
            {"DATABENTO_API_KEY": "db-x", "CBI_DATABENTO_ENDPOINT": "http://10.0.0.1"},
            "CBI_DATABENTO_ENDPOINT: http://10.0.0.1 is not http:// on loopback",
        ),
    ],
    ids=["root", "timeframe", "hash", "file", "endpoint"],
)
def test_wrong_usage_exits_2_with_one_line(
    cbi: Cbi, arguments: list[str], environment: dict[str, str], reason: str
) -> None:
    finished = cbi(*arguments, **environment)
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert reason in line
    assert "db-x" not in line


def test_plan_is_written_into_the_home_alone(cbi: Cbi, cwd: Path, tmp_path: Path) -> None:
    made = document(cbi("plan", "--symbol", "ZL", "--timeframe", "1d", "--json"))
    page = tmp_path / "home" / "plans" / f"{made['plan_hash'][:12]}.md"
    assert made["page"] == str(page)
    assert "# " in page.read_text()
    assert list(cwd.iterdir()) == []


def test_plan_refuses_an_end_before_the_first_wanted_date(cbi: Cbi, tmp_path: Path) -> None:
    finished = cbi("plan", "--symbol", "ZL", "--to", "2010-06-05")
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("cbi: --to 2010-06-05: is before 2010-06-06, the first date wanted.")
    assert not (tmp_path / "home" / "plans").exists()


@pytest.mark.parametrize(
    ("end", "warning"),
    [
        ("2999-01-01", "warning: --to 2999-01-01 is after "),
        ("2025-01-10", "warning: the plan ends on 2025-01-10: trade dates from then to "),
    ],
)
def test_plan_warns_if_it_does_not_end_today(cbi: Cbi, end: str, warning: str) -> None:
    finished = cbi("plan", "--symbol", "ZL", "--timeframe", "1d", "--to", end)
    assert finished.returncode == 0
    assert finished.stderr.startswith(warning)


def test_approve_warns_of_a_ceiling_below_the_estimate(cbi: Cbi) -> None:
    made = document(cbi("plan", "--symbol", "ZL", "--json"))
    assert made["requests"][0]["cost_usd"] > 0.01
    finished = cbi("approve", made["plan_hash"][:12], "--by", "Ada", "--max-usd", "0.01")
    assert finished.returncode == 0
    assert finished.stderr.startswith("warning: --max-usd 0.01 is below the estimate of ")


def test_approvals_says_if_there_are_none(cbi: Cbi) -> None:
    assert "No approvals yet" in cbi("approvals").stderr
