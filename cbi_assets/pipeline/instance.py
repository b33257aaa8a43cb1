"""Dagster's instance of a home: its configuration, and where the project's own files are."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

import cbi_assets
from cbi_assets.config.home_errors import (
    NEW_INSTANCE,
    damaged,
    home_error,
    sqlite_error,
    translated_home_errors,
)
from cbi_assets.config.settings import Home
from cbi_assets.errors import CbiError
from cbi_assets.files import write_atomically
from cbi_assets.pipeline.dead_runs import UNFINISHED, Pool, end_dead_runs, find_dead_runs, pools
from cbi_assets.pipeline.event_log import keep_event_log_open

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
    if not target.exists() or target.read_bytes() != wanted.encode():
        write_atomically(target, wanted)
    return home.dagster


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Open the home's instance, without reading or setting DAGSTER_HOME.

    Raises HomeError if its files are damaged or their disk is full, also from within the block.
    """
    with translated_home_errors(home):
        try:
            with dg.DagsterInstance.from_config(str(prepare_instance(home))) as instance:
                keep_event_log_open(instance)
                yield instance
        except (SQLAlchemyError, CommandError, dg.DagsterError) as error:
            if (translated := _translate(error, home)) is None:
                raise
            raise translated from error


@dataclass(frozen=True)
class InstanceState:
    """The runs of an instance, those whose process is gone, its pools, and its daemon's last beat.

    `last_seen` is UTC, and None if the daemon never ran.
    """

    runs: int
    queued: int
    unfinished: int
    dead: int
    pools: list[Pool]
    last_seen: dt.datetime | None


def inspect_instance(home: Home) -> InstanceState:
    """Return what an instance is doing.

    Raises HomeError if the instance cannot be opened, or one of its databases is damaged.
    """
    with open_instance(home) as instance:
        beats = instance.get_daemon_heartbeats().values()
        newest = max((beat.timestamp for beat in beats), default=None)
        state = InstanceState(
            runs=instance.get_runs_count(),
            queued=_count(instance, [dg.DagsterRunStatus.QUEUED]),
            unfinished=_count(instance, UNFINISHED),
            dead=len(find_dead_runs(instance)),
            pools=pools(instance),
            last_seen=None if newest is None else dt.datetime.fromtimestamp(newest, dt.UTC),
        )
    for database in sorted(home.dagster.rglob("*.db")):
        _verify(database)
    return state


def end_runs(home: Home) -> list[str]:
    """End the home's dead runs, and return their jobs' names."""
    with open_instance(home) as instance:
        return [run.job_name for run in end_dead_runs(instance)]


def _count(instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus]) -> int:
    return instance.get_runs_count(dg.RunsFilter(statuses=list(statuses)))


def _verify(database: Path) -> None:
    """Read a whole SQLite file. Raises HomeError if a part of it is damaged."""
    try:
        with closing(sqlite3.connect(database)) as opened:
            found = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise sqlite_error(error, database, NEW_INSTANCE) from error
    if found != "ok":
        raise damaged(database, found, NEW_INSTANCE)


def _translate(error: BaseException, home: Home) -> CbiError | None:
    """Return what an error of Dagster's storage means; None if the storage did not cause it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.DatabaseError):
            return sqlite_error(cause, home.dagster, NEW_INSTANCE)
        if isinstance(cause, OSError) and (translated := home_error(cause, home)):
            return translated
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, SQLAlchemyError | CommandError):
        return damaged(home.dagster, error, NEW_INSTANCE)
    return None
