"""Fingerprints are equal for equal rows on both warehouses, and differ for any others."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbi_assets.session import Project
from cbi_assets.tables import Column, TableSpec, struct
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.fingerprint import Fingerprint, fingerprint, spans, within
from cbi_assets_tests.helpers import open_warehouse

PAIR = (Column("a", "FLOAT64", "a number"), Column("b", "STRING", "a word"))
NUMBERS = TableSpec(
    dataset="ops",
    name="fingerprints",
    description="for a test",
    columns=(
        Column("moment", "TIMESTAMP", "an instant"),
        Column("day", "DATE", "a day", required=False),
        Column("price", "FLOAT64", "a float", required=False),
        struct("pair", "two", PAIR, required=False),
        Column("names", "ARRAY<STRING>", "many", required=False),
        Column("is_valid", "BOOL", "yes or no", required=False),
        Column("size", "INT64", "a whole number", required=False),
    ),
    key=("moment",),
    partition_by="moment",
)
FIRST = dt.datetime(2024, 12, 31, 23, tzinfo=dt.UTC)
LATER = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
SCHEMA = {
    "moment": pl.Datetime("us", "UTC"),
    "day": pl.Date,
    "price": pl.Float64,
    "pair": pl.Struct({"a": pl.Float64, "b": pl.String}),
    "names": pl.List(pl.String),
    "is_valid": pl.Boolean,
    "size": pl.Int64,
}


def row(moment: dt.datetime = FIRST, **values: Any) -> dict[str, Any]:
    defaults = {
        "day": dt.date(2025, 1, 2),
        "price": 45.01,
        "pair": {"a": -37.63, "b": "x"},
        "names": ["ZL", "ZS"],
        "is_valid": True,
        "size": 7,
    }
    return {"moment": moment} | defaults | values


def of_rows(warehouse: Warehouse, rows: list[dict[str, Any]]) -> dict[dt.date | None, Fingerprint]:
    staged = warehouse.stage_frame("rows", pl.DataFrame(rows, schema=SCHEMA))
    names = ", ".join(NUMBERS.column_names)
    warehouse.transact(
        [
            Statement(f"DELETE FROM `{NUMBERS.id}` WHERE TRUE"),
            Statement(f"INSERT INTO `{NUMBERS.id}` ({names}) SELECT {names} FROM `{staged}`"),
        ]
    )
    return fingerprint(warehouse, NUMBERS)


@pytest.fixture
def opened(project: Project) -> Iterator[Warehouse]:
    with open_warehouse(project) as warehouse:
        warehouse.create_tables([NUMBERS])
        yield warehouse


def by_hand(value: float) -> str:
    """Write a float as the fingerprint does, with Python's exact arithmetic."""
    parts = []
    rest, scale = value, 2.0**20
    for _ in range(3):
        rest *= scale
        parts.append(str(math.trunc(rest)))
        rest, scale = rest - math.trunc(rest), 2.0**40
    return ".".join(parts)


def hashed(texts: list[str]) -> Fingerprint:
    digests = [hashlib.md5(text.encode()).hexdigest() for text in texts]
    return Fingerprint(
        len(texts),
        reduce(xor, (int(digest[:15], 16) for digest in digests)),
        sum(int(digest[15:22], 16) for digest in digests),
    )


@pytest.mark.both_warehouses
def test_fingerprint_matches_hashes_computed_by_hand(opened: Warehouse) -> None:
    floats = [45.01, 0.1, -37.63, 1e-9, 9_007_199.25, 123456.789e-9, 2.0**42 + 0.5]
    rows = [row(FIRST + dt.timedelta(minutes=n), price=value) for n, value in enumerate(floats)]
    found = of_rows(opened, [*rows, row(LATER, day=None, names=None, is_valid=False, size=None)])
    # 2024-12-31 23:00 is 1735686000 s after 1970, 2025-01-02 is day 20090
    pair = f"{by_hand(-37.63)};1:x;"
    texts = [
        f"{1_735_686_000_000_000 + n * 60_000_000};20090;{by_hand(value)};{pair}aZL,ZS;t;7;"
        for n, value in enumerate(floats)
    ]
    later = f"1735689600000000;n;{by_hand(45.01)};{pair}a;f;n;"
    assert found == {dt.date(2024, 12, 1): hashed(texts), dt.date(2025, 1, 1): hashed([later])}


@pytest.mark.parametrize("months", [1, 12])
def test_spans_contain_a_row_at_the_start_of_a_month_once(opened: Warehouse, months: int) -> None:
    of_rows(opened, [row(FIRST), row(LATER)])
    sql = f"SELECT COUNT(*) AS n FROM `{NUMBERS.id}` {within(NUMBERS)}"
    counts = [opened.query(sql, s).item() for s in spans(opened, NUMBERS, NUMBERS.id, months)]
    assert counts == [1, 1]


def test_spans_leave_out_months_without_rows(opened: Warehouse) -> None:
    of_rows(opened, [row(FIRST), row(LATER.replace(month=6))])
    found = [span["first"] for span in spans(opened, NUMBERS, NUMBERS.id, 1)]
    assert found == [FIRST.replace(day=1, hour=0), LATER.replace(month=6)]


def test_fingerprint_ignores_row_order(opened: Warehouse) -> None:
    rows = [row(FIRST + dt.timedelta(minutes=n), size=n) for n in range(5)]
    assert of_rows(opened, rows) == of_rows(opened, rows[::-1])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("value", "other"),
    [
        ({"price": 45.01}, {"price": math.nextafter(45.01, 46)}),
        ({"price": 1e-6}, {"price": math.nextafter(1e-6, 1)}),
        ({"price": None}, {"price": 0.0}),
        ({"size": None}, {"size": 0}),
        ({"is_valid": None}, {"is_valid": False}),
        ({"pair": {"a": None, "b": "x"}}, {"pair": {"a": 0.0, "b": "x"}}),
        ({"pair": {"a": 1.0, "b": ""}}, {"pair": {"a": 1.0, "b": None}}),
        ({"names": ["ZL"]}, {"names": []}),
        ({"day": dt.date(2025, 1, 2)}, {"day": dt.date(2025, 1, 3)}),
        ({"moment": FIRST}, {"moment": FIRST + dt.timedelta(microseconds=1)}),
    ],
)
def test_fingerprint_differs_for_any_other_value(
    opened: Warehouse, value: dict[str, Any], other: dict[str, Any]
) -> None:
    assert of_rows(opened, [row(**value)]) != of_rows(opened, [row(**other)])


def test_fingerprint_of_a_row_twice_differs_from_none(opened: Warehouse) -> None:
    assert of_rows(opened, [row(), row()]) != of_rows(opened, [])


def test_fingerprint_ignores_columns_left_out(opened: Warehouse) -> None:
    of_rows(opened, [row(size=1)])
    one = fingerprint(opened, NUMBERS, leave_out=("size",))
    of_rows(opened, [row(size=2)])
    assert fingerprint(opened, NUMBERS, leave_out=("size",)) == one


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-(2.0**42), 2.0**42, allow_subnormal=False))
def test_float_parts_hold_every_bit(value: float) -> None:
    parts = [int(part) for part in by_hand(value).split(".")]
    whole = sum(part * scale for part, scale in zip(parts, (2**80, 2**40, 1), strict=True))
    assert abs(whole / 2**100 - value) <= 2.0**-100
