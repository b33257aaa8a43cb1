"""The registry: every check of the contract once, and a table's checks run together."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from cbi_assets.checks import CHECKS, SPEC_CHECK
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS, TRAINING

RAW = {
    "row_count_matches_files",
    "no_duplicate_bars",
    "source_is_databento",
    "no_overlapping_loads_disagree",
    "ohlc_is_consistent",
    "prices_are_on_tick",
    "prices_are_plausible",
    "schema_matches_timeframe",
    "coverage_is_uniform",
    "no_unexplained_gaps",
    "days_are_final",
    "bars_are_fresh",
}
EXPECTED = {
    "market_data.databento_futures_ohlcv_1d": RAW | {"hourly_rebuilds_daily"},
    "market_data.databento_futures_ohlcv_1h": RAW | {"minute_rebuilds_hourly"},
    "market_data.databento_futures_ohlcv_1m": RAW,
    "raw_intelligence.macro_observations": {"no_price_from_staging"},
    "market_data.yahoo_zl_historical_2000_2010": {
        "yahoo_only_before_2010_06_06",
        "stitch_is_documented",
    },
    "market_data.futures_sessions_1d": {"continuous_is_liquid"},
    "market_data.roll_calendar": {"own_rolls_match_vendor"},
    "features.daily_ml_matrix": {
        "one_row_per_trade_date",
        "prices_come_from_databento",
        "regime_covers_every_row",
        "matrix_is_point_in_time",
    },
    "training.folds": {"folds_are_purged"},
}
TRAINING_CHECKS = {"targets_do_not_leak", "targets_are_roll_consistent"}
WARNINGS = {
    "coverage_is_uniform",
    "no_unexplained_gaps",
    "days_are_final",
    "bars_are_fresh",
    "prices_are_plausible",
    "own_rolls_match_vendor",
    "continuous_is_liquid",
}


def test_each_table_has_its_checks_once() -> None:
    listed = Counter((check.table.id, check.name) for check in CHECKS)
    assert set(listed.values()) == {1}
    assert set(listed) == {
        (table.id, name)
        for table in (*ALL_TABLES, *ALL_VIEWS)
        for name in {SPEC_CHECK} | EXPECTED.get(table.id, set())
    } | {(table.id, name) for table in TRAINING.values() for name in TRAINING_CHECKS}


def test_only_the_warnings_do_not_block() -> None:
    assert {check.name for check in CHECKS if check.severity == "WARN"} == WARNINGS


def test_only_checks_that_need_no_ledger_are_in_the_canary() -> None:
    in_canary = {check.name for check in CHECKS if check.in_canary}
    assert in_canary == {"no_duplicate_bars", "ohlc_is_consistent", "prices_are_on_tick"}


def test_checks_of_one_table_and_runner_follow_each_other() -> None:
    groups = [key for key, _ in groupby(CHECKS, key=lambda check: (check.table.id, check.run))]
    assert len(groups) == len(set(groups))


def test_nouns_are_singular_and_sentences_end() -> None:
    for check in CHECKS:
        assert not check.noun.endswith("s"), check.name
        assert check.sentence.endswith("."), check.name
