"""Dagster's sensor and `cbi` in a separate process, on both warehouses."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.definitions import defs
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.raw.drive_sensor import new_drive_files
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets_tests.helpers import NOW
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.processes import call_cbi

pytestmark = pytest.mark.both_warehouses

HOURLY = RAW["1h"].id


@pytest.mark.full
def test_sensor_run_shows_in_dagster(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in project.settings.environment().items():
        monkeypatch.setenv(name, value)
    put_lines(drive, [record(0), record(1)])
    resources: dict[str, Any] = {
        "project": ProjectResource(bigquery=BigQuery()),
        "clock": Clock(fixed=NOW.isoformat()),
    }
    with open_instance(project.home) as instance:
        before = dict(os.environ)  # with Dagster's own settings
        cursor = None
        for _ in range(2):
            with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
                tick = new_drive_files(context)
            assert isinstance(tick, dg.SensorResult)
            cursor = tick.cursor
        (request,) = tick.run_requests or ()
        result = defs.resolve_job_def("load_drive").execute_in_process(
            run_config=request.run_config,
            instance=instance,
            resources=resources,
        )
        assert result.success
        for key in (RAW_KEY, table_key(HOURLY)):
            assert instance.get_materialized_partitions(key) == {"ZL|1h"}
        event = instance.get_latest_materialization_event(table_key(HOURLY))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        assert metadata["dagster/partition_row_count"].value == 2
        assert ("bytes billed" in metadata) == (project.settings.cbi_warehouse == "bigquery")
    assert dict(os.environ) == before


def cbi(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call_cbi(arguments, os.environ | project.settings.environment(), project.home.root)


@pytest.mark.full
def test_command_line_reports_the_outcome(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, close="11.000000000"), record(1)])
    loaded = cbi(project, "load", "--json")
    assert loaded.returncode == 1, loaded.stderr
    assert json.loads(loaded.stdout)["published"] == 2
    checked = cbi(project, "check", "--json")
    assert checked.returncode == 1, checked.stderr
    failed = [
        found["check"]
        for found in json.loads(checked.stdout)
        if not found["passed"] and found["severity"] == "ERROR"
    ]
    assert failed == ["no_overlapping_loads_disagree"]
    wrong = cbi(project, "unload", "--job", "GLBX-X", "--yes")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("cbi: --job GLBX-X: nothing of it is loaded")
    assert len(wrong.stderr.splitlines()) == 1
