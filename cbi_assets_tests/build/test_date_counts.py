"""The counts of a training table's dates are kept by month; a date is counted once."""

from __future__ import annotations

import datetime as dt

import polars as pl

from cbi_assets.build.build_slices import WINDOWS
from cbi_assets.build.date_counts import (
    COUNTS,
    count_by_date,
    months_to_store,
    stored_counts,
    update_counts,
)

JANUARY, FEBRUARY, MARCH = (dt.date(2025, month, 1) for month in (1, 2, 3))
MONTH = {"root": pl.String, "month": pl.Date, "rule": pl.String, "ledger": pl.String}
DAYS = [dt.date(2025, 1, 31), dt.date(2025, 2, 3), dt.date(2025, 3, 3)]


def counts(*rows: tuple[dt.date, int]) -> pl.DataFrame:
    """Return COUNTS of dates with so many rows, all with a target."""
    return pl.DataFrame([(day, n, n, 0, 0, 0, 0) for day, n in rows], schema=COUNTS, orient="row")


def months(*rows: tuple[dt.date, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [("MES", month, "rule", ledger) for month, ledger in rows], schema=MONTH, orient="row"
    )


def stored(owed: pl.DataFrame, before: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Return what is stored after `months_to_store` was."""
    written = months_to_store(before, owed, every)
    kept = before.join(written, on="month", how="anti").select(written.columns)
    return pl.concat([kept, written.filter(pl.col("ledger").is_not_null())]).sort("month")


NOTHING = months().with_columns(state=pl.lit(None, pl.String))


def test_rows_are_counted_by_date_and_by_what_their_targets_lack() -> None:
    rows = pl.DataFrame(
        [
            (DAYS[0], 0.1, None),
            (DAYS[0], None, "gap on 2025-01-31"),
            (DAYS[0], None, "session break on 2025-01-31"),
            (DAYS[1], None, "not yet"),
            (DAYS[1], None, "roll step unknown on 2025-02-03"),
            (DAYS[1], None, "price not positive on 2025-02-03"),
        ],
        schema={"day": pl.Date, "target": pl.Float64, "target_missing": pl.String},
        orient="row",
    )
    found = count_by_date(rows, "day")
    assert found.rows() == [(DAYS[0], 3, 1, 0, 0, 2, 0), (DAYS[1], 3, 0, 1, 1, 0, 1)]
    assert found.schema == COUNTS


def test_what_is_stored_by_month_is_what_was_counted() -> None:
    every = counts((DAYS[0], 5), (DAYS[1], 7), (DAYS[2], 9))
    # no month of March: its first date's bars are of February's last evening
    owed = months((JANUARY, "a"), (FEBRUARY, "b"))
    found = stored_counts(stored(owed, NOTHING, every))
    assert found is not None
    assert found.equals(every)


def test_a_date_moves_to_its_month_when_that_exists_and_others_stay() -> None:
    every = counts((DAYS[0], 5), (DAYS[1], 7), (DAYS[2], 9))
    before = stored(months((JANUARY, "a"), (FEBRUARY, "b")), NOTHING, every)
    written = months_to_store(before, months((MARCH, "c")), every)
    assert sorted(written["month"]) == [FEBRUARY, MARCH]  # January's counts are the same
    after = stored_counts(stored(months((MARCH, "c")), before, every))
    assert after is not None
    assert after.equals(every)


def test_a_date_before_all_months_is_counted_in_the_first() -> None:
    owed = months((FEBRUARY, "b"), (MARCH, "c"))
    february = stored(owed, NOTHING, counts((DAYS[0], 5))).filter(month=FEBRUARY)
    found = stored_counts(february)
    assert found is not None
    assert found.equals(counts((DAYS[0], 5)))


def test_a_month_that_is_gone_keeps_no_counts() -> None:
    before = stored(months((JANUARY, "a"), (FEBRUARY, "b")), NOTHING, counts((DAYS[1], 7)))
    written = months_to_store(before, months((FEBRUARY, None)), counts())
    assert written.filter(pl.col("ledger").is_null())["month"].to_list() == [FEBRUARY]


def test_months_of_an_earlier_version_have_no_counts() -> None:
    assert stored_counts(months((JANUARY, "a")).with_columns(state=pl.lit(None, pl.String))) is None


def test_what_was_read_replaces_what_was_known_of_a_window() -> None:
    windows = pl.DataFrame([("MES", DAYS[1], DAYS[2])], schema=WINDOWS, orient="row")
    known = counts((DAYS[0], 5), (DAYS[1], 7), (DAYS[2], 9))
    found = update_counts(known, counts((DAYS[2], 4)), windows, "MES")
    assert found.equals(counts((DAYS[0], 5), (DAYS[2], 4)))
