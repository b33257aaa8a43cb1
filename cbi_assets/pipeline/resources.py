"""Resources: the project as its settings say, and the clock."""

import datetime as dt
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import dagster as dg

from cbi_assets.ledger.pending_events import Partition, Unreported
from cbi_assets.load.load import LoadOutcome, load
from cbi_assets.project import Project


class ProjectResource(dg.ConfigurableResource[None]):
    """Opens the project from the environment or `.env`; BigQuery by the resource beside it."""

    # pipeline.bigquery.BigQuery, which is not imported here: see there
    bigquery: dg.ResourceDependency[Any]

    def get(self) -> Project:
        """The project."""
        project = Project()
        if project.settings.cbi_warehouse == "bigquery":
            return replace(project, bigquery=self.bigquery.options(project.settings))
        return project

    def load(
        self,
        now: dt.datetime,
        partitions: Collection[Partition] | None,
        log: dg.DagsterLogManager,
    ) -> LoadOutcome:
        """Hold the home and load; partitions that were asked for are checked in any case."""
        project = self.get()
        with project.hold(told=log.info):
            Unreported(project.home).add(partitions or ())
            return load(project, now=now, partitions=partitions, tell=log.info)


class Clock(dg.ConfigurableResource[None]):
    """The clock, an argument of everything that needs one."""

    fixed: str | None = None

    def now(self) -> dt.datetime:
        """The instant `fixed` names, else the present one, UTC."""
        if self.fixed:
            return dt.datetime.fromisoformat(self.fixed)
        return dt.datetime.now(dt.UTC)
