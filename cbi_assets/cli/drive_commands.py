"""cbi inventory, load, unload: the drive into the raw tables, and out again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets.cli.app import Json, Symbols, Timeframes, Wait, app, check_document, now_utc
from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError

if TYPE_CHECKING:
    from cbi_assets.session import Project


@app.command()
def inventory(json: Json = False, wait: Wait = 600.0) -> None:
    """Tell from content what lies on the drive and in staging. Example: cbi inventory"""
    from cbi_assets.cli.console import print_json, reading, say, show_inventory
    from cbi_assets.drive.inventory import as_json, by_folder
    from cbi_assets.load.load import inventory as take_inventory
    from cbi_assets.session import Project, open_session

    with (
        reading() as progress,
        open_session(Project(), now=now_utc(), wait=wait, progress=progress) as session,
    ):
        survey = take_inventory(session)
    if json:
        print_json(as_json(survey))
    else:
        show_inventory(by_folder(survey))
        for path, reason in survey.changing:
            say(f"waiting: {path}: {reason}")
        for file in survey.files:
            if file.verdict == "refused":
                say(f"refused: {file.path}: {file.reason}")
        say(f"{len(survey.files):,} files, {survey.read:,} of them read now.")
    if any(file.verdict == "refused" for file in survey.files):
        raise typer.Exit(1)


@app.command()
def load(
    symbol: Symbols = None,
    timeframe: Timeframes = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Land, audit and publish all that is new. Example: cbi load --symbol ZL --timeframe 1h"""
    from cbi_assets.cli.console import print_json
    from cbi_assets.session import Project

    fell_short, document = load_and_show(
        Project(), wait, tuple(symbol or ()), tuple(timeframe or ()), show=not json
    )
    if json:
        print_json(document)
    if fell_short:
        raise typer.Exit(1)


def load_and_show(
    project: Project,
    wait: float,
    symbols: tuple[str, ...] = (),
    timeframes: tuple[str, ...] = (),
    *,
    show: bool,
) -> tuple[bool, dict[str, Any]]:
    """Load what is new, tell Dagster, and `show` people; whether data fell short, and what was done
    as a document. Staging belongs to no root and no timeframe: it is judged where none is named."""
    from cbi_assets.cli import console
    from cbi_assets.ledger.books import books_by_file, books_by_table
    from cbi_assets.load.load import choose_partitions
    from cbi_assets.load.load import load as run_load
    from cbi_assets.load.staging.load_staging import StagingOutcome, load_staging
    from cbi_assets.session import open_session

    partitions = choose_partitions(project.universe, symbols, timeframes)
    staged = StagingOutcome()
    with (
        ThreadPoolExecutor(1) as background,
        console.reading(lambda: background.submit(_start_dagster, project.home)) as progress,
        open_session(project, now=now_utc(), wait=wait, progress=progress) as session,
    ):
        outcome = run_load(session, partitions)
        by_file = books_by_file(session.warehouse)
        if not symbols and not timeframes:
            staged = load_staging(session)
        if outcome.profiles or outcome.checks or outcome.stopped:
            from cbi_assets.pipeline.terminal import record_load

            record_load(session, outcome)
        if staged.load_id is not None:
            from cbi_assets.pipeline.terminal import record_staging

            record_staging(session, staged)
    if show:
        console.show_load(outcome)
        console.show_books(books_by_table(by_file), by_file)
        console.show_staging(staged)
        if outcome.checks:
            console.show_checks(outcome.checks)
    fell_short = outcome.fell_short or staged.fell_short
    return fell_short, {**_load_document(outcome, by_file), "staging": staged}


def _start_dagster(home: Home) -> None:
    """Import Dagster and make its instance, beside a reading that leaves the interpreter idle."""
    from cbi_assets.pipeline import instance, terminal

    assert terminal  # imported for its own sake
    instance.open_instance(home).dispose()


def _load_document(outcome: Any, by_file: Any) -> dict[str, Any]:
    return {
        "load_id": outcome.load_id,
        "published": outcome.published,
        "partitions": outcome.partitions,
        "stopped": outcome.stopped,
        "overlaps": outcome.overlaps,
        "refused": [
            {"path": f.path, "reason": f.reason}
            for f in outcome.survey.files
            if f.verdict == "refused"
        ],
        "still_changing": [{"path": p, "reason": why} for p, why in outcome.survey.changing],
        "files_read": outcome.survey.read,
        "spent": outcome.cost,
        "books": by_file.to_dicts(),
        "checks": [check_document(result) for result in outcome.checks],
    }


@app.command()
def unload(
    file: Annotated[str | None, typer.Option(help="A file's sha256, or its start.")] = None,
    load: Annotated[str | None, typer.Option(help="A load's id.")] = None,
    job: Annotated[str | None, typer.Option(help="A Databento job's id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Take one file's, load's or job's bars out again. Example: cbi unload --job GLBX-… --yes"""
    from cbi_assets.cli import console
    from cbi_assets.load.unload import Scope, plan_unload
    from cbi_assets.load.unload import unload as run_unload
    from cbi_assets.session import Project, open_session

    scopes: dict[Scope, str | None] = {"file": file, "load": load, "job": job}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) != 1:
        raise UsageError("Give exactly one of --file, --load and --job.")
    with open_session(Project(), now=now_utc(), wait=wait) as session:
        plan = plan_unload(session, *given[0])
        question = (
            f"Take {plan.bars:,} bars of {plan.files} files ({given[0][0]} {given[0][1]}) "
            f"out of {', '.join(sorted(set(plan.entries['timeframe'])))}?"
        )
        if not yes and not typer.confirm(question, err=True):
            raise typer.Exit(1)
        outcome = run_unload(session, plan)
    if json:
        console.print_json(
            {
                "removed": outcome.removed,
                "reopened": outcome.reopened,
                "partitions": outcome.partitions,
                "checks": [check_document(result) for result in outcome.checks],
            }
        )
    else:
        console.say(f"{outcome.removed:,} bars taken out of {len(outcome.partitions)} partitions.")
        if outcome.reopened:
            console.say(
                f"{outcome.reopened:,} records of other files repeat them; "
                "`cbi load` decides on those again."
            )
        console.show_checks(outcome.checks)
    if any(result.failed for result in outcome.checks):
        raise typer.Exit(1)
