"""The definitions load as Dagster loads them, and the project's dagster.yaml governs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from cbi_assets.checks import MATRIX_CHECKS, RAW_CHECKS, TABLE_CHECK
from cbi_assets.definitions import defs
from cbi_assets.pipeline.assets.drive import POOL
from cbi_assets.pipeline.checks import ALL_CHECKS
from cbi_assets.pipeline.instance import prepare_instance, project_file
from cbi_assets.pipeline.reporting import RAW_KEY, table_key
from cbi_assets.project import Project
from cbi_assets.warehouse.tables import DAILY_ML_MATRIX, RAW


def test_dagster_validates_the_workspace(project: Project) -> None:
    environment = dict(os.environ, DAGSTER_HOME=str(prepare_instance(project.home)))
    command = ["definitions", "validate", "-w", str(project_file("workspace.yaml"))]
    found = subprocess.run(
        [sys.executable, "-m", "dagster", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "All code locations passed validation." in found.stderr + found.stdout


def test_the_assets_follow_the_tables_names() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {
        "drive/inventory",
        "raw/databento_ohlcv",
        "market_data/databento_futures_ohlcv_1d",
        "market_data/databento_futures_ohlcv_1h",
        "market_data/databento_futures_ohlcv_1m",
        "features/daily_ml_matrix",
    }


def test_a_partition_is_a_root_and_a_timeframe() -> None:
    graph = defs.resolve_asset_graph()
    raw = graph.get(RAW_KEY).partitions_def
    assert raw is not None
    assert raw.get_num_partitions() == 32 * 3
    assert "ZL|1h" in raw.get_partition_keys()
    hourly = graph.get(table_key(RAW["1h"].id)).partitions_def
    assert hourly is not None
    assert set(hourly.get_partition_keys()) < set(raw.get_partition_keys())


def test_every_check_is_there_and_errors_block() -> None:
    found = {}
    for definition in ALL_CHECKS:
        for spec in definition.check_specs:
            found[spec.asset_key, spec.name] = spec
    for check in RAW_CHECKS:
        for table in RAW.values():
            spec = found.pop((table_key(table.id), check.name))
            assert spec.blocking == (check.severity == "ERROR")
            assert spec.partitions_def is not None
            assert spec.description == check.sentence
    for check in MATRIX_CHECKS:
        assert found.pop((table_key(DAILY_ML_MATRIX.id), check.name)).blocking
    for table in (*RAW.values(), DAILY_ML_MATRIX):
        assert found.pop((table_key(table.id), TABLE_CHECK.name)).blocking
    assert not found


def test_whatever_opens_the_warehouse_is_in_its_pool() -> None:
    opened = [*(defs.assets or ()), *(defs.asset_checks or ())]
    for definition in opened:
        assert isinstance(definition, dg.AssetsDefinition)
        assert definition.op.pool == POOL
    loading = defs.resolve_job_def("load_drive").graph.node_dict["load_partitions"].definition
    assert isinstance(loading, dg.OpDefinition)
    assert loading.pool == POOL


def test_dagster_yaml_governs(instance: dg.DagsterInstance, project: Project) -> None:
    concurrency = instance.get_concurrency_config()
    assert concurrency.pool_config.pool_granularity is not None
    assert concurrency.pool_config.pool_granularity.value == "op"
    assert concurrency.pool_config.default_pool_limit == 1
    assert instance.get_settings("telemetry") == {"enabled": False}
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
    assert instance.run_monitoring_enabled


def test_all_of_dagsters_state_lies_under_the_home(
    instance: dg.DagsterInstance, project: Project, tmp_path: Path
) -> None:
    instance.get_runs()
    assert not instance.is_ephemeral
    assert instance.root_directory == str(project.home.dagster)
    databases = list(project.home.dagster.rglob("*.db"))
    assert databases
    assert set(tmp_path.rglob("*.db")) == set(databases)


def test_a_changed_dagster_yaml_is_copied_again(project: Project) -> None:
    home = prepare_instance(project.home)
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare_instance(project.home)
    wanted = project_file("dagster.yaml").read_text()
    assert (home / "dagster.yaml").read_text() == wanted
