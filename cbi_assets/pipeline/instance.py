"""Dagster's instance of a home: its configuration, and where the project's own files are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

import cbi_assets
from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError

_PACKAGE = Path(cbi_assets.__file__).parent


def project_file(name: str) -> Path:
    """Return `dagster.yaml` or `workspace.yaml`: in the installed package, else next to it."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name


def prepare_instance(home: Home) -> Path:
    """Copy the project's dagster.yaml into the home's DAGSTER_HOME, and return that folder."""
    home.create()
    wanted = project_file("dagster.yaml").read_text()
    target = home.dagster / "dagster.yaml"
    if not target.exists() or target.read_text() != wanted:
        target.write_text(wanted)
    return home.dagster


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open the home's instance, without reading or setting DAGSTER_HOME."""
    return dg.DagsterInstance.from_config(str(prepare_instance(home)))


def inspect_instance(home: Home) -> tuple[int, dt.datetime | None]:
    """Return the number of runs, and when the daemon was last seen, UTC.

    Raises UsageError if the instance cannot be opened.
    """
    try:
        with open_instance(home) as instance:
            runs = instance.get_runs_count()
            beats = instance.get_daemon_heartbeats().values()
    except (dg.DagsterError, SQLAlchemyError, CommandError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(
            f"cannot be opened ({reason})",
            subject=str(home.dagster),
            remedy="Move that folder away: a new one is created, and only the history of runs is "
            "lost.",
        ) from None
    newest = max((beat.timestamp for beat in beats), default=None)
    return runs, None if newest is None else dt.datetime.fromtimestamp(newest, dt.UTC)
