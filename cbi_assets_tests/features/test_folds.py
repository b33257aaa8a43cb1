"""Folds expand, and leave the horizon without a role before validation and before test."""

from __future__ import annotations

import datetime as dt

from cbi_assets.features.folds import FoldSizes, walk_forward

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=place) for place in range(30)]
SIZES = FoldSizes(train=8, valid=3, test=4)


def places(count: int, horizon: int = 2) -> list[tuple[int, str, int, int]]:
    found = walk_forward(DAYS[:count], horizon, SIZES)
    return [
        (fold, role, DAYS.index(first), DAYS.index(last))
        for fold, role, first, last in found.rows()
    ]


def test_fold_leaves_the_horizon_before_validation_and_before_test() -> None:
    # trains on 0 to 7; 8 and 9 see validation; validates on 10 to 12; 13 and 14 are within the
    # horizon after it; tests on 15 to 18, whose targets need dates up to 20
    first = [(1, "train", 0, 7), (1, "valid", 10, 12), (1, "test", 15, 18)]
    assert places(21) == first
    assert places(20) == []


def test_next_fold_starts_a_test_further_on_and_trains_from_the_first_date() -> None:
    second = [(2, "train", 0, 11), (2, "valid", 14, 16), (2, "test", 19, 22)]
    assert places(25)[3:] == second
    assert places(25)[:3] == places(21)  # an earlier fold never changes
    assert len(places(24)) == 3


def test_horizon_of_one_leaves_one_date() -> None:
    assert places(18, horizon=1) == [(1, "train", 0, 7), (1, "valid", 9, 11), (1, "test", 13, 16)]
