"""downloads/spec in Dagster, and the sensor that requests a plan for stale bars."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.downloads.plan_model import Plan
from cbi_assets.pipeline.downloads.proposals import stale_bars
from cbi_assets.pipeline.downloads.spec_asset import SPEC_KEY, SpecConfig, spec
from cbi_assets.pipeline.resources import Clock
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.helpers import bars, dbn_file, load_once, put_job, query

MONDAY = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)


def load_monday(drive: Path, project: Project) -> None:
    """Publish ZL's hours of Monday 2025-01-06."""
    put_job(drive, {"a.dbn.zst": dbn_file(bars(20, start=MONDAY))})
    load_once(project)


def tick(
    instance: dg.DagsterInstance, resources: dict[str, Any], now: str, cursor: str = ""
) -> Any:
    resources = resources | {"clock": Clock(fixed=now)}
    with dg.build_sensor_context(
        instance=instance, cursor=cursor or None, resources=resources
    ) as context:
        return stale_bars(context)


@pytest.mark.full
def test_spec_makes_saves_and_shows_a_plan(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, drive: Path
) -> None:
    load_monday(drive, project)
    result = dg.materialize([spec], instance=instance, resources=resources)
    (event,) = result.asset_materializations_for_node(spec.op.name)
    shown = {name: value.value for name, value in event.metadata.items()}
    saved = Plan.load(project.home.plans / f"{shown['plan'][:12]}.json")
    assert saved.plan_hash == shown["plan"]
    assert (shown["requests"], shown["figures"]) == (len(saved.requests), "estimated")
    assert "| ZL | 1m | 1 |" in shown["by root and timeframe"]
    assert Path(shown["page"]).read_text().startswith("# Databento download spec")
    # nothing was approved
    assert query(project, "SELECT * FROM `ops.approvals`").is_empty()


def test_spec_plans_only_the_newest_days_if_configured(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, drive: Path
) -> None:
    load_monday(drive, project)
    config = dg.RunConfig({SPEC_KEY.to_python_identifier(): SpecConfig(newest_only=True)})
    result = dg.materialize([spec], instance=instance, resources=resources, run_config=config)
    assert result.success
    (path,) = project.home.plans.glob("*.json")
    # the tests' clock is Friday 2025-01-10: through Thursday
    assert [(r.root, r.schema, str(r.start), str(r.end)) for r in Plan.load(path).requests] == [
        ("ZL", "ohlcv-1h", "2025-01-07", "2025-01-10")
    ]


def test_stale_bars_requests_a_plan_once_per_trade_date(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, drive: Path
) -> None:
    load_monday(drive, project)
    # 7, 8, 9 and 10 January: four trade dates, still fresh
    fresh = tick(instance, resources, "2025-01-11T12:00:00+00:00")
    assert isinstance(fresh, dg.SkipReason)
    # and Monday the 13th: five
    found = tick(instance, resources, "2025-01-14T12:00:00+00:00")
    (request,) = found.run_requests
    assert (request.job_name, request.run_key) == ("propose_downloads", "proposal-2025-01-13")
    assert request.run_config["ops"][SPEC_KEY.to_python_identifier()]["config"]["newest_only"]
    assert found.cursor == "2025-01-13"
    again = tick(instance, resources, "2025-01-14T13:00:00+00:00", found.cursor)
    assert isinstance(again, dg.SkipReason)
    next_day = tick(instance, resources, "2025-01-15T13:00:00+00:00", found.cursor)
    assert next_day.cursor == "2025-01-14"


def test_stale_bars_ignores_unpublished_series(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    assert isinstance(tick(instance, resources, "2025-01-14T12:00:00+00:00"), dg.SkipReason)


def test_stale_bars_skips_while_the_home_is_in_use(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    with exclusive_lock(project.home):
        found = tick(instance, resources, "2025-01-14T12:00:00+00:00")
    assert isinstance(found, dg.SkipReason)
    assert "still running" in str(found.skip_message)
