"""Walk-forward folds: dates to train, validate and test on, without overlapping target windows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

FOLD_SCHEMA: Final = pl.Schema(
    {"fold": pl.Int64(), "role": pl.String(), "from_date": pl.Date(), "to_date": pl.Date()}
)


@dataclass(frozen=True)
class FoldSizes:
    """How many trade dates of rows the first training, each validation and each test has."""

    train: int
    valid: int
    test: int


def walk_forward(dates: Sequence[dt.date], horizon: int, sizes: FoldSizes) -> pl.DataFrame:
    """Divide dates into expanding folds: train, then validate, then test.

    Every fold trains from the first date on. `horizon` dates before validation and before test have
    no role: the target windows of the former touch the dates that follow (purge), and the latter
    are within the horizon after validation (embargo). The next fold starts a test further on. A
    fold exists once the targets of all of its dates could be known, and then never changes.

    Parameters
    ----------
    dates : sequence of datetime.date
        The dates that have rows, sorted, unique.
    horizon : int
        How many of them a target looks ahead.
    sizes : FoldSizes
        Number of dates by role.

    Returns
    -------
    pl.DataFrame
        FOLD_SCHEMA: fold (from 1), role (`train`, `valid`, `test`), from_date and to_date, both
        included; three rows per fold.
    """
    rows = []
    fold, valid = 1, sizes.train + horizon
    while (test := valid + sizes.valid + horizon) + sizes.test + horizon <= len(dates):
        for role, first, count in (
            ("train", 0, valid - horizon),
            ("valid", valid, sizes.valid),
            ("test", test, sizes.test),
        ):
            rows.append((fold, role, dates[first], dates[first + count - 1]))
        fold, valid = fold + 1, valid + sizes.test
    return pl.DataFrame(rows, schema=FOLD_SCHEMA, orient="row")
