"""downloads/spec in Dagster, and the sensor that proposes a plan for bars that grew old."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg

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


def look(
    instance: dg.DagsterInstance, resources: dict[str, Any], now: str, cursor: str = ""
) -> Any:
    resources = resources | {"clock": Clock(fixed=now)}
    with dg.build_sensor_context(
        instance=instance, cursor=cursor or None, resources=resources
    ) as context:
        return stale_bars(context)


def test_the_spec_is_made_kept_and_shown(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, drive: Path
) -> None:
    load_monday(drive, project)
    result = dg.materialize([spec], instance=instance, resources=resources)
    (event,) = result.asset_materializations_for_node(spec.op.name)
    shown = {name: value.value for name, value in event.metadata.items()}
    kept = Plan.load(project.home.plans / f"{shown['plan'][:12]}.json")
    assert kept.plan_hash == shown["plan"]
    assert (shown["requests"], shown["figures"]) == (len(kept.requests), "estimated")
    assert "| ZL | 1d, 1h, 1m |" in shown["by root"]
    assert Path(shown["page"]).read_text().startswith("# Databento download spec")
    # nobody approved anything
    assert query(project, "SELECT * FROM `ops.approvals`").is_empty()


def test_the_newest_days_alone(
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


def test_bars_that_grew_old_are_proposed_once_a_trade_date(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, drive: Path
) -> None:
    load_monday(drive, project)
    # 7, 8, 9 and 10 January: four trade dates, still fresh
    fresh = look(instance, resources, "2025-01-11T12:00:00+00:00")
    assert isinstance(fresh, dg.SkipReason)
    # and Monday the 13th: five
    found = look(instance, resources, "2025-01-14T12:00:00+00:00")
    (request,) = found.run_requests
    assert request.run_key == "proposal-2025-01-13"
    assert request.run_config["ops"][SPEC_KEY.to_python_identifier()]["config"]["newest_only"]
    assert found.cursor == "2025-01-13"
    again = look(instance, resources, "2025-01-14T13:00:00+00:00", found.cursor)
    assert isinstance(again, dg.SkipReason)
    next_day = look(instance, resources, "2025-01-15T13:00:00+00:00", found.cursor)
    assert next_day.cursor == "2025-01-14"


def test_what_was_never_published_is_not_stale(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    assert isinstance(look(instance, resources, "2025-01-14T12:00:00+00:00"), dg.SkipReason)


def test_a_home_at_work_is_a_skip(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    with exclusive_lock(project.home):
        found = look(instance, resources, "2025-01-14T12:00:00+00:00")
    assert isinstance(found, dg.SkipReason)
    assert "at work" in str(found.skip_message)
