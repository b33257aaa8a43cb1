"""cbi inventory, load, unload: the drive into the raw tables, and out again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets.cli import completion
from cbi_assets.cli.app import All, Json, Symbols, Timeframes, Wait, app, command_session
from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError
from cbi_assets.formatting import plural

if TYPE_CHECKING:
    from cbi_assets.load.unload import Scope
    from cbi_assets.session import Project


@app.command()
def inventory(everything: All = False, json: Json = False, wait: Wait = 600.0) -> None:
    """List what is on the drive and in staging, detected from content. Example: cbi inventory"""
    from cbi_assets.cli.console import print_json
    from cbi_assets.cli.progress import working
    from cbi_assets.cli.show_load import show_inventory
    from cbi_assets.drive.inventory import as_json
    from cbi_assets.load.load import inventory as take_inventory
    from cbi_assets.report.read_lights import read_lights

    with working() as progress, command_session(wait, progress=progress) as session:
        survey = take_inventory(session)
        lights = read_lights(session, survey)
    if json:
        print_json(as_json(survey) | {"lights": lights.document()})
    else:
        show_inventory(survey, lights, everything=everything)
    if survey.refused or survey.unreadable:
        raise typer.Exit(1)


@app.command()
def load(
    symbol: Symbols = None,
    timeframe: Timeframes = None,
    everything: All = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Land, audit and publish new files. Example: cbi load --symbol ZL --timeframe 1h"""
    from cbi_assets.cli.console import print_json
    from cbi_assets.session import Project

    has_failures, document = load_and_show(
        Project(),
        wait,
        tuple(symbol or ()),
        tuple(timeframe or ()),
        show=not json,
        everything=everything,
    )
    if json:
        print_json(document)
    if has_failures:
        raise typer.Exit(1)


def load_and_show(
    project: Project,
    wait: float,
    symbols: tuple[str, ...] = (),
    timeframes: tuple[str, ...] = (),
    *,
    show: bool,
    everything: bool = False,
) -> tuple[bool, dict[str, Any]]:
    """Load what is new, record it in Dagster, and print it if `show`.

    Staging has no root and no timeframe, so it is loaded only if neither is named. Returns whether
    anything failed and, unless it was printed, what was done as JSON values.
    """
    from cbi_assets import verbs
    from cbi_assets.cli.progress import working
    from cbi_assets.cli.show_load import load_document, show_load
    from cbi_assets.load.load import choose_partitions
    from cbi_assets.load.staging.load_staging import StagingOutcome
    from cbi_assets.report.light_rules import lights_of
    from cbi_assets.report.read_lights import read_state, reading_lights_ahead

    partitions = choose_partitions(project.universe, symbols, timeframes)
    staged = StagingOutcome()
    with (
        ThreadPoolExecutor(1) as background,
        working(lambda: background.submit(_start_dagster, project.home)) as progress,
        command_session(wait, project=project, progress=progress) as session,
        reading_lights_ahead(session),
    ):
        outcome = verbs.load(session, partitions)
        if not symbols and not timeframes:
            staged = verbs.load_staging(session)
        state = read_state(session, outcome.survey)
        lights = lights_of(state)
        background.shutdown()  # two threads that create the instance at once leave it unusable
        if outcome.profiles or outcome.checks or outcome.stopped:
            from cbi_assets.pipeline.terminal import record_load

            record_load(session, outcome, lights)
        if staged.load_id is not None:
            from cbi_assets.pipeline.terminal import record_staging

            record_staging(session, staged, lights)
    has_failures = outcome.has_failures or staged.has_failures
    if show:
        show_load(outcome, state.books, staged, lights, everything=everything)
        return has_failures, {}
    return has_failures, load_document(outcome, state.books, staged, lights)


def _start_dagster(home: Home) -> None:
    """Import Dagster and create its instance, while the warehouse leaves the interpreter idle."""
    from cbi_assets.pipeline import instance, terminal

    assert terminal  # imported for its own sake
    with instance.open_instance(home):
        pass


@app.command()
def unload(
    file: Annotated[
        str | None,
        typer.Option(help="A file's sha256, or its start.", autocompletion=completion.loaded_files),
    ] = None,
    load: Annotated[
        str | None, typer.Option(help="A load's id.", autocompletion=completion.loads)
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(help="A Databento job's id.", autocompletion=completion.loaded_jobs),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Remove the bars of one file, load or job. Example: cbi unload --job GLBX-… --yes"""
    from cbi_assets import verbs
    from cbi_assets.cli import console
    from cbi_assets.cli.show_checks import check_document, count_results, show_findings
    from cbi_assets.load.unload import plan_unload

    scopes: dict[Scope, str | None] = {"file": file, "load": load, "job": job}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) != 1:
        raise UsageError("exactly one of --file, --load and --job is needed")
    with command_session(wait) as session:
        plan = plan_unload(session, *given[0])
        question = (
            f"Remove {plural(plan.bars, 'bar')} of {plural(plan.files, 'file')} "
            f"({given[0][0]} {given[0][1]}) from "
            f"{', '.join(sorted(set(plan.entries['timeframe'])))}?"
        )
        if not yes and not typer.confirm(question, err=True):
            raise typer.Exit(1)
        outcome = verbs.unload(session, plan)
        from cbi_assets.pipeline.terminal import record_unload  # slow to import, unused by a "no"

        record_unload(session, outcome)
    failed, warned = count_results(outcome.checks)
    if json:
        console.print_json(
            {
                "removed": outcome.removed,
                "reopened": outcome.reopened,
                "partitions": [f"{root}|{timeframe}" for root, timeframe in outcome.partitions],
                "checks": [check_document(result) for result in outcome.checks],
            }
        )
    else:
        show_findings(outcome.checks)
        if outcome.reopened:
            console.say(
                f"{plural(outcome.reopened, 'record')} of other files were duplicates of these "
                "bars; the next `cbi load` publishes them."
            )
        removed = f"{plural(outcome.removed, 'bar')} removed from"
        console.say_verdict(
            not failed, f"{removed} {plural(len(outcome.partitions), 'partition')}", warned
        )
    if failed:
        raise typer.Exit(1)
