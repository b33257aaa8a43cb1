"""cbi download: buy and fetch what was approved, then load it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets.cli.app import Json, PlanName, Wait, app, now_utc
from cbi_assets.cli.drive_commands import load_and_show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cbi_assets.downloads.download_outcome import DownloadOutcome


@app.command()
def download(
    plan: PlanName,
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Leave loading to `cbi load`.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Buy and fetch what was approved, then load it. Example: cbi download 3f9a1c0b2d4e"""
    from cbi_assets.cli import console
    from cbi_assets.databento_api import client
    from cbi_assets.downloads.execute import execute
    from cbi_assets.downloads.plan_files import find_plan
    from cbi_assets.session import Project

    project = Project()
    chosen = find_plan(project.home, plan)
    clients = client.connect_from_settings(project.settings)
    with _fetching() as progress:
        outcome = execute(
            project, chosen, clients, clock=now_utc, tell=console.say, progress=progress
        )
    if not json:
        _show(outcome)
    loaded = None if no_load else load_and_show(project, wait, show=not json)
    if json:
        console.print_json(_document(outcome) | {"load": loaded[1] if loaded else None})
    if not outcome.whole or (loaded is not None and loaded[0]):
        raise typer.Exit(1)


def _show(outcome: DownloadOutcome) -> None:
    from cbi_assets.cli import console

    rows = [
        (row.root, row.schema, row.job_id, row.state, row.files, row.bytes, f"{row.spent_usd:.2f}",
         row.folder)
        for row in outcome.jobs
    ]  # fmt: skip
    headings = ["root", "schema", "job", "state", "files", "bytes", "USD", "folder on the drive"]
    console.table(f"Plan {outcome.plan_hash[:12]}", headings, rows)
    console.say(
        f"{outcome.submitted} jobs submitted now, {len(outcome.fetched)} fetched now; "
        f"{outcome.spent_usd:,.2f} USD for the plan's {len(outcome.jobs)} jobs so far."
    )


def _document(outcome: DownloadOutcome) -> dict[str, Any]:
    return {
        "plan_hash": outcome.plan_hash,
        "approval_id": outcome.approval_id,
        "spent_usd": outcome.spent_usd,
        "submitted": outcome.submitted,
        "fetched": outcome.fetched,
        "jobs": outcome.jobs,
        "whole": outcome.whole,
    }


class _FetchingProgress:
    """A progress bar over a job's files, shown from the first one on."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def start(self, what: str, nbytes: int) -> None:
        """A job's files are fetched now."""
        self._bar.start()
        self._task = self._bar.add_task(what, total=nbytes)

    def advance(self, nbytes: int) -> None:
        """So many more bytes are there."""
        if self._task is not None:
            self._bar.advance(self._task, nbytes)


@contextmanager
def _fetching() -> Iterator[_FetchingProgress]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from cbi_assets.cli.console import console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
               TransferSpeedColumn(), TimeRemainingColumn())  # fmt: skip
    bar = Progress(*columns, console=console)
    try:
        yield _FetchingProgress(bar)
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
