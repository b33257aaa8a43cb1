"""A project that Dagster's resources find, and an instance of its own home."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.raw.drive_sensor import new_drive_files
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.conftest import (
    home_of_tuesday,
    published,
    vendor,
    vendor_in_settings,
)
from cbi_assets_tests.helpers import NOW
from cbi_assets_tests.pipeline.ticks import Found, Tick

__all__ = ["home_of_tuesday", "published", "vendor", "vendor_in_settings"]


@pytest.fixture(autouse=True)
def _environment(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    with open_instance(project.home) as opened:
        yield opened


@pytest.fixture
def resources(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The resources of the definitions, at the `NOW` of the test's module."""
    now: dt.datetime = getattr(request.module, "NOW", NOW)
    return {
        "project": ProjectResource(bigquery=BigQuery()),
        "clock": Clock(fixed=now.isoformat()),
    }


@pytest.fixture
def tick(instance: dg.DagsterInstance) -> Tick:
    """One tick of the sensor from a cursor, at a time of one's own."""

    def run(cursor: str | None, now: dt.datetime | None = None) -> Found:
        clock = Clock(fixed=None if now is None else now.isoformat())
        resources = {"project": ProjectResource(bigquery=BigQuery()), "clock": clock}
        with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
            found = new_drive_files(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    return run
