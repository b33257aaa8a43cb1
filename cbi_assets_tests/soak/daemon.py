"""Dagster's daemon in miniature: it evaluates the sensors and executes the runs they request.

Time is the caller's. A run is executed in this process, or in one of its own that dies at a given
moment; then the run is ended and retried as the daemon does it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Event
from typing import Any, Final

import dagster as dg
import duckdb
from dagster._core.test_utils import freeze_time

from cbi_assets.databento_api.client import connect_from_settings
from cbi_assets.definitions import defs
from cbi_assets.downloads import buy
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.plan_files import find_plan
from cbi_assets.downloads.top_up import top_up
from cbi_assets.errors import UsageError
from cbi_assets.pipeline.audit.alert_sensors import send_alerts, send_failed_runs
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.dead_runs import end_dead_runs
from cbi_assets.pipeline.downloads.download_job import download_plan, watch_downloads
from cbi_assets.pipeline.downloads.proposals import (
    propose_downloads,
    stale_bars,
    top_up_downloads,
)
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.jobs import load_drive
from cbi_assets.pipeline.raw.drive_sensor import new_drive_files
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project, open_session
from cbi_assets.tables import FOLDS
from cbi_assets.verbs import build, load
from cbi_assets_tests.pipeline.materialize_assets import QUIET, materialize_assets
from cbi_assets_tests.processes import SERVER, Moment, die_at, limit_file_size

ROOTS: Final = ("ZL", "MES")
"""The universe of the simulation: surveying all roots several times a day takes its time."""

_TICK: Final = "tick"
_BUILD: Final = "build"
_KEYS: Final = "soak/keys"


class SmallProject(ProjectResource):
    """The project of the environment, with only the roots of the simulation."""

    def get(self) -> Project:
        """Return the project."""
        project = super().get()
        roots = {root: project.universe.roots[root] for root in ROOTS}
        return replace(project, universe=project.universe.model_copy(update={"roots": roots}))


@dataclass(frozen=True)
class Trouble:
    """What a run runs into: a kill at a moment, a disk that takes no larger file, or a notebook
    that has the warehouse open.
    """

    moment: Moment | None = None
    file_limit: int | None = None
    notebook: bool = False


@dataclass(frozen=True)
class _Work:
    """What to execute: a job, the tables to build, or a tick of the drive's sensor."""

    job: str
    config: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)


def be_impatient() -> None:
    """Make this process wait a moment only for whatever is in use, and not for the vendor."""
    options: Any = open_session
    options.__wrapped__.__kwdefaults__["wait"] = 0.05
    buy.SETTLE_SECONDS = 0.0


@dataclass
class Daemon:
    """The daemon of one home. `now` is its clock.

    If `is_quick`, it calls what a run would call, without a run.
    """

    instance: dg.DagsterInstance
    now: dt.datetime
    is_quick: bool = False
    skips: list[str] = field(default_factory=list)
    _cursors: dict[str, str | None] = field(default_factory=dict)
    _conditions: Any = None
    _reported: set[str] = field(default_factory=set)

    def look_at_drive(self, *, lose_answer: bool = False) -> list[dg.DagsterRun]:
        """Tick the sensor of the drive, and execute the run it requests unless its answer is lost.

        Dagster then keeps the sensor's cursor.
        """
        return self._tick(new_drive_files, lose_answer=lose_answer)

    def die_looking(self, trouble: Trouble) -> None:
        """Tick the sensor of the drive in a process that dies."""
        self._die(_Work(_TICK, {"cursor": self._cursors.get(new_drive_files.name)}), trouble)

    def load(self, trouble: Trouble | None = None) -> list[dg.DagsterRun]:
        """Tick the sensor of the drive twice, which is as often as a complete file needs.

        Before, tick the sensor that downloads jobs whose purchase was interrupted.
        """
        self._tick(watch_downloads)
        self.look_at_drive()
        self.now += dt.timedelta(minutes=1)
        return self._tick(new_drive_files, trouble)

    def buy(self, trouble: Trouble | None = None) -> list[dg.DagsterRun]:
        """Tick the sensor that tops up, and execute the run it requests."""
        return self._tick(stale_bars, trouble)

    def build(
        self, trouble: Trouble | None = None, *, training: bool = False
    ) -> list[dg.DagsterRun]:
        """Evaluate the automation conditions, and materialize what they request.

        The training tables are materialized only if `training`: they take more than all others.
        """
        if self.is_quick:
            self._run(_Work(_BUILD, {}), trouble)
            return []
        with freeze_time(self.now):
            found = dg.evaluate_automation_conditions(defs, self.instance, cursor=self._conditions)
        self._conditions = found.cursor
        keys = [
            key.path
            for key in defs.resolve_asset_graph().get_all_asset_keys()
            if found.get_num_requested(key) and (training or key.path[0] != FOLDS.dataset)
        ]
        tags = {_KEYS: json.dumps(keys)}  # a retry of the run builds the same
        return self._run(_Work(_BUILD, {"keys": keys}, tags), trouble) if keys else []

    def end_dead_runs(self) -> list[dg.DagsterRun]:
        """End the runs that died, and return the runs that retry them."""
        with freeze_time(self.now):
            ended = end_dead_runs(self.instance)
        retried: list[dg.DagsterRun] = []
        for run in ended:
            found = self.instance.get_run_by_id(run.run_id)
            assert found is not None
            if found.tags.get("dagster/will_retry") == "true":
                retries = int(found.tags.get("dagster/retry_number", "0")) + 1
                own = {k: v for k, v in found.tags.items() if not k.startswith("dagster/")}
                group = found.tags.get("dagster/root_run_id", found.run_id)
                work = _Work(
                    found.job_name,
                    found.run_config,
                    {
                        **own,
                        "dagster/parent_run_id": found.run_id,
                        "dagster/root_run_id": group,
                        "dagster/retry_number": str(retries),
                    },
                )
                if _KEYS in own:
                    work = replace(work, job=_BUILD, config={"keys": json.loads(own[_KEYS])})
                retried += self._run(work)
        return retried

    def alert(self) -> None:
        """Tick the sensors that send alerts, the one of failed runs once for each."""
        failures = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        for run in self.instance.get_runs(failures):
            if run.run_id in self._reported:
                continue
            self._reported.add(run.run_id)
            (entry,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
            assert entry.dagster_event is not None
            with dg.build_run_status_sensor_context(
                sensor_name="send_failed_runs",
                dagster_instance=self.instance,
                dagster_run=run,
                dagster_event=entry.dagster_event,
                resources={"project": _resources(self.now)["project"]},
            ) as context:
                send_failed_runs(context.for_run_failure())
        with dg.build_sensor_context(self.instance, resources=_resources(self.now)) as context:
            send_alerts(context)

    def _tick(
        self,
        sensor: dg.SensorDefinition,
        trouble: Trouble | None = None,
        *,
        lose_answer: bool = False,
    ) -> list[dg.DagsterRun]:
        found = _evaluate(sensor, self.instance, self._cursors.get(sensor.name), self.now)
        if lose_answer:
            return []
        if isinstance(found, dg.SkipReason):
            self.skips.append(found.skip_message or "")
            return []
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        self._cursors[sensor.name] = found.cursor
        if isinstance(found.skip_reason, dg.SkipReason):
            self.skips.append(found.skip_reason.skip_message or "")
        runs: list[dg.DagsterRun] = []
        for request in found.run_requests or ():
            tags = {"dagster/run_key": request.run_key or "", "dagster/sensor_name": sensor.name}
            if not self.instance.get_runs(dg.RunsFilter(tags=tags), limit=1):
                job = request.job_name or sensor.job_name
                work = _Work(job, request.run_config, {**request.tags, **tags})
                runs += self._run(work, trouble)
        return runs

    def _run(self, work: _Work, trouble: Trouble | None = None) -> list[dg.DagsterRun]:
        """Execute work, and return its run; none if it was called without one."""
        if self.is_quick and trouble is None and work.job != propose_downloads.name:
            _call(work, self.now)
            return []
        before = {run.run_id for run in self.instance.get_runs()}
        if trouble is None:
            _execute(work, self.instance, self.now)
        elif trouble.notebook:
            with _notebook():
                _execute(work, self.instance, self.now)
        else:
            self._die(work, trouble)
        return [run for run in self.instance.get_runs() if run.run_id not in before]

    def _die(self, work: _Work, trouble: Trouble) -> None:
        process = SERVER.Process(
            target=_work_and_die, args=(_environment(), work, self.now, trouble)
        )
        process.start()
        process.join(timeout=300)
        assert process.exitcode is not None


def _environment() -> dict[str, str]:
    return {n: v for n, v in os.environ.items() if n.startswith(("CBI_", "DATABENTO_"))}


@contextmanager
def _notebook() -> Iterator[None]:
    """Have the warehouse open in another process."""
    ready, done = SERVER.Event(), SERVER.Event()
    path = SmallProject(bigquery=BigQuery()).get().home.warehouse
    process = SERVER.Process(target=_hold, args=(str(path), ready, done))
    process.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        done.set()
        process.join()


def _hold(path: str, ready: Event, done: Event) -> None:
    with duckdb.connect(path, read_only=True):
        ready.set()
        done.wait(60)


def _work_and_die(
    environment: Mapping[str, str], work: _Work, now: dt.datetime, trouble: Trouble
) -> None:
    os.environ |= environment
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    be_impatient()
    if trouble.file_limit is not None:
        limit_file_size(trouble.file_limit)
    if trouble.moment is not None:
        die_at(trouble.moment)
    with open_instance(SmallProject(bigquery=BigQuery()).get().home) as instance:
        _execute(work, instance, now)


def _resources(now: dt.datetime) -> dict[str, Any]:
    return {
        "project": SmallProject(bigquery=BigQuery()),
        "clock": Clock(fixed=now.isoformat()),
    }


def _evaluate(
    sensor: dg.SensorDefinition,
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: dt.datetime,
) -> dg.SensorResult | dg.SkipReason:
    with (
        freeze_time(now),
        dg.build_sensor_context(instance, cursor=cursor, resources=_resources(now)) as context,
    ):
        found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def _execute(work: _Work, instance: dg.DagsterInstance, now: dt.datetime) -> None:
    if work.job == _TICK:
        _evaluate(new_drive_files, instance, work.config["cursor"], now)
        return
    resources = _resources(now)
    tags = dict(work.tags)
    with freeze_time(now):
        if work.job == _BUILD:
            keys = [dg.AssetKey(path) for path in work.config["keys"]]
            materialize_assets(keys, instance, resources, tags=tags)
            return
        defs.resolve_job_def(work.job).execute_in_process(
            instance=instance,
            resources=resources,
            run_config={**work.config, **QUIET},
            tags=tags,
            raise_on_error=False,
        )


def _call(work: _Work, now: dt.datetime) -> None:
    """Do what a run of the work does, but report nothing to Dagster."""
    project = SmallProject(bigquery=BigQuery()).get()
    if work.job == download_plan.name:
        plan = find_plan(project.home, work.config["ops"]["download_requests"]["config"]["plan"])
        clients = connect_from_settings(project.settings)
        execute(project, plan, clients, clock=lambda: now, buy=False, wait=False)
        return
    if work.job == top_up_downloads.name:
        # what it may not buy, it refuses; the next run's alert says so
        with suppress(UsageError):
            top_up(project, connect_from_settings(project.settings), clock=lambda: now)
        return
    with open_session(project, now=now) as session:
        if work.job == load_drive.name:
            load(session, landed_only=True)
        elif work.job == _BUILD:
            build(session)
        else:
            raise AssertionError(work.job)


@contextmanager
def open_daemon(project: Project, now: dt.datetime) -> Iterator[Daemon]:
    """Open a daemon on the project's home; impatience ends with it."""
    options: Any = open_session
    patient = options.__wrapped__.__kwdefaults__["wait"], buy.SETTLE_SECONDS
    be_impatient()
    try:
        with open_instance(project.home) as instance:
            yield Daemon(instance, now)
    finally:
        options.__wrapped__.__kwdefaults__["wait"], buy.SETTLE_SECONDS = patient
