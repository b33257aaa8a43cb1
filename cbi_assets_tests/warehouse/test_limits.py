"""The warehouse at 100 million bars stays within BigQuery's published limits (docs/bigquery.md).

Counts are computed from the tables' specs; nothing is loaded.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pytest

from cbi_assets.load.copy_tables import COPIED
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.tables import ALL_TABLES, BUILT, Column, TableSpec
from cbi_assets.warehouse.bigquery.bigquery_warehouse import STAGING
from cbi_assets.warehouse.bigquery.query_jobs import LABELS

FIRST, LAST = dt.date(2000, 1, 1), dt.date(2040, 12, 31)
"""Yahoo's first year of ZL, and one later than the project is meant for."""

MONTHS = (LAST.year - FIRST.year + 1) * 12

LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def columns_of(columns: tuple[Column, ...]) -> Iterator[Column]:
    for column in columns:
        yield column
        yield from columns_of(column.fields)


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda spec: spec.id)
def test_table_is_within_the_limits_of_a_table(spec: TableSpec) -> None:
    columns = list(columns_of(spec.columns))
    assert len(columns) <= 10_000
    assert all(len(column.name) <= 300 for column in columns)
    assert all(len(f"{c.description} ({c.unit})") <= 1_024 for c in columns)
    assert len(spec.description) <= 16_384
    assert len(spec.cluster_by) <= 4
    assert len(spec.labels) <= 64
    for name, value in {**spec.labels, **LABELS}.items():
        assert LABEL.fullmatch(name)
        assert re.fullmatch(r"[a-z0-9_-]{0,63}", value)


def test_partitions_are_within_the_limits_of_a_table_and_a_job() -> None:
    # one partition a month, whatever the number of bars
    assert MONTHS <= 10_000
    assert MONTHS <= 4_000


def test_transactions_are_within_the_limits_of_tables_and_partitions() -> None:
    # a copy is the largest: each table, its staged table, and the ledger's version
    assert 2 * len(COPIED) + 1 <= 100
    modified = sum(MONTHS if spec.partition_by else 1 for spec in COPIED)
    assert modified <= 100_000
    # a load of everything: bars of each timeframe, five books and six staged tables each
    assert len(TIMEFRAMES) * (1 + 6) + 5 <= 100
    assert 2 * len(BUILT) + 1 <= 100


def test_ids_are_within_their_grammar() -> None:
    owner, digest, longest = "0" * 16, "0" * 16, "copy_" + "x" * 60
    table = f"{owner}_{longest}_{digest}"
    job = f"cbi-{table}-20260101000000000000-{digest}-999"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", job)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,1024}", f"{STAGING}{table}")
