"""Results of checks as Dagster's objects: one per partition or table, each with its finding."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import dagster as dg

from cbi_assets.checks import CHECKS
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.to_dagster import (
    lights_metadata,
    lights_to_check_results,
    lights_to_evaluations,
    to_check_result,
    to_evaluations,
)
from cbi_assets.report.lights import Light, Lights, Reason
from cbi_assets.tables import DAILY_ML_MATRIX, LOADS, RAW

PASSING = CheckResult(
    name="no_duplicate_bars",
    table_id=RAW["1h"].id,
    severity="ERROR",
    root="ZS",
    timeframe="1h",
    passed=True,
    expected="none",
    actual="0 duplicate bars",
    offenders=0,
    sample=[],
    sql="SELECT 1",
)
FAILING = replace(
    PASSING,
    root="ZL",
    passed=False,
    actual="2 duplicate bars",
    offenders=2,
    sample=[{"symbol": "ZL.v.0", "copies": 2, "note": None}],
)
MATRIX = {"table_id": DAILY_ML_MATRIX.id, "name": "one_row_per_trade_date", "timeframe": None}
MATRIX_CHECK = next(check for check in CHECKS if check.name == "one_row_per_trade_date")


def values(metadata: object) -> dict[str, object]:
    assert isinstance(metadata, dict)
    return {name: getattr(value, "value", value) for name, value in metadata.items()}


def test_a_raw_table_has_one_evaluation_per_partition_with_failures_last() -> None:
    failing, passing = FAILING, PASSING
    first, last = to_evaluations([failing, passing])
    assert (first.partition, first.passed) == ("ZS|1h", True)
    assert (last.partition, last.passed) == ("ZL|1h", False)
    assert last.asset_key == table_key(RAW["1h"].id)
    assert last.check_name == "no_duplicate_bars"
    assert last.blocking
    assert last.description == "ZL|1h: 2 duplicate bars, expected none"
    shown = values(last.metadata)
    assert (shown["expected"], shown["actual"]) == ("none", "2 duplicate bars")
    assert shown["offending rows"] == 2
    assert shown["sql"] == "```sql\nSELECT 1\n```"
    assert "roots" not in shown


def test_sample_has_the_same_fields_in_every_record() -> None:
    known = {"symbol": "ZL.v.0", "date": dt.date(2025, 1, 6), "close": 12.5, "copies": 2}
    unknown = {"symbol": None, "date": None, "close": math.nan, "copies": None}
    (evaluation,) = to_evaluations([replace(FAILING, sample=[known, unknown])])
    sample = evaluation.metadata["sample"]
    assert isinstance(sample, dg.TableMetadataValue)
    assert [record.data for record in sample.records] == [
        {"symbol": "ZL.v.0", "date": "2025-01-06", "close": 12.5, "copies": 2},
        {"symbol": None, "date": None, "close": "nan", "copies": None},
    ]


def test_another_table_has_one_evaluation_for_all_roots() -> None:
    results = [replace(r, **MATRIX) for r in (PASSING, FAILING, replace(FAILING, root="ES"))]
    (evaluation,) = to_evaluations(results)
    assert (evaluation.partition, evaluation.passed) == (None, False)
    assert evaluation.description == "ZL: 2 duplicate bars, expected none (and 1 more root)"
    assert values(evaluation.metadata)["roots"] == "ZL, ES"


def test_a_table_that_passes_for_several_roots_says_so() -> None:
    results = [replace(PASSING, **MATRIX), replace(PASSING, root="ES", **MATRIX)]
    result = to_check_result(MATRIX_CHECK, results)
    assert result.passed
    assert result.description == "passes for 2 roots"


def test_an_empty_table_passes_and_says_so() -> None:
    result = to_check_result(MATRIX_CHECK, [])
    assert result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.description == "the table is empty"


def test_a_warning_does_not_block() -> None:
    (evaluation,) = to_evaluations([replace(FAILING, severity="WARN")])
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert not evaluation.blocking


def test_a_table_that_is_no_asset_has_no_evaluation() -> None:
    assert to_evaluations([replace(FAILING, table_id=LOADS.id, timeframe=None)]) == []


def test_a_whole_tables_message_names_the_table() -> None:
    result = replace(FAILING, root="", timeframe=None, table_id=LOADS.id)
    assert result.message == "ops.loads: 2 duplicate bars, expected none"


def test_warning_says_so_in_its_text_and_an_error_does_not() -> None:
    (warning,) = to_evaluations([replace(FAILING, severity="WARN")])
    assert warning.description == "Warning: ZL|1h: 2 duplicate bars, expected none"
    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)
    (passing,) = to_evaluations([replace(PASSING, severity="WARN")])
    assert passing.description == "ZS|1h: 0 duplicate bars, expected none"


def test_each_light_is_a_check_whose_message_is_its_reason() -> None:
    amber = Reason("amber", "data through 2025-03-31 (ZL 1h), 20 months behind", "cbi plan")
    lights = Lights(
        Light("load", (Reason("green", "8 bars loaded", "cbi load"),)),
        Light("download", (Reason("red", "no key is set", "cbi plan"), amber)),
        Light("train", (amber,)),
        None,
    )
    found = [
        (e.check_name, e.passed, e.severity.value, e.description)
        for e in lights_to_evaluations(lights)
    ]
    assert found == [
        ("may_load", True, "WARN", "8 bars loaded. Next: cbi load"),
        ("may_download", False, "ERROR", "no key is set. Next: cbi plan"),
        ("may_train", False, "WARN", f"Warning: {amber.text}. Next: cbi plan"),
    ]
    results = [(r.check_name, r.passed, r.description) for r in lights_to_check_results(lights)]
    assert results == [(name, passed, text) for name, passed, _, text in found]
    shown = values(lights_metadata(lights))
    assert "| download | red | no key is set | `cbi plan` |" in str(shown["lights"])
    assert shown["data"] == "no bars yet"
