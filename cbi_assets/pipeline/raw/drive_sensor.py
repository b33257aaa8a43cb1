"""The sensor that watches the drive: one run loads exactly the partitions of the new files."""

import hashlib
import json

import dagster as dg

from cbi_assets.drive.walk import Entry, walk
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.formatting import plural
from cbi_assets.load.load import inventory
from cbi_assets.pipeline.jobs import LoadConfig, load_drive
from cbi_assets.pipeline.partitions import partition_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Project

TICK_BYTES = 512 << 20
"""How many new bytes one tick reads at most; the rest waits for the next tick."""

Stamp = tuple[int, int]
"""A file's size and modification time."""


@dg.sensor(
    job=load_drive,
    minimum_interval_seconds=60,
    description="Watches the drive. A file is ready if its size and modification time are the same "
    "in two ticks; ready files are verified and landed, and one run loads the partitions they "
    "touch.",
)
def new_drive_files(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request one run for the partitions of the new files that no longer change.

    The cursor maps each file that is not landed yet to its stamp. The tick is skipped, and the
    cursor left unchanged, if the drive is not mounted or another process has the home's lock.
    """
    opened = project.get()
    try:
        now = _list_drive(opened)
    except UsageError as error:
        return dg.SkipReason(str(error))
    seen: dict[str, Stamp] = {k: tuple(v) for k, v in json.loads(context.cursor or "{}").items()}
    try:
        with project.session(clock.now(), wait=0) as session:
            catalog = session.catalog
            landed = {
                file.path: (file.stamp.size, file.stamp.mtime_ns)
                for file in catalog.files().values()
                if file.area == "drive" and file.stamp is not None
            }
            before = {piece.file_no for piece in catalog.slices()}
            waiting = {p: s for p, s in now.items() if landed.get(p) != s}
            ready = _within_budget({p: s for p, s in waiting.items() if seen.get(p) == s})
            if not ready:
                return dg.SensorResult(
                    skip_reason=dg.SkipReason(
                        f"{plural(len(waiting), 'new file')}, waiting until they stop changing."
                        if waiting
                        else f"Nothing new in {plural(len(now), 'file')}."
                    ),
                    cursor=json.dumps(waiting),
                )
            inventory(session, choose=lambda entry: entry.path in ready)
            touched = sorted(
                {
                    partition_key((piece.root, piece.timeframe))
                    for piece in catalog.slices()
                    if piece.file_no not in before and piece.root in opened.universe.roots
                }
            )
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    left = {path: stamp for path, stamp in waiting.items() if path not in ready}
    if not touched:
        reason = f"{plural(len(ready), 'new file')}, without new bars of the universe."
        return dg.SensorResult(skip_reason=dg.SkipReason(reason), cursor=json.dumps(left))
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=_run_key(ready),
                run_config=dg.RunConfig({"load_partitions": LoadConfig(partitions=touched)}),
                tags={"cbi/files": str(len(ready)), "cbi/partitions": str(len(touched))},
            )
        ],
        cursor=json.dumps(left),
    )


def _list_drive(project: Project) -> dict[str, Stamp]:
    settings = project.settings
    return {
        entry.path: (entry.size, entry.mtime_ns)
        for entry in walk(settings.cbi_drive, settings.staging)
        if isinstance(entry, Entry) and entry.area == "drive"
    }


def _within_budget(ready: dict[str, Stamp]) -> dict[str, Stamp]:
    """Return the first files of `ready`, in path order, up to TICK_BYTES; at least one."""
    chosen: dict[str, Stamp] = {}
    total = 0
    for path, stamp in sorted(ready.items()):
        total += stamp[0]
        if chosen and total > TICK_BYTES:
            break
        chosen[path] = stamp
    return chosen


def _run_key(files: dict[str, Stamp]) -> str:
    listed = "\n".join(f"{path} {size} {mtime}" for path, (size, mtime) in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()[:32]
