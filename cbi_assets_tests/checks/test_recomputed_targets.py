"""A bar's target is the move to a later bar of the same contract and session."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from cbi_assets.checks.recomputed_targets import inconsistent_bars

MONDAY, TUESDAY = dt.date(2025, 1, 6), dt.date(2025, 1, 7)
FIRST = dt.datetime(2025, 1, 6, 20, tzinfo=dt.UTC)
SECOND = FIRST + dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("later_date", "later_contract", "target", "found"),
    [
        (MONDAY, "MESH5", 0.02, 0),  # from 100 to 102
        (MONDAY, "MESH5", 0.03, 1),
        (TUESDAY, "MESH5", 0.02, 1),
        (MONDAY, "MESM5", 0.02, 1),
    ],
)
def test_target_is_inconsistent_unless_it_is_the_move_within_a_session_and_a_contract(
    later_date: dt.date, later_contract: str, target: float, found: int
) -> None:
    rows = pl.DataFrame(
        {
            "bar_end": [FIRST, SECOND],
            "trade_date": [MONDAY, later_date],
            "close": [100.0, 102.0],
            "entry_contract": ["MESH5", later_contract],
            "target": [target, None],
            "target_known_at": [SECOND, None],
        },
        schema_overrides={"target_known_at": pl.Datetime("us", "UTC")},
    )
    known = rows.filter(pl.col("target").is_not_null())
    assert inconsistent_bars(rows, known).height == found
