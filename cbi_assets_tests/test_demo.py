"""The demo runs every step on a small synthetic drive, in its own home."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.demo.run import DATASET, FIRST, LAST
from cbi_assets.errors import UsageError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import load_once, open_warehouse, query, table

HOURS = {"grains": 5 + 14, "equity": 7 + 16, "energy": 7 + 16}
"""Hours per session in the demo's drive: evening plus day."""

ROOTS = {"ZL": "grains", "ZS": "grains", "ZM": "grains", "MES": "equity", "ES": "equity",
         "CL": "energy"}  # fmt: skip


@pytest.fixture(scope="module")
def demo(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy, whose home can be opened."""
    return shutil.copytree(demo, tmp_path_factory.mktemp("demo") / "copy")


def open_demo(root: Path) -> Project:
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    return Project(settings)


def sessions(sector: str) -> int:
    return len(trade_dates(sector, FIRST, LAST))  # type: ignore[arg-type]


def test_demo_books_balance_and_repeated_job_is_dropped(demo: Path) -> None:
    project = open_demo(demo)
    with open_warehouse(project) as warehouse:
        by_file = books_by_file(warehouse)
    assert set(by_file["difference"]) == {0}
    assert by_file["quarantined"].sum() == by_file["conflicts"].sum() == 0
    # The second job repeats every hour of ZL: 58 trade dates of 19 hours.
    weekdays = [FIRST + dt.timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    holidays = {dt.date(2026, 1, 19), dt.date(2026, 2, 16)}  # King and Washington
    traded = [day for day in weekdays if day.weekday() < 5 and day not in holidays]
    assert by_file["duplicates"].sum() == len(traded) * HOURS["grains"] == 1_102


def test_demo_publishes_every_bar_once(demo: Path) -> None:
    project = open_demo(demo)
    counts = dict(table(project).group_by("root").len().iter_rows())
    assert counts == {root: sessions(sector) * HOURS[sector] for root, sector in ROOTS.items()}
    minutes = table(project, "1m")
    assert set(minutes["root"]) == {"MES"}
    assert minutes.height == sessions("equity") * HOURS["equity"] * 60


def test_demo_matrix_has_one_row_per_trade_date(demo: Path) -> None:
    rows = query(open_demo(demo), "SELECT symbol FROM `features.daily_ml_matrix`")
    counts = dict(rows.group_by("symbol").len().iter_rows())
    assert counts == {root: sessions(sector) for root, sector in ROOTS.items()}


def test_real_home_rejects_the_demos_bars(demo: Path, make_project: MakeProject) -> None:
    real = make_project(cbi_drive=demo / "drive")
    outcome = load_once(real)
    assert outcome.load_id is None
    assert table(real).is_empty()
    reasons = {file.reason for file in outcome.survey.files if file.verdict == "foreign"}
    assert reasons == {f"dataset {DATASET}; this home takes only GLBX.MDP3, XCBF.PITCH"}


def test_demo_home_rejects_real_bars(make_project: MakeProject, drive: Path) -> None:
    from cbi_assets_tests.load.lines import put_lines, record

    put_lines(drive, [record(0)])
    project = make_project(demo=True)
    outcome = load_once(project)
    assert outcome.load_id is None
    (file,) = outcome.survey.files
    assert file.reason == "dataset GLBX.MDP3; this home takes only DEMO.SYNTH"


def test_demo_home_rejects_bigquery(make_project: MakeProject) -> None:
    project = make_project(demo=True, cbi_warehouse="bigquery", cbi_bq_project="mine")
    with (
        pytest.raises(UsageError, match="synthetic bars enter no real warehouse"),
        project.open_warehouse(),
    ):
        pass
