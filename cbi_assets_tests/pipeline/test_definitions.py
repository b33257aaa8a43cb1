"""The definitions load in Dagster, and the project's dagster.yaml configures the instance."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from cbi_assets.checks import CHECKS
from cbi_assets.config.universe import load_universe
from cbi_assets.definitions import defs
from cbi_assets.pipeline.asset_checks import ASSET_CHECKS
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.instance import open_instance, prepare_instance, project_file
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.session import Project
from cbi_assets.tables import (
    BUILT,
    DERIVED,
    FOLDS,
    MACRO_OBSERVATIONS,
    RAW,
    TRAINING,
    YAHOO_BRIDGE,
)


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


def test_asset_keys_are_the_tables_names() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {
        "drive/inventory",
        "raw/databento_ohlcv",
        "market_data/databento_futures_ohlcv_1d",
        "market_data/databento_futures_ohlcv_1h",
        "market_data/databento_futures_ohlcv_1m",
        "market_data/futures_ohlcv_5m",
        "market_data/futures_ohlcv_15m",
        "market_data/futures_ohlcv_30m",
        "market_data/futures_ohlcv_4h",
        "market_data/yahoo_zl_historical_2000_2010",
        "raw_intelligence/macro_observations",
        "market_data/futures_sessions_1d",
        "market_data/roll_calendar",
        "market_data/databento_futures_continuous_1d",
        "features/daily_ml_matrix",
        *(f"training/{name}" for name in TRAINING),
        "training/folds",
        "downloads/spec",
        "audit/report",
    }


def test_partitions_are_roots_and_timeframes() -> None:
    graph = defs.resolve_asset_graph()
    raw = graph.get(RAW_KEY).partitions_def
    assert raw is not None
    assert raw.get_num_partitions() == 3 * len(load_universe().roots)
    assert "ZL|1h" in raw.get_partition_keys()
    hourly = graph.get(table_key(RAW["1h"].id)).partitions_def
    assert hourly is not None
    assert set(hourly.get_partition_keys()) < set(raw.get_partition_keys())


def test_every_check_of_an_asset_is_defined_and_errors_block() -> None:
    specs = [spec for definition in ASSET_CHECKS for spec in definition.check_specs]
    found = {(spec.asset_key, spec.name): spec for spec in specs}
    assert len(found) == len(specs)
    assets = {
        table.id
        for table in (
            *RAW.values(),
            *DERIVED.values(),
            *BUILT,
            MACRO_OBSERVATIONS,
            YAHOO_BRIDGE,
            *TRAINING.values(),
            FOLDS,
        )
    }
    for check in CHECKS:
        if check.table.id in assets:
            spec = found.pop((table_key(check.table.id), check.name))
            assert spec.blocking == (check.severity == "ERROR" and not check.of_build)
            assert spec.description == check.sentence
            assert (spec.partitions_def is not None) == (check.timeframe is not None)
    assert not found


def test_every_step_that_opens_the_warehouse_is_in_its_pool() -> None:
    opened = [*(defs.assets or ()), *(defs.asset_checks or ())]
    for definition in opened:
        assert isinstance(definition, dg.AssetsDefinition)
        assert definition.op.pool == POOL
    loading = defs.resolve_job_def("load_drive").graph.node_dict["load_partitions"].definition
    assert isinstance(loading, dg.OpDefinition)
    assert loading.pool == POOL


def test_dagster_yaml_configures_the_instance(
    instance: dg.DagsterInstance, project: Project
) -> None:
    concurrency = instance.get_concurrency_config()
    assert concurrency.pool_config.pool_granularity is not None
    assert concurrency.pool_config.pool_granularity.value == "op"
    assert concurrency.pool_config.default_pool_limit == 1
    assert instance.get_settings("telemetry") == {"enabled": False}
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
    assert instance.run_monitoring_enabled


@pytest.mark.full
def test_dagsters_state_is_only_in_the_home(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(project.home.dagster)
    with open_instance(project.home) as instance:
        instance.get_runs()
        assert not instance.is_ephemeral
        assert instance.root_directory == str(project.home.dagster)
    databases = list(project.home.dagster.rglob("*.db"))
    assert databases
    assert set(tmp_path.rglob("*.db")) == set(databases)


def test_prepare_instance_overwrites_a_changed_dagster_yaml(project: Project) -> None:
    home = prepare_instance(project.home)
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare_instance(project.home)
    wanted = project_file("dagster.yaml").read_text()
    assert (home / "dagster.yaml").read_text() == wanted
