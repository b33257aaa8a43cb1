"""The derived tables as assets: one partition per root, downstream of the raw tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets import verbs
from cbi_assets.config.universe import load_universe
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.built.derived_assets import DERIVED_TABLES
from cbi_assets.pipeline.raw.table_assets import RAW_TABLES
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DERIVED, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, load_once, query
from cbi_assets_tests.load.lines import put_lines, record


@pytest.fixture
def materialize(instance: dg.DagsterInstance, resources: dict[str, Any]) -> Any:
    """Materialize one root of a derived table, in process, and return the metadata's values."""

    def run(timeframe: DerivedTimeframe, root: str) -> dict[str, Any]:
        result = dg.materialize(
            [DERIVED_TABLES[timeframe]],
            instance=instance,
            resources=resources,
            partition_key=root,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        (event,) = result.get_asset_materialization_events()
        assert event.partition == root
        logged = event.step_materialization_data.materialization.metadata
        return {name: value.value for name, value in logged.items()}

    return run


@pytest.mark.parametrize("timeframe", DERIVED_TIMEFRAMES)
def test_asset_has_its_tables_key_and_columns(timeframe: DerivedTimeframe) -> None:
    asset = DERIVED_TABLES[timeframe]
    assert asset.key == table_key(DERIVED[timeframe].id)
    assert asset.op.pool == POOL
    assert asset.partitions_def is not None
    assert set(asset.partitions_def.get_partition_keys()) == set(load_universe().roots)
    schema = asset.metadata_by_key[asset.key]["dagster/column_schema"]
    assert [column.name for column in schema.columns] == list(DERIVED[timeframe].column_names)


def test_root_depends_on_its_own_raw_partitions(resources: dict[str, Any]) -> None:
    assets = [*RAW_TABLES.values(), *DERIVED_TABLES.values()]
    known = dg.Definitions(assets=assets, resources=resources)
    graph = known.resolve_asset_graph()
    minutes, hours = (table_key(RAW[t].id) for t in ("1m", "1h"))
    for timeframe, asset in DERIVED_TABLES.items():
        parents = {minutes, hours} if timeframe == "4h" else {minutes}
        assert graph.get(asset.key).parent_keys == parents
    mapping = graph.get_partition_mapping(DERIVED_TABLES["4h"].key, hours)
    upstream = RAW_TABLES["1h"].partitions_def
    own = DERIVED_TABLES["4h"].partitions_def
    assert upstream is not None
    assert own is not None
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        own.subset_with_partition_keys(["ZL"]), own, upstream
    )
    assert list(found.partitions_subset.get_partition_keys()) == ["ZL|1h"]


def test_materializing_a_root_derives_its_bars_and_reports_them(
    materialize: Any, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(24), record(0, "ZS.v.0")])
    put_lines(drive, [record(place, timeframe="1m") for place in (0, 1, 5)], "m.json")
    load_once(project)
    found = materialize("4h", "ZL")
    for plot in ("bars over time", "close of the most traded symbol"):
        assert found.pop(plot).startswith("![")
    assert "| train | red | " in found.pop("lights")
    assert found == {
        "dagster/partition_row_count": 2,
        "first bar": "2025-01-06T15:00:00+00:00",
        "last bar": "2025-01-07T15:00:00+00:00",
        "trade dates": "2025-01-06 to 2025-01-07",
        "symbols": 1,
        "from 1m bars": 1,
        "from 1h bars": 1,
        "sessions derived": 2,
        "skipped": "no",
        "data": "data through 2025-01-06 (ZS 1h), 3 trade dates behind",
    }
    assert set(query(project, f"SELECT root FROM `{DERIVED['4h'].id}`")["root"]) == {"ZL"}
    # each asset fills only its own table
    assert query(project, f"SELECT root FROM `{DERIVED['5m'].id}`").is_empty()
    assert materialize("5m", "ZL")["dagster/partition_row_count"] == 2
    assert materialize("4h", "ZL")["sessions derived"] == 0


def test_materializing_a_root_without_bars_notes_it(materialize: Any, project: Project) -> None:
    found = materialize("15m", "MES")
    assert found["dagster/partition_row_count"] == 0
    assert found["note"] == "The raw tables have no bars of this root to derive these from."


@pytest.mark.full
def test_materializing_a_root_with_a_failed_check_skips_it(
    materialize: Any, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0)])
    load_once(project)
    broken = "UPDATE `market_data.databento_futures_ohlcv_1h` SET volume = -1 WHERE TRUE"
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        warehouse.transact([Statement(broken)])
        verbs.check(session, full=True)
    found = materialize("4h", "ZL")
    assert "ohlc_is_consistent on ZL|1h" in found["skipped"]
    assert found["dagster/partition_row_count"] == 0
