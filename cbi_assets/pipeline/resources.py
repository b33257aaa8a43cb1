"""Resources: the project that the settings describe, and the clock."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import dagster as dg
from pydantic import PrivateAttr

from cbi_assets.downloads.wanted import Wanted, last_complete
from cbi_assets.downloads.wanted_memory import READS, survey_unless_known
from cbi_assets.drive.file_records import FileRecord
from cbi_assets.drive.survey import Survey
from cbi_assets.drive.walk import AreaPath
from cbi_assets.ledger.versions import ledger_version
from cbi_assets.report.lights import Lights
from cbi_assets.report.read_lights import read_lights
from cbi_assets.session import WAIT_SECONDS, Project, Session, open_session


@dataclass(frozen=True)
class _WantedInputs:
    """What the wanted ranges depend on: a step that changes none of it need not find them again."""

    project: Project
    ledger_version: int
    through: dt.date
    files: dict[AreaPath, FileRecord]

    @classmethod
    def read(cls, session: Session) -> Self:
        """Return them as they are in the session."""
        version, through = ledger_version(session.warehouse), last_complete(session.now)
        return cls(session.project, version, through, session.catalog.files())


class ProjectResource(dg.ConfigurableResource[None]):
    """Opens the project from the environment or `.env`, and BigQuery through its own resource."""

    # a BigQuery of pipeline.bigquery_resource, which takes two seconds to import
    bigquery: dg.ResourceDependency[Any]
    _wanted: tuple[_WantedInputs, Wanted] | None = PrivateAttr(default=None)

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

    def read_lights(self, session: Session, survey: Survey | None = None) -> Lights:
        """Return the lights at the session's time. `survey` is by default the drive's last scan.

        A run has one resource: its steps find what is wanted once, until something that it depends
        on has changed.
        """
        inputs = _WantedInputs.read(session)
        if self._wanted is None or self._wanted[0] != inputs:
            with session.reading_ahead(READS):
                self._wanted = (inputs, survey_unless_known(session))
        return read_lights(session, survey, self._wanted[1])


class Clock(dg.ConfigurableResource[None]):
    """The clock; everything that needs the time takes it as an argument."""

    fixed: str | None = None

    def now(self) -> dt.datetime:
        """Return the time that `fixed` gives, else the current time, UTC."""
        if self.fixed:
            return dt.datetime.fromisoformat(self.fixed)
        return dt.datetime.now(dt.UTC)
