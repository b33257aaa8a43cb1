"""Expressions mean the same on DuckDB, through sqlglot, as by Google's reference engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cbi_assets.tables import RAW, SESSIONS
from cbi_assets_tests.googlesql.analyzer import RefusedError
from cbi_assets_tests.googlesql.meanings import compare, difference
from cbi_assets_tests.googlesql.reference import run_reference
from cbi_assets_tests.googlesql.verdicts import DISAGREEMENTS, Part, shape_of

EQUAL = r"""
7 / 2
MOD(-7, 3)
-0.0 = 0.0
CAST(CAST(0.0000005 AS NUMERIC) * 2 AS FLOAT64)
CAST(CAST(1.0000000005 AS NUMERIC) AS FLOAT64)
CAST(CAST(-1.0000000005 AS NUMERIC) AS FLOAT64)
CAST(TRUE AS STRING)
CAST(DATE '2024-01-02' AS STRING)
SAFE_CAST('x' AS INT64)
SAFE_CAST('1e3' AS FLOAT64)
TIMESTAMP_TRUNC(TIMESTAMP '1969-12-31 23:59:59.5+00', HOUR)
TIMESTAMP_TRUNC(TIMESTAMP '2024-03-10 08:30:00+00', DAY)
TIMESTAMP_ADD(TIMESTAMP '2024-03-10 08:00:00+00', INTERVAL 1 DAY)
UNIX_MICROS(TIMESTAMP '1969-12-31 23:59:59.5+00')
UNIX_DATE(DATE '1969-12-31')
DATE(TIMESTAMP '2024-03-10 04:30:00+00')
DATE_DIFF(DATE '2024-03-10', DATE '2024-03-01', DAY)
LENGTH('é')
SUBSTR('abc', -2)
'it\'s "x" \\ é'
'Z' < 'a'
'é' > 'z'
CONCAT('a', CAST(NULL AS STRING))
GREATEST(1, CAST(NULL AS INT64))
LEAST(1, CAST(NULL AS INT64), 3)
1 NOT IN (2, NULL)
IF(NULL, 1, 2)
'a\nb' LIKE 'a%b'
TO_HEX(MD5('é'))
SPLIT('', ',')[OFFSET(0)]
ARRAY_TO_STRING(CAST([] AS ARRAY<STRING>), ',')
CAST(CONCAT('0x', 'fffffffffffffff') AS INT64)
SUM(x) FROM UNNEST(CAST([] AS ARRAY<INT64>)) AS x
BIT_XOR(x) FROM UNNEST([5, 3, NULL]) AS x
COUNT(DISTINCT x) FROM UNNEST([1, NULL, 1]) AS x
LOGICAL_AND(x) FROM UNNEST([TRUE, NULL]) AS x
STRING_AGG(x, ',' ORDER BY x) FROM UNNEST(['b', NULL, 'a']) AS x
ARRAY_AGG(x IGNORE NULLS ORDER BY x) FROM UNNEST([2, NULL, 1]) AS x
x FROM UNNEST([2, NULL, 1]) AS x ORDER BY x LIMIT 1
x FROM UNNEST([2, NULL, 1]) AS x ORDER BY x DESC LIMIT 1
LAG(x) OVER (ORDER BY x) FROM UNNEST([2, NULL, 1]) AS x ORDER BY x LIMIT 1
SUM(x) OVER (ORDER BY x) FROM UNNEST([1, 1, 2]) AS x ORDER BY 1 LIMIT 1
MAX(x) FROM UNNEST(['a', 'B', 'é']) AS x
""".strip().splitlines()

BRIDGED = r"""
0.1 + 0.2 = 0.3
ROUND(2.5)
TRUNC(-2.7)
DATE_TRUNC(DATE '2024-03-10', MONTH)
DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH)
DATE_SUB(DATE '2024-03-31', INTERVAL 1 MONTH)
DATE_ADD(DATE_TRUNC(DATE '2024-03-10', MONTH), INTERVAL 1 DAY)
COUNTIF(x > 0.1 + 0.2) FROM UNNEST([0.3, NULL]) AS x
TIMESTAMP_DIFF(TIMESTAMP '2024-03-10 08:00:01+00', TIMESTAMP '2024-03-10 07:59:59+00', MINUTE)
TIMESTAMP_DIFF(TIMESTAMP '2024-03-10 07:59:59+00', TIMESTAMP '2024-03-10 08:00:01+00', MINUTE)
TIMESTAMP_DIFF(TIMESTAMP '2024-03-10 08:59:59+00', TIMESTAMP '2024-03-10 07:00:00+00', HOUR)
COUNTIF(x) FROM UNNEST([CAST(NULL AS BOOL)]) AS x
ANY_VALUE(x HAVING MAX y) FROM UNNEST([STRUCT(CAST(NULL AS INT64) AS x, 2 AS y), STRUCT(1, 1)])
ANY_VALUE(x HAVING MIN y) FROM UNNEST([STRUCT(7 AS x, CAST(NULL AS INT64) AS y), STRUCT(1, 1)])
""".strip().splitlines()


@pytest.mark.parametrize("expression", [*EQUAL, *BRIDGED])
def test_expression_means_the_same(expression: str) -> None:
    value, unnest, rest = expression.partition(" FROM UNNEST")
    assert difference(f"SELECT {value} AS v{unnest}{rest}", {}, {}, {}) is None


DIFFERENT = [
    ("CAST", "CAST(2.5 AS INT64)"),
    ("NaN", "CAST('NaN' AS FLOAT64) = CAST('NaN' AS FLOAT64)"),
    ("UNIX_SECONDS", "UNIX_SECONDS(TIMESTAMP '2024-01-02 00:00:00.6+00')"),
    ("EXTRACT", "EXTRACT(DAYOFWEEK FROM DATE '2024-03-10')"),
    ("EXTRACT", "EXTRACT(WEEK FROM DATE '2024-01-01')"),
    ("SAFE_CAST", "SAFE_CAST('1.5' AS INT64)"),
    ("SAFE_CAST", "SAFE_CAST('1_000' AS INT64)"),
    ("SAFE_CAST", "SAFE_CAST('2024-01-02 03:04:05' AS DATE)"),
    ("SUBSTR from 0", "SUBSTR('abc', 0, 2)"),
    ("FORMAT", "FORMAT('%d', 3)"),
    ("STRUCT", "STRUCT(1 AS a) = STRUCT(1)"),
    ("BIT_COUNT", "BIT_COUNT(-1)"),
    ("ANY_VALUE", "ANY_VALUE(x) FROM UNNEST([NULL, 1]) AS x"),
    ("SQRT, LN", "SQRT(-1)"),
    ("SQRT, LN", "LN(0)"),
    ("TO_JSON_STRING", "TO_JSON_STRING(9007199254740993)"),
    ("ARRAY_AGG LIMIT", "ARRAY_AGG(x ORDER BY x DESC LIMIT 1)[OFFSET(0)] FROM UNNEST([2, 3]) AS x"),
]


@pytest.mark.parametrize(("name", "expression"), DIFFERENT)
def test_engines_disagree_on_what_no_text_may_contain(name: str, expression: str) -> None:
    value, unnest, rest = expression.partition(" FROM UNNEST")
    assert difference(f"SELECT {value} AS v{unnest}{rest}", {}, {}, {}) is not None
    assert DISAGREEMENTS[name].search(expression)


def test_reference_engine_reports_a_division_by_zero() -> None:
    with pytest.raises(RefusedError, match="division by zero"):
        run_reference("SELECT 1 / 0", {}, {}, {})


def test_compare_finds_a_difference_on_generated_rows() -> None:
    tables = {"t": {"n": "INT64", "moment": "TIMESTAMP"}}
    counted = "SELECT n, COUNT(*) AS c FROM `t` WHERE n < @n GROUP BY n ORDER BY n"
    assert compare(Part(counted, {"n": "INT64"}, {"n": 2}), tables) is None
    different = Part("SELECT UNIX_SECONDS(moment) AS s FROM `t`", {}, {})
    assert "DuckDB only" in (compare(different, tables) or "")


def test_texts_that_differ_in_values_and_names_are_of_one_shape() -> None:
    first = shape_of("SELECT a -- why\nFROM `staged_0` WHERE b IN ('x', 'y') AND c > @least_1")
    assert first == shape_of("SELECT a FROM `staged_10`\nWHERE b IN ('z') AND c > @most")
    assert first != shape_of("SELECT a FROM `staged_0` WHERE b IN ('x') AND c >= @least")
    hourly, minutes, daily = (
        f"SELECT * FROM `{spec.id}`" for spec in (RAW["1h"], RAW["1m"], SESSIONS)
    )
    assert shape_of(hourly) == shape_of(minutes) != shape_of(daily)


ISSUING = (
    "build/test_derive.py",
    "build/test_training.py",
    "cli/test_every_command.py",
    "downloads/test_chain_plan.py",
    "downloads/test_published_days.py",
    "load/test_revisions.py",
    "tables/test_flat_view.py",
)
"""Tests that together issue what every SQL file contains."""


@pytest.mark.full
def test_every_sql_file_means_the_same() -> None:
    """Run tests again, and compare each shape of a text that they issue."""
    folder = Path(__file__).parents[1]
    options = ("-q", "-p", "no:cacheprovider", "-k", "not bigquery")
    command = [sys.executable, "-m", "pytest", *options, "--meanings=every-file"]
    done = subprocess.run(
        [*command, *(str(folder / name) for name in ISSUING)],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
