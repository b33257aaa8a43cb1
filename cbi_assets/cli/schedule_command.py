"""cbi schedule: have the machine run the project unattended."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

import typer

from cbi_assets.cli.app import Json, app
from cbi_assets.config.settings import load_settings


class Action(StrEnum):
    """What to do with the schedule."""

    INSTALL = "install"
    SHOW = "show"
    REMOVE = "remove"


class SchedulerName(StrEnum):
    """What starts jobs on a machine."""

    LAUNCHD = "launchd"
    SYSTEMD = "systemd"
    CRON = "cron"


def _parse_time(text: str) -> dt.time:
    try:
        return dt.datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ValueError(f"{text!r} is not a time like 18:30") from None


@app.command()
def schedule(
    action: Annotated[Action, typer.Argument(help="show changes nothing.")],
    scheduler: Annotated[
        SchedulerName | None,
        typer.Option("--with", help="The scheduler (default: this machine's)."),
    ] = None,
    ui: Annotated[
        bool,
        typer.Option("--ui", help="Keep `cbi ui` running, instead of loading each weekday."),
    ] = False,
    at: Annotated[
        dt.time,
        typer.Option(
            help="When to load each weekday, in the machine's time zone.",
            parser=_parse_time,
            metavar="HH:MM",
        ),
    ] = "18:30",  # type: ignore[assignment]
    json: Json = False,
) -> None:
    """Run unattended: load, build, check, alert. Example: cbi schedule install --at 18:30"""
    from cbi_assets.cli.console import print_json, say
    from cbi_assets.schedule.job import settings_to_write
    from cbi_assets.schedule.schedulers import choose_scheduler, install, job_of, remove

    settings = load_settings()
    chosen = choose_scheduler(scheduler)
    job = job_of(settings, "ui" if ui else "nightly", at)
    if action is Action.REMOVE:
        removed = remove(chosen, job)
        if json:
            print_json({"scheduler": chosen.name, "removed": removed})
        else:
            say(f"Removed from {chosen.name}: {', '.join(removed) or 'nothing was installed'}.")
        return
    if action is Action.INSTALL:
        install(chosen, job)
    texts = {str(job.script): job.text, **chosen.entries(job)}
    if json:
        print_json({"scheduler": chosen.name, "name": job.name, "log": job.log, "texts": texts})
    elif action is Action.SHOW:
        for place, text in texts.items():
            typer.echo(f"# {place}\n{text}")
    else:
        say(f"{job.title}: {job.name} is installed in {chosen.name}; its output is in {job.log}.")
        if hint := chosen.hint(job):
            say(hint)
    for name in settings_to_write(settings)[1]:
        say(f"{name} is set in the environment only: put it in .env, scheduled runs read it there.")
