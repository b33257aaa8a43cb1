"""The sensor that watches the drive: it requests runs until what is on it is published."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Self

import dagster as dg

from cbi_assets.drive.walk import Entry
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.formatting import instant, plural
from cbi_assets.ledger.check_results import CheckResult, record_results
from cbi_assets.load.landed import Landed, Unpublished
from cbi_assets.load.load import inventory
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY
from cbi_assets.pipeline.jobs import LoadConfig, load_drive
from cbi_assets.pipeline.partitions import partition_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Session
from cbi_assets.tables import SOURCE_FILES

TICK_BYTES = 512 << 20
"""How many new bytes one tick reads at most; the rest waits for the next tick."""

PAUSES = (
    dt.timedelta(minutes=5),
    dt.timedelta(minutes=15),
    dt.timedelta(hours=1),
    dt.timedelta(hours=4),
)
"""How long to wait after each run that did not publish the same bars; after one more, give up."""

RECHECK = dt.timedelta(hours=1)
"""How long the books are believed without a query: an unload in the terminal is noticed by then."""

CHECK_NAME = "drive_is_published"
_KEY_TAG = "cbi/unpublished"
_NAMED = 3

Stamp = tuple[int, int]
"""A file's size and modification time."""


@dataclass(frozen=True)
class Cursor:
    """State that a tick keeps for the next.

    Parameters
    ----------
    waiting : mapping
        New files and their stamps: a file is ready if its stamp is the same in two ticks.
    settled, settled_at : str
        The key of what was landed when the books had all of it, and when they were asked.
    given_up : str
        The key of the bars that the last of the runs did not publish either.
    """

    waiting: Mapping[str, Stamp] = field(default_factory=dict)
    settled: str = ""
    settled_at: str = ""
    given_up: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Return the cursor that `dump` wrote; an empty one for None or another format."""
        found = json.loads(text or "{}")
        if "waiting" not in found:
            return cls()
        waiting = {path: (int(size), int(time)) for path, (size, time) in found["waiting"].items()}
        return cls(**(found | {"waiting": waiting}))

    def dump(self) -> str:
        """Return the cursor as JSON."""
        return json.dumps(vars(self))

    def believes(self, key: str, now: dt.datetime) -> bool:
        """Return whether the books had all of this less than RECHECK ago."""
        return key == self.settled and now < dt.datetime.fromisoformat(self.settled_at) + RECHECK


@dg.sensor(
    job=load_drive,
    minimum_interval_seconds=60,
    description="Watches the drive. A file is ready if its size and modification time are the same "
    "in two ticks; ready files are verified and landed. One run loads the partitions whose landed "
    "bars are not in the books. If it fails or is lost, it is requested again, after growing "
    "pauses; after five runs the check drive_is_published fails.",
)
def new_drive_files(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request one run for the partitions that are on the drive and not published.

    The tick is skipped, and the cursor left unchanged, if the drive is not mounted or another
    process has the home's lock.
    """
    now = clock.now()
    before = Cursor.parse(context.cursor)
    try:
        with project.session(now, wait=0) as session:
            return _Tick(context, session, before).result()
    except (UsageError, HomeBusyError) as error:
        return dg.SkipReason(str(error))


class _Tick:
    """One look at the drive, the books and the runs."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        session: Session,
        before: Cursor,
    ) -> None:
        self._instance = context.instance
        self._session = session
        self._now = session.now
        self._before = before
        self._survey = inventory(session, choose=_Chooser(before.waiting))
        self._waiting = {
            entry.path: _stamp(entry) for entry in self._survey.waiting if entry.area == "drive"
        }
        self._landed = Landed(self._survey, session.catalog.slices())

    def result(self) -> dg.SensorResult:
        key = self._landed.key
        if self._before.believes(key, self._now):
            return self._skip("", settled=key, settled_at=self._before.settled_at)
        missing = self._landed.unpublished(self._session)
        if not missing.partitions:
            events = self._judge(missing) if self._before.given_up else []
            return self._skip("", events, settled=key, settled_at=self._now.isoformat())
        what = f"{plural(missing.files, 'file')} to publish"
        runs = self._instance.get_run_records(dg.RunsFilter(tags={_KEY_TAG: missing.key}))
        running = next((r.dagster_run for r in runs if not r.dagster_run.is_finished), None)
        if running is not None:
            return self._skip(f"{what}: run {running.run_id[:8]} is on it.")
        # A run that succeeded published the bars; since then something has unloaded them.
        failed = [*takewhile(lambda record: not record.dagster_run.is_success, runs)]
        if len(failed) > len(PAUSES):
            is_news = self._before.given_up != missing.key
            return self._skip(
                f"{what}: given up after {plural(len(failed), 'run')}. The last one's log says "
                "why; fix that, then run `cbi load`.",
                self._judge(missing) if is_news else [],
                given_up=missing.key,
            )
        if runs:
            ended = dt.datetime.fromtimestamp(max(r.end_time or 0.0 for r in runs), dt.UTC)
            due = ended + PAUSES[max(len(failed), 1) - 1]
            if self._now < due:
                count = plural(len(failed), "failed run")
                return self._skip(f"{what}: {count}; the next run is due at {instant(due)}.")
        return self._request(missing, len(runs))

    def _request(self, missing: Unpublished, earlier: int) -> dg.SensorResult:
        touched = [partition_key(partition) for partition in missing.partitions]
        config = LoadConfig(partitions=touched, landed_only=True)
        tags = {"cbi/files": str(missing.files), "cbi/partitions": str(len(touched))}
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{missing.key}-{earlier}",
                    run_config=dg.RunConfig({"load_partitions": config}),
                    tags=tags | {_KEY_TAG: missing.key},
                )
            ],
            cursor=Cursor(self._waiting, given_up=self._before.given_up).dump(),
        )

    def _skip(
        self, reason: str, events: Sequence[dg.AssetCheckEvaluation] = (), **cursor: str
    ) -> dg.SensorResult:
        parts = [reason] if reason else []
        if self._waiting:
            waiting = plural(len(self._waiting), "new file")
            parts.append(f"{waiting}, waiting until they stop changing ({_some(self._waiting)}).")
        if refused := self._survey.refused:
            reasons = [f"{file.path}: {file.reason}" for file in refused]
            parts.append(f"{plural(len(refused), 'file')} refused ({_some(reasons)}).")
        if not parts:
            on_drive = sum(file.area == "drive" for file in self._survey.files)
            parts.append(f"Nothing new in {plural(on_drive, 'file')}.")
        return dg.SensorResult(
            skip_reason=dg.SkipReason(" ".join(parts)),
            cursor=Cursor(self._waiting, **cursor).dump(),
            asset_events=events,
        )

    def _judge(self, missing: Unpublished) -> list[dg.AssetCheckEvaluation]:
        """Record that bars are given up, or that those given up are published."""
        sample = [{"partition": partition_key(partition)} for partition in missing.partitions]
        result = CheckResult(
            name=CHECK_NAME,
            table_id=SOURCE_FILES.id,
            severity="ERROR",
            root="",
            timeframe=None,
            passed=not sample,
            expected="none",
            actual=f"{plural(missing.files, 'file')} on the drive not published",
            offenders=missing.files,
            sample=sample[:20],
            sql="",
        )
        record_results(self._session, [result])
        return [evaluation(result)]


def evaluation(result: CheckResult) -> dg.AssetCheckEvaluation:
    """Return a result of `drive_is_published` as an event of the drive's asset."""
    return dg.AssetCheckEvaluation(
        asset_key=INVENTORY_KEY,
        check_name=CHECK_NAME,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=result.message,
        metadata={"partitions": ", ".join(row["partition"] for row in result.sample)},
    )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    rest = len(listed) - _NAMED
    return "; ".join(islice(listed, _NAMED)) + (f"; and {rest} more" if rest > 0 else "")


class _Chooser:
    """Choose new files of the drive that are as the last tick saw them, up to TICK_BYTES."""

    def __init__(self, seen: Mapping[str, Stamp]) -> None:
        self._seen = seen
        self._bytes = 0

    def __call__(self, entry: Entry) -> bool:
        if entry.area != "drive" or self._seen.get(entry.path) != _stamp(entry):
            return False
        is_first = not self._bytes
        self._bytes += entry.size
        return is_first or self._bytes <= TICK_BYTES


def _stamp(entry: Entry) -> Stamp:
    return entry.size, entry.mtime_ns
