"""daily_ml_matrix_flat has every field of the matrix once, as a scalar column."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest

from cbi_assets.session import Project
from cbi_assets.tables import DAILY_ML_MATRIX, DAILY_ML_MATRIX_FLAT, TableSpec
from cbi_assets.tables.spec import Column, struct
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import open_warehouse

DAY = dt.date(2025, 1, 7)
NOON = dt.datetime(2025, 1, 7, 12, tzinfo=dt.UTC)


def test_flat_columns_are_scalar_and_named_after_their_struct() -> None:
    names = DAILY_ML_MATRIX_FLAT.column_names
    assert len(set(names)) == len(names)
    assert {"symbol", "data_date", "pivots_P", "golden_zone_swing_high"} <= set(names)
    assert not [c.name for c in DAILY_ML_MATRIX_FLAT.columns if "<" in c.type]
    # regime.name would be regime_name, which the matrix has already
    fields = sum(len(column.fields) or 1 for column in DAILY_ML_MATRIX.columns)
    assert len(names) == fields - 1


def matrix_row() -> pl.DataFrame:
    row: dict[str, object] = dict.fromkeys(DAILY_ML_MATRIX.column_names)
    row |= {"symbol": "ZL", "data_date": DAY, "timestamp": NOON, "ingestion_ts": NOON}
    row["market_data"] = dict.fromkeys(DAILY_ML_MATRIX.field_names("market_data"), None)
    row["pivots"] = {"P": 41.5, "price_above_P": True}
    row["regime"], row["regime_name"] = {"name": "calm", "weight": 2.0}, "calm"
    row["source"] = {"price_source": "x", "load_ids": ["L1", "L2"]}
    return pl.DataFrame([row], schema=DAILY_ML_MATRIX.polars_schema)


@pytest.mark.both_warehouses(quick=True)
def test_view_reads_the_fields_of_the_matrix(project: Project) -> None:
    names = ", ".join(DAILY_ML_MATRIX.column_names)
    with open_warehouse(project) as warehouse:
        staged = warehouse.stage_frame("rows", matrix_row())
        insert = f"INSERT INTO `{DAILY_ML_MATRIX.id}` ({names}) SELECT {names} FROM `{staged}`"
        warehouse.transact([Statement(insert)])
        (row,) = warehouse.query(f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}`").to_dicts()
    assert list(row) == list(DAILY_ML_MATRIX_FLAT.column_names)
    expected = {
        "symbol": "ZL",
        "data_date": DAY,
        "timestamp": NOON,
        "pivots_P": 41.5,
        "pivots_price_above_P": True,
        "pivots_R1": None,
        "regime_name": "calm",
        "regime_weight": 2.0,
        "source_load_ids": "L1 L2",
    }
    assert {name: row[name] for name in expected} == expected


def test_duckdb_describes_the_columns_and_replaces_a_view_that_differs(project: Project) -> None:
    symbol = Column("symbol", "STRING", "root")
    query = f"SELECT symbol FROM `{DAILY_ML_MATRIX.id}`"
    old = replace(DAILY_ML_MATRIX_FLAT, columns=(symbol,), query=query)
    comment = (
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'daily_ml_matrix_flat' "
        "AND column_name = 'pivots_P'"
    )
    with open_warehouse(project) as warehouse:
        warehouse.create_tables([old])
        assert warehouse._connection.execute(comment).fetchall() == []  # type: ignore[attr-defined]
    with open_warehouse(project) as warehouse:
        found = warehouse._connection.execute(comment).fetchall()  # type: ignore[attr-defined]
    assert found == [("pivot: (H+L+C)/3 of the prior trade date (native units of the root)",)]


def test_view_stays_as_it_is_if_its_table_lacks_a_field(project: Project) -> None:
    """A home whose matrix an earlier version made still opens; `cbi build` says what to do."""
    columns = (Column("symbol", "STRING", "root"), struct("x", "x", (Column("y", "DATE", "y"),)))
    wider = TableSpec("features", "daily_ml_matrix", "later", columns, ("symbol",))
    view = replace(DAILY_ML_MATRIX_FLAT, name="wider_flat", reads=wider)
    with open_warehouse(project) as warehouse:
        warehouse.create_tables([view])
        assert warehouse.live_table(view) is None
