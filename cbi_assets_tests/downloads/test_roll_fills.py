"""The plan's line that would make roll steps known is named, with its price."""

from __future__ import annotations

import datetime as dt

import polars as pl

from cbi_assets.downloads.roll_fills import roll_fills
from cbi_assets.session import Project, open_session

NOW = dt.datetime(2025, 1, 10, 12, tzinfo=dt.UTC)


def fills(project: Project, *builds: tuple[str, str, int]) -> dict[str, str]:
    frame = pl.DataFrame(builds, schema=["table", "symbol", "roll_unknown"], orient="row")
    with open_session(project, now=NOW) as session:
        return roll_fills(session, frame)


def test_table_with_unknown_roll_steps_names_the_outrights_daily_bars(project: Project) -> None:
    found = fills(project, ("zl_1w", "ZL", 7), ("mes_1d", "MES", 0))
    assert list(found) == ["zl_1w"]
    assert found["zl_1w"].startswith(
        "`cbi plan --symbol ZL --timeframe 1d` would fill up to 7 rows: ohlcv-1d ZL.FUT, "
        "2010-06-06 to "
    )
    assert found["zl_1w"].endswith(" USD")


def test_nothing_is_planned_if_every_roll_step_is_known(project: Project) -> None:
    assert fills(project, ("zl_1w", "ZL", 0)) == {}
