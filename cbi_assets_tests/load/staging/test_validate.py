"""Observations are published, or refused or in conflict for a stated reason."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.config.macro import parse_macro
from cbi_assets.config.sources import parse_sources
from cbi_assets.load.staging.layouts import OBSERVATION_SCHEMA
from cbi_assets.load.staging.validate import PUBLISHED_SCHEMA, VERDICTS, validate

SOURCES = parse_sources("""
databento: {demo_dataset: DEMO.SYNTH}
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
PUBLISHED_AT = dt.datetime(2025, 1, 3, 12, tzinfo=dt.UTC)
SEEN_AT = dt.datetime(2025, 11, 30, tzinfo=dt.UTC)


def observation(row_no: int = 1, **changes: Any) -> dict[str, Any]:
    valid = {
        "row_no": row_no,
        "item": "rate",
        "source": "FRED",
        "reference_date": DAY,
        "value": 4.5,
        "fault": None,
    }
    return valid | changes


def published(
    value: float, source: str = "FRED", at: dt.datetime = PUBLISHED_AT, is_new: bool = False
) -> Any:
    """Return a published observation, as a row of PUBLISHED_SCHEMA."""
    return ("rate", DAY, at, value, source, is_new)


def run_validate(rows: list[dict[str, Any]], *existing: Any) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=OBSERVATION_SCHEMA)
    before = pl.DataFrame(list(existing), schema=PUBLISHED_SCHEMA, orient="row")
    return validate("indicators", frame, before, SOURCES, MACRO, SEEN_AT).observations


def verdicts(*rows: dict[str, Any], existing: tuple[Any, ...] = ()) -> list[tuple[str, Any]]:
    return run_validate(list(rows), *existing).select("verdict", "reason").rows()


def test_valid_observation_is_available_from_its_publication() -> None:
    (row,) = run_validate([observation()]).to_dicts()
    assert (row["verdict"], row["series_id"], row["source_key"]) == ("published", "rate", "FRED")
    assert row["available_at"] == PUBLISHED_AT


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
        # the first reason is given
        ({"source": None, "fault": "odd", "item": "wheat"}, "it names no source"),
        ({"source": "Yahoo_Finance", "item": "wheat"}, "Yahoo_Finance: no Yahoo here"),
    ],
)
def test_observation_is_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert verdicts(observation(**changes)) == [("refused", reason)]


def test_refused_rows_do_not_affect_others() -> None:
    rows = [observation(1, source=None, value=9.0), observation(2), observation(3, item="wheat")]
    assert [verdict for verdict, _ in verdicts(*rows)] == ["refused", "published", "refused"]


def test_series_is_chosen_by_date_if_two_share_a_name() -> None:
    days = [dt.date(2025, 1, 1), dt.date(2025, 1, 2), dt.date(2025, 2, 1)]
    rows = [observation(n, item="mixed", reference_date=d) for n, d in enumerate(days, 1)]
    found = run_validate(rows).select("series_id", "verdict", "reason").rows()
    assert found == [
        ("month", "published", None),
        ("day", "published", None),
        (None, "refused", "no series of macro.yaml takes mixed of this date"),
    ]


def test_first_row_is_published_if_values_of_a_date_are_equal() -> None:
    rows = [observation(1), observation(2, item="rate_fred"), observation(3, source="fred_api")]
    assert verdicts(*rows) == [("published", None), ("duplicate", None), ("duplicate", None)]


def test_all_rows_are_in_conflict_if_values_of_a_date_differ_in_a_file() -> None:
    reason = "2 different values for one date in this file"
    rows = [observation(1), observation(2, value=4.6), observation(3)]
    assert verdicts(*rows) == [("conflict", reason)] * 3


def test_refused_value_causes_no_conflict() -> None:
    rows = [observation(1), observation(2, value=4.6, source="Yahoo_Finance")]
    assert [verdict for verdict, _ in verdicts(*rows)] == ["published", "refused"]


def test_value_is_duplicate_if_published_already() -> None:
    assert verdicts(observation(), existing=(published(4.5),)) == [("duplicate", None)]


def test_changed_value_is_a_vintage_available_since_its_file_was_seen() -> None:
    (row,) = run_validate([observation(value=4.6)], published(4.5)).to_dicts()
    assert (row["verdict"], row["available_at"]) == ("published", SEEN_AT)


def test_values_are_compared_with_the_latest_vintage() -> None:
    vintages = (published(4.6, at=SEEN_AT - dt.timedelta(days=1)), published(4.5))
    assert verdicts(observation(value=4.6), existing=vintages) == [("duplicate", None)]
    assert verdicts(observation(value=4.5), existing=vintages) == [("published", None)]


@pytest.mark.parametrize(
    ("existing", "reason"),
    [
        (published(4.4, source="BIS"), "BIS has 4.4 for this date"),
        (published(4.4, is_new=True), "another file of this load has 4.4 for this date"),
        (published(4.4, at=SEEN_AT), "4.4 is published for this date and not yet available"),
    ],
)
def test_value_is_in_conflict_if_it_differs_and_is_no_vintage(existing: Any, reason: str) -> None:
    assert verdicts(observation(), existing=(existing,)) == [("conflict", reason)]


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


@pytest.mark.full
@settings(max_examples=30)
@given(ROWS, ROWS)
def test_verdicts_balance_and_keys_are_unique_over_two_files(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    existing = pl.DataFrame(schema=PUBLISHED_SCHEMA)
    for n, rows in enumerate((first, second)):
        frame = pl.DataFrame(
            [observation(i, **row) for i, row in enumerate(rows, 1)], schema=OBSERVATION_SCHEMA
        )
        seen_at = SEEN_AT + dt.timedelta(days=n)
        validated = validate("indicators", frame, existing, SOURCES, MACRO, seen_at)
        found = validated.observations
        assert found["row_no"].to_list() == list(range(1, len(rows) + 1))
        assert set(found["verdict"]) <= set(VERDICTS)
        accepted = found["verdict"].is_in(["published", "duplicate"])
        assert found.filter(accepted)["reason"].null_count() == accepted.sum()
        assert found.filter(~accepted)["reason"].null_count() == 0
        assert not found.filter(accepted)["source"].is_in(["Yahoo_Finance", "CFTC_API"]).any()
        new = validated.published().with_columns(is_new=False).select(*PUBLISHED_SCHEMA)
        existing = pl.concat([existing, new])
        assert not existing.select(KEY).is_duplicated().any()
        again = validate("indicators", frame, existing, SOURCES, MACRO, seen_at).published()
        assert again.is_empty()
