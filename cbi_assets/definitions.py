"""Wires assets, checks, jobs, sensors and resources together; nothing else happens here."""

from __future__ import annotations

import dagster as dg

from cbi_assets.pipeline.all_assets import ALL_ASSETS
from cbi_assets.pipeline.asset_checks import ASSET_CHECKS
from cbi_assets.pipeline.audit.alert_sensors import send_alerts, send_failed_runs
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.downloads.download_job import download_plan, watch_downloads
from cbi_assets.pipeline.downloads.proposals import propose_downloads, stale_bars, top_up_downloads
from cbi_assets.pipeline.jobs import build_matrix, load_drive, load_partition
from cbi_assets.pipeline.raw.drive_sensor import new_drive_files
from cbi_assets.pipeline.resources import Clock, ProjectResource

defs = dg.Definitions(
    # A process per step would import and open everything again for every check; the pool lets one
    # step at a time use the warehouse anyway.
    executor=dg.in_process_executor,
    assets=ALL_ASSETS,
    asset_checks=ASSET_CHECKS,
    jobs=[
        load_drive,
        load_partition,
        build_matrix,
        propose_downloads,
        top_up_downloads,
        download_plan,
    ],
    sensors=[
        new_drive_files,
        stale_bars,
        watch_downloads,
        send_alerts,
        send_failed_runs,
        dg.AutomationConditionSensorDefinition("matrix_follows_bars", target="*"),
    ],
    resources={
        "bigquery": (bigquery := BigQuery()),
        "project": ProjectResource(bigquery=bigquery),
        "clock": Clock(),
    },
)
