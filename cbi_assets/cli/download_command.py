"""cbi download: buy an approved plan, download its files and load them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets.cli.app import Json, PlanName, Wait, app, now_utc
from cbi_assets.cli.drive_commands import load_and_show

if TYPE_CHECKING:
    from cbi_assets.cli.progress import WorkProgress
    from cbi_assets.downloads.download_outcome import DownloadOutcome


@app.command()
def download(
    plan: PlanName = None,
    standing: Annotated[
        bool,
        typer.Option("--standing", help="Buy the newest days under the standing approval."),
    ] = False,
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Do not load the files afterwards.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Buy and download an approved plan, then load it. Example: cbi download 3f9a1c0b2d4e"""
    from cbi_assets.cli import console
    from cbi_assets.cli.progress import working
    from cbi_assets.databento_api import client
    from cbi_assets.downloads.execute import execute
    from cbi_assets.downloads.plan_files import find_plan
    from cbi_assets.downloads.top_up import top_up
    from cbi_assets.errors import UsageError
    from cbi_assets.session import Project

    if standing == (plan is not None):
        problem = "PLAN does not go with --standing" if standing else "Missing argument 'PLAN'"
        raise UsageError(problem, remedy="See `cbi download --help`.")
    project = Project()
    chosen = None if plan is None else find_plan(project.home, plan)
    clients = client.connect_from_settings(project.settings)
    with working() as bar:
        progress = _JobProgress(bar)
        if chosen is not None:
            outcome = execute(project, chosen, clients, clock=now_utc, progress=progress)
        else:
            topped_up = top_up(project, clients, clock=now_utc, progress=progress, wait=True)
            if topped_up.outcome is None:
                _show_nothing(topped_up.waiting, json)
                return
            outcome = topped_up.outcome
    if not json:
        _show(outcome)
    loaded = None if no_load else load_and_show(project, wait, show=not json)
    if json:
        console.print_json(_document(outcome) | {"load": loaded[1] if loaded else None})
    if not outcome.is_complete or (loaded is not None and loaded[0]):
        raise typer.Exit(1)


def _show_nothing(waiting: list[str], json: bool) -> None:
    from cbi_assets.cli import console

    if json:
        console.print_json({"plan_hash": None, "submitted": 0, "waiting": waiting})
        return
    for line in waiting:
        console.say(line)
    console.say_verdict(True, "nothing to buy: every series is complete, or waits for its job")


def _show(outcome: DownloadOutcome) -> None:
    from cbi_assets.cli import console
    from cbi_assets.formatting import dollars, plural

    rows = [
        (row.root, row.schema, row.job_id, row.state, row.files, row.bytes, dollars(row.spent_usd),
         row.folder)
        for row in outcome.jobs
    ]  # fmt: skip
    columns = ["root", "schema", "job", "state", "files", "bytes", "cost", "folder on the drive"]
    console.table(f"Plan {outcome.plan_hash[:12]}", columns, rows)
    console.say_verdict(
        outcome.is_complete,
        f"{plural(outcome.submitted, 'job')} submitted, {len(outcome.fetched)} downloaded now; "
        f"the plan's {plural(len(outcome.jobs), 'job')} cost {dollars(outcome.spent_usd)} so far",
    )


def _document(outcome: DownloadOutcome) -> dict[str, Any]:
    return {
        "plan_hash": outcome.plan_hash,
        "approval_id": outcome.approval_id,
        "spent_usd": outcome.spent_usd,
        "submitted": outcome.submitted,
        "fetched": outcome.fetched,
        "jobs": outcome.jobs,
        "whole": outcome.is_complete,
    }


class _JobProgress:
    """Shows a job's bytes on the command's bar, which appears with the first job."""

    def __init__(self, progress: WorkProgress) -> None:
        self._progress = progress

    def start(self, title: str, nbytes: int) -> None:
        """Begin a job with this many bytes."""
        self._progress.begin(title, nbytes)

    def advance(self, nbytes: int) -> None:
        """Count bytes written; negative for bytes discarded."""
        self._progress.advance("", nbytes)
