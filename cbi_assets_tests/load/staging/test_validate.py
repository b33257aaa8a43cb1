"""Every observation is validated once, by rules that can be said in a sentence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.config.macro import parse_macro
from cbi_assets.config.sources import parse_sources
from cbi_assets.load.staging.layouts import OBSERVATION_SCHEMA
from cbi_assets.load.staging.validate import PUBLISHED_SCHEMA, VERDICTS, validate

SOURCES = parse_sources("""
databento: {datasets: [GLBX.MDP3], demo_datasets: [DEMO.SYNTH]}
staging:
  sources:
    FRED: {names: [FRED, fred_api], kinds: [macro]}
    BIS: {names: [BIS], kinds: [macro]}
    CFTC: {names: [CFTC_API], kinds: [positioning]}
  refused:
    - {starts: yahoo, reason: no Yahoo here}
""").staging
MACRO = parse_macro("""
publications:
  next_day: {days: 1, holidays: ignore, time: "12:00", zone: UTC, source: stated}
series:
  rate: {title: t, group: macro, kind: macro, unit: percent, publication: next_day,
         max_age_days: 5, from: [{layout: indicators, names: [rate, rate_fred]}]}
  month: {title: t, group: macro, kind: macro, unit: percent, publication: next_day,
          max_age_days: 5,
          from: [{layout: indicators, names: [mixed], day: first, until: 2025-01-31}]}
  day: {title: t, group: macro, kind: macro, unit: percent, publication: next_day,
        max_age_days: 5, from: [{layout: indicators, names: [mixed], day: other}]}
""")
DAY = dt.date(2025, 1, 2)
RULE = dt.datetime(2025, 1, 3, 12, tzinfo=dt.UTC)
SEEN = dt.datetime(2025, 11, 30, tzinfo=dt.UTC)


def observation(row_no: int = 1, **changes: Any) -> dict[str, Any]:
    sound = {
        "row_no": row_no,
        "item": "rate",
        "source": "FRED",
        "reference_date": DAY,
        "value": 4.5,
        "fault": None,
    }
    return sound | changes


def held(value: float, source: str = "FRED", at: dt.datetime = RULE, new: bool = False) -> Any:
    return ("rate", DAY, at, value, source, new)


def validated(rows: list[dict[str, Any]], *before: Any) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=OBSERVATION_SCHEMA)
    known = pl.DataFrame(list(before), schema=PUBLISHED_SCHEMA, orient="row")
    return validate("indicators", frame, known, SOURCES, MACRO, SEEN).observations


def verdicts(*rows: dict[str, Any], before: tuple[Any, ...] = ()) -> list[tuple[str, Any]]:
    return validated(list(rows), *before).select("verdict", "reason").rows()


def test_a_sound_one_is_published_from_its_publication_on() -> None:
    (row,) = validated([observation()]).to_dicts()
    assert (row["verdict"], row["series_id"], row["source_key"]) == ("published", "rate", "FRED")
    assert row["available_at"] == RULE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": None}, "it names no source"),
        ({"source": "Yahoo_Finance"}, "Yahoo_Finance: no Yahoo here"),
        ({"source": "yahoo_finance_myr"}, "yahoo_finance_myr: no Yahoo here"),
        ({"source": "a friend"}, "a friend is not a source of sources.yaml"),
        ({"source": "fred"}, "fred is not a source of sources.yaml"),
        ({"fault": "odd"}, "odd"),
        ({"item": "wheat"}, "no series of macro.yaml takes wheat"),
        ({"source": "CFTC_API"}, "CFTC may not give macro"),
        # the first reason that holds stands
        ({"source": None, "fault": "odd", "item": "wheat"}, "it names no source"),
        ({"source": "Yahoo_Finance", "item": "wheat"}, "Yahoo_Finance: no Yahoo here"),
    ],
)
def test_refused(changes: dict[str, Any], reason: str) -> None:
    assert verdicts(observation(**changes)) == [("refused", reason)]


def test_a_bad_row_takes_no_other_with_it() -> None:
    rows = [observation(1, source=None, value=9.0), observation(2), observation(3, item="wheat")]
    assert [verdict for verdict, _ in verdicts(*rows)] == ["refused", "published", "refused"]


def test_two_series_under_one_name_are_told_by_the_day() -> None:
    days = [dt.date(2025, 1, 1), dt.date(2025, 1, 2), dt.date(2025, 2, 1)]
    rows = [observation(n, item="mixed", reference_date=d) for n, d in enumerate(days, 1)]
    found = validated(rows).select("series_id", "verdict", "reason").rows()
    assert found == [
        ("month", "published", None),
        ("day", "published", None),
        (None, "refused", "no series of macro.yaml takes mixed of this date"),
    ]


def test_equal_values_of_a_date_are_one_the_first_rows() -> None:
    rows = [observation(1), observation(2, item="rate_fred"), observation(3, source="fred_api")]
    assert verdicts(*rows) == [("published", None), ("duplicate", None), ("duplicate", None)]


def test_different_values_of_a_date_in_a_file_are_all_in_conflict() -> None:
    reason = "2 different values for one date in this file"
    rows = [observation(1), observation(2, value=4.6), observation(3)]
    assert verdicts(*rows) == [("conflict", reason)] * 3


def test_a_refused_value_conflicts_with_nothing() -> None:
    rows = [observation(1), observation(2, value=4.6, source="Yahoo_Finance")]
    assert [verdict for verdict, _ in verdicts(*rows)] == ["published", "refused"]


def test_what_is_held_already_is_a_duplicate() -> None:
    assert verdicts(observation(), before=(held(4.5),)) == [("duplicate", None)]


def test_a_changed_value_is_a_vintage_known_since_the_file_was_seen() -> None:
    (row,) = validated([observation(value=4.6)], held(4.5)).to_dicts()
    assert (row["verdict"], row["available_at"]) == ("published", SEEN)


def test_the_last_vintage_is_what_counts() -> None:
    later = SEEN - dt.timedelta(days=1)
    before = (held(4.6, at=later), held(4.5))
    assert verdicts(observation(value=4.6), before=before) == [("duplicate", None)]
    assert verdicts(observation(value=4.5), before=before) == [("published", None)]


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (held(4.4, source="BIS"), "BIS has 4.4 for this date"),
        (held(4.4, new=True), "another file of this load has 4.4 for this date"),
        (held(4.4, at=SEEN), "4.4 is published for this date and not yet available"),
    ],
)
def test_what_is_held_stays_where_nothing_says_which_is_right(before: Any, reason: str) -> None:
    assert verdicts(observation(), before=(before,)) == [("conflict", reason)]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "item": st.sampled_from(["rate", "rate_fred", "mixed", "wheat"]),
            "source": st.sampled_from([None, "FRED", "fred_api", "Yahoo_Finance", "CFTC_API"]),
            "reference_date": st.dates(dt.date(2025, 1, 1), dt.date(2025, 2, 2)),
            "value": st.sampled_from([1.0, 2.0]),
        }
    ),
    max_size=25,
)
KEY = ["series_id", "reference_date", "available_at"]


@given(ROWS, ROWS)
def test_books_balance_and_keys_are_unique_over_two_files(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    known = pl.DataFrame(schema=PUBLISHED_SCHEMA)
    for n, rows in enumerate((first, second)):
        frame = pl.DataFrame(
            [observation(i, **row) for i, row in enumerate(rows, 1)], schema=OBSERVATION_SCHEMA
        )
        seen = SEEN + dt.timedelta(days=n)
        found = validate("indicators", frame, known, SOURCES, MACRO, seen)
        told = found.observations
        assert told["row_no"].to_list() == list(range(1, len(rows) + 1))
        assert set(told["verdict"]) <= set(VERDICTS)
        kept = told["verdict"].is_in(["published", "duplicate"])
        assert told.filter(kept)["reason"].null_count() == kept.sum()
        assert told.filter(~kept)["reason"].null_count() == 0
        assert not told.filter(kept)["source"].is_in(["Yahoo_Finance", "CFTC_API"]).any()
        new = found.published().with_columns(is_new=False).select(*PUBLISHED_SCHEMA)
        known = pl.concat([known, new])
        assert not known.select(KEY).is_duplicated().any()
        again = validate("indicators", frame, known, SOURCES, MACRO, seen).published()
        assert again.is_empty()
