"""Resources: the project that the settings describe, and the clock."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg

from cbi_assets.session import WAIT_SECONDS, Project, Session, open_session


class ProjectResource(dg.ConfigurableResource[None]):
    """Opens the project from the environment or `.env`, and BigQuery through its own resource."""

    # a BigQuery of pipeline.bigquery_resource, which takes two seconds to import
    bigquery: dg.ResourceDependency[Any]

    def get(self) -> Project:
        """Return the project."""
        project = Project()
        if project.settings.cbi_warehouse == "bigquery":
            return replace(project, bigquery=self.bigquery.options(project.settings))
        return project

    @contextmanager
    def session(self, now: dt.datetime, wait: float = WAIT_SECONDS) -> Iterator[Session]:
        """Open a session on the project's home; see `open_session`."""
        with open_session(self.get(), now=now, wait=wait) as session:
            yield session


class Clock(dg.ConfigurableResource[None]):
    """The clock; everything that needs the time takes it as an argument."""

    fixed: str | None = None

    def now(self) -> dt.datetime:
        """Return the time that `fixed` gives, else the current time, UTC."""
        if self.fixed:
            return dt.datetime.fromisoformat(self.fixed)
        return dt.datetime.now(dt.UTC)
