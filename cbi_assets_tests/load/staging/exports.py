"""Write staging files with the exports' columns, load them, and run the checks of staging."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import polars as pl

from cbi_assets.checks import CheckContext, checks_run_by, run_checks
from cbi_assets.checks.staging_checks import run_bridge, run_observations
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.session import Project, Session, open_session
from cbi_assets.verbs import load_staging

NOW = dt.datetime(2025, 11, 30, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
TEN = "ten_year_treasury"


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def write_indicators(path: Path, *rows: tuple[str | None, str, str, float | None]) -> str:
    """Write rows of (source, indicator, date or time, value) and return the file's sha256."""
    frame = pl.DataFrame(
        [
            {
                "time": dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC),
                "indicator": name,
                "value": value,
                "source_name": source,
            }
            for source, name, time, value in rows
        ]
    )
    frame.write_parquet(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_bridge(path: Path, *rows: tuple[str, float]) -> None:
    """Write a bridge file of (date, close): open = close, high = close + 1, low = close - 1."""
    pl.DataFrame(
        [
            {
                "date": day(date),
                "yahoo_zl_open": close,
                "yahoo_zl_high": close + 1,
                "yahoo_zl_low": close - 1,
                "yahoo_zl_close": close,
                "yahoo_zl_volume": 5,
            }
            for date, close in rows
        ]
    ).write_parquet(path)


def load(project: Project, now: dt.datetime = NOW) -> StagingOutcome:
    """Load staging without the drive's bars."""
    with open_session(project, now=now) as session:
        return load_staging(session)


def run_staging_checks(session: Session) -> list[CheckResult]:
    """Run the checks of the observations and of the bridge."""
    checks = [*checks_run_by(run_observations), *checks_run_by(run_bridge)]
    return run_checks(CheckContext(session), checks)
