"""Column lineage: complete, and consistent with the tables' columns and the assets' graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
import pytest

from cbi_assets.config.macro import load_macro
from cbi_assets.config.sources import load_sources
from cbi_assets.definitions import defs
from cbi_assets.load.staging.layouts import is_bridge, observe
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, RAW_KEY, table_key
from cbi_assets.tables import (
    BUILT,
    DAILY_ML_MATRIX,
    DERIVED,
    FOLDS,
    MACRO_OBSERVATIONS,
    RAW,
    TRAINING,
    YAHOO_BRIDGE,
    TableSpec,
)
from cbi_assets.tables.lineage import FILES, LINEAGE, LOADED, OTHER_ORIGINS

TABLES = (
    *RAW.values(),
    *DERIVED.values(),
    *BUILT,
    MACRO_OBSERVATIONS,
    YAHOO_BRIDGE,
    *TRAINING.values(),
    FOLDS,
)
COLUMNS = {spec.id: set(spec.column_names) for spec in TABLES} | {
    LOADED: set(RAW["1h"].column_names)
}
RAW_IDS = {spec.id for spec in RAW.values()}
by_table = pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)


def test_every_table_of_an_asset_has_lineage() -> None:
    named = {
        key for key in defs.resolve_asset_graph().get_all_asset_keys()
        if "dagster/table_name" in defs.resolve_asset_graph().get(key).metadata
    }  # fmt: skip
    assert named == {table_key(table) for table in LINEAGE}


@by_table
def test_every_column_has_sources_or_another_origin(spec: TableSpec) -> None:
    made, other = set(LINEAGE[spec.id]), set(OTHER_ORIGINS.get(spec.id, {}))
    assert made | other == set(spec.column_names)
    assert not made & other
    assert all(names for line in LINEAGE[spec.id].values() for names in line.values())


@by_table
def test_every_source_column_exists(spec: TableSpec) -> None:
    for column, line in LINEAGE[spec.id].items():
        assert line, column
        for table, names in line.items():
            assert len(set(names)) == len(names)
            if table != FILES:
                assert set(names) <= COLUMNS[table], (column, table)


@by_table
def test_every_source_table_is_upstream(spec: TableSpec) -> None:
    graph = defs.resolve_asset_graph()
    found = dg.AssetSelection.assets(table_key(spec.id)).upstream().resolve(graph)
    for line in LINEAGE[spec.id].values():
        assert {table_key(table) for table in line} <= found - {table_key(spec.id)}


@by_table
def test_every_parent_asset_is_a_source(spec: TableSpec) -> None:
    used = {table_key(table) for line in LINEAGE[spec.id].values() for table in line}
    graph = defs.resolve_asset_graph()
    parents = set(graph.get(table_key(spec.id)).parent_keys)
    if spec is DAILY_ML_MATRIX:
        # the matrix reads the calendar's contracts, which are computed from the sessions
        parents -= {table_key("market_data.roll_calendar")}
    assert parents <= used


def test_files_and_loaded_partitions_are_assets() -> None:
    assert (table_key(FILES), table_key(LOADED)) == (INVENTORY_KEY, RAW_KEY)


def origins(table: str, column: str) -> Iterator[tuple[str, str]]:
    """Yield where a column's lineage ends: at raw tables, at staging's, or nowhere."""
    if table in RAW_IDS or table in (MACRO_OBSERVATIONS.id, YAHOO_BRIDGE.id):
        yield table, column
        return
    for source, names in LINEAGE[table].get(column, {}).items():
        for name in names:
            yield from origins(source, name)


@pytest.mark.parametrize("column", [n for n in DAILY_ML_MATRIX.column_names if n != "ingestion_ts"])
def test_matrix_columns_lead_back_to_raw_bars_or_observations(column: str) -> None:
    ends = {table for table, _ in origins(DAILY_ML_MATRIX.id, column)}
    assert ends
    if column in ("macro", "policy"):
        assert ends == {MACRO_OBSERVATIONS.id}
    elif column == "relations":  # the dollar is a series
        assert ends == {*RAW_IDS, MACRO_OBSERVATIONS.id}
    else:
        assert ends <= RAW_IDS  # and so no price from Yahoo


def test_prices_lead_back_to_prices() -> None:
    ends = set(origins(DAILY_ML_MATRIX.id, "crush"))
    assert ends == {(table, "close") for table in RAW_IDS}
    (yahoo,) = {end for end in origins(BUILT[2].id, "close") if end[0] == YAHOO_BRIDGE.id}
    assert yahoo[1] == "close"


def test_staging_sources_are_the_columns_that_identify_its_layouts() -> None:
    found = {
        name
        for line in LINEAGE[MACRO_OBSERVATIONS.id].values()
        for names in line.values()
        for name in names
    }
    declared = load_sources().staging.declared

    def layout(*columns: str) -> str:
        frame = pl.DataFrame({name: ["2025-01-02"] for name in columns if name in found})
        return observe("file.parquet", frame, declared)[0]

    wanted = {
        "indicators": ("time", "indicator", "value", "source_name"),
        "currency": ("date", "from_currency", "to_currency", "rate", "source_name"),
        "cot": ("report_date", "contract_code", "open_interest", "source_name"),
    }
    used = {o.layout for series in load_macro().series.values() for o in series.origins}
    for name in used & {"indicators", "currency", "cot"}:
        assert layout(*wanted[name]) == name
    for known in declared:
        assert known.date in found
    bridge = [
        n for line in LINEAGE[YAHOO_BRIDGE.id].values() for names in line.values() for n in names
    ]
    assert is_bridge(pl.DataFrame({name: [1.0] for name in bridge}), load_sources().stitch)


@by_table
def test_asset_shows_its_lineage_without_a_run(spec: TableSpec) -> None:
    metadata: dict[str, Any] = dict(defs.resolve_asset_graph().get(table_key(spec.id)).metadata)
    shown = metadata["dagster/column_lineage"].deps_by_column
    assert set(shown) == set(LINEAGE[spec.id])
    for column, deps in shown.items():
        assert {(dep.asset_key, dep.column_name) for dep in deps} == {
            (table_key(table), name)
            for table, names in LINEAGE[spec.id][column].items()
            for name in names
        }
    in_words = metadata["column sources"].value
    assert all(f"| {name} | " in in_words for name in spec.column_names)
    listed = {column.name for column in metadata["dagster/column_schema"].columns}
    assert set(spec.column_names) <= listed
    assert all(
        f"{column.name}.{field.name}" in listed
        for column in spec.columns
        for field in column.fields
    )
