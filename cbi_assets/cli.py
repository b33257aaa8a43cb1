"""The command line: the same verbs as in Dagster's UI, for a terminal."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from cbi_assets import __version__
from cbi_assets.errors import CbiError, UsageError
from cbi_assets.settings import Home, load_settings

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Load, audit and build CME futures bars from Databento files.",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Symbols = Annotated[list[str] | None, typer.Option("--symbol", help="A root; repeat for more.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for another process in this home.")]

_DEBUG = False


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option(help="Show a stack trace with an error.")] = False,
) -> None:
    global _DEBUG
    _DEBUG = debug


@app.command()
def config(
    check: Annotated[
        bool, typer.Option("--check", help="Say what of home, drive and BigQuery is missing.")
    ] = False,
    json: Json = False,
) -> None:
    """Print every setting; secrets are masked. Example: cbi config --check"""
    from cbi_assets.console import print_json, say, table

    settings = load_settings()
    if check:
        from cbi_assets.warehouse.access import check_access

        findings = []
        for finding in check_access(settings):
            findings.append(finding)
            if not json:
                say(f"{finding.verdict:<8} {finding.name:<24} {finding.text}")
        if json:
            print_json(findings)
        if any(finding.verdict == "missing" for finding in findings):
            raise typer.Exit(2)
        return
    shown = settings.shown()
    if json:
        print_json(shown)
        return
    table("Settings", ["name", "value"], [(k, "–" if v is None else v) for k, v in shown.items()])


@app.command()
def inventory(json: Json = False, wait: Wait = 600.0) -> None:
    """Tell from content what lies on the drive and in staging. Example: cbi inventory"""
    from cbi_assets.console import print_json, reading, say, show_inventory
    from cbi_assets.drive.listing import as_json, by_folder
    from cbi_assets.ingest.load import inventory as take_inventory
    from cbi_assets.project import Project

    project = Project()
    with project.hold(wait, say), reading() as progress:
        survey = take_inventory(project, progress)
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
    timeframe: Annotated[list[str] | None, typer.Option(help="1d, 1h or 1m; repeat.")] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Land, audit and publish all that is new. Example: cbi load --symbol ZL --timeframe 1h"""
    from cbi_assets import console
    from cbi_assets.ingest.books import books_by_file, books_by_table
    from cbi_assets.ingest.load import choose_partitions
    from cbi_assets.ingest.load import load as run_load
    from cbi_assets.project import Project

    project = Project()
    partitions = choose_partitions(project.universe, tuple(symbol or ()), tuple(timeframe or ()))
    with (
        ThreadPoolExecutor(1) as beside,
        project.hold(wait, console.say),
        console.reading(lambda: beside.submit(_start_dagster, project.home)) as progress,
    ):
        outcome = run_load(
            project, now=_now(), partitions=partitions, progress=progress, tell=console.say
        )
        with project.open_warehouse() as warehouse:
            by_file = books_by_file(warehouse)
    if outcome.profiles or outcome.checks or outcome.stopped:
        from cbi_assets.pipeline.terminal import record_load

        record_load(project, outcome)
    if json:
        console.print_json(_load_document(outcome, by_file))
    else:
        console.show_load(outcome)
        console.show_books(books_by_table(by_file), by_file)
        if outcome.checks:
            console.show_checks(outcome.checks)
    if outcome.fell_short:
        raise typer.Exit(1)


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
        "spent": outcome.spent,
        "books": by_file.to_dicts(),
        "checks": [_check_document(result) for result in outcome.checks],
    }


def _check_document(result: Any) -> dict[str, Any]:
    return {
        "table": result.table_id,
        "check": result.check.name,
        "severity": result.check.severity,
        "partition": result.partition,
        "passed": result.passed,
        "expected": result.expected,
        "actual": result.actual,
        "sample": result.sample,
        "sql": result.sql,
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
    from cbi_assets import console
    from cbi_assets.ingest.unload import Scope, plan_unload
    from cbi_assets.ingest.unload import unload as run_unload
    from cbi_assets.project import Project

    scopes: dict[Scope, str | None] = {"file": file, "load": load, "job": job}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) != 1:
        raise UsageError("Give exactly one of --file, --load and --job.")
    project = Project()
    with (
        project.hold(wait, console.say),
        project.open_warehouse() as warehouse,
        project.open_catalog() as catalog,
    ):
        plan = plan_unload(warehouse, *given[0])
        question = (
            f"Take {plan.bars:,} bars of {plan.files} files ({given[0][0]} {given[0][1]}) "
            f"out of {', '.join(sorted(set(plan.entries['timeframe'])))}?"
        )
        if not yes and not typer.confirm(question, err=True):
            raise typer.Exit(1)
        outcome = run_unload(project, warehouse, catalog, plan, _now())
    if json:
        console.print_json(
            {
                "removed": outcome.removed,
                "reopened": outcome.reopened,
                "partitions": outcome.partitions,
                "checks": [_check_document(result) for result in outcome.checks],
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


@app.command()
def build(
    symbol: Symbols = None,
    start: Annotated[dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"])] = None,
    end: Annotated[dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"])] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Fill features.daily_ml_matrix from the raw tables. Example: cbi build --symbol ZL"""
    from cbi_assets import console
    from cbi_assets.ingest.build import build as run_build
    from cbi_assets.project import Project

    project = Project()
    with project.hold(wait, console.say):
        outcome = run_build(
            project,
            now=_now(),
            roots=tuple(symbol or ()),
            start=start.date() if start else None,
            end=end.date() if end else None,
            tell=console.say,
        )
    from cbi_assets.pipeline.terminal import record_build

    record_build(project, outcome)
    if json:
        console.print_json(
            {
                "rows": outcome.rows,
                "barred": outcome.barred,
                "first": outcome.first,
                "last": outcome.last,
                "checks": [_check_document(result) for result in outcome.checks],
            }
        )
    else:
        console.show_build(outcome)
        console.show_checks(outcome.checks)
    if outcome.fell_short:
        raise typer.Exit(1)


@app.command()
def check(json: Json = False, wait: Wait = 600.0) -> None:
    """Run every check and print the table. Example: cbi check"""
    from cbi_assets import console
    from cbi_assets.ingest.checks import TABLE_CHECK, check_everything
    from cbi_assets.ingest.load import missing_days_of
    from cbi_assets.project import Project

    project = Project()
    with project.hold(wait, console.say):
        with project.open_catalog() as catalog:
            missing = missing_days_of(catalog.files().values())
        with project.open_warehouse() as warehouse:
            results = check_everything(project, warehouse, _now(), missing)
    if json:
        console.print_json([_check_document(result) for result in results])
    else:
        console.show_checks(results)
        if all(result.check == TABLE_CHECK for result in results):
            console.say("Nothing is loaded yet, so there are no bars to check: run `cbi load`.")
    if any(result.failed for result in results):
        raise typer.Exit(1)


@app.command()
def copy(
    to: Annotated[str, typer.Option(help="bigquery or duckdb: the empty one, to be filled.")],
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Fill an empty warehouse from the other one. Example: cbi copy --to bigquery"""
    from cbi_assets import console
    from cbi_assets.ingest.moving import copy_warehouse
    from cbi_assets.project import Project

    if to not in ("bigquery", "duckdb"):
        raise UsageError(f"--to {to}: bigquery or duckdb.")
    project = Project()
    with project.hold(wait, console.say):
        copies = copy_warehouse(project, "bigquery" if to == "bigquery" else "duckdb", console.say)
    if json:
        console.print_json(copies)
        return
    rows = [(copy.table_id, copy.rows, copy.months) for copy in copies]
    console.table(f"Copied to {to}", ["table", "rows", "months, each the same"], rows)
    console.say(f"Both are equal. Set CBI_WAREHOUSE={to} to go on there.")


@app.command()
def demo(
    home: Annotated[Path, typer.Option(help="Where the demo keeps its drive and home.")] = Path(
        ".cbi-demo"
    ),
    json: Json = False,
) -> None:
    """Make a small drive and run everything on it. Example: cbi demo"""
    from cbi_assets.demo import run_demo

    if run_demo(home, json=json):
        raise typer.Exit(1)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Start Dagster's web server and daemon on loopback. Example: cbi ui --port 3001"""
    from cbi_assets.console import say
    from cbi_assets.pipeline.instance import prepare_instance, project_file

    settings = load_settings()
    dagster_home = prepare_instance(settings.home)
    environment = os.environ | settings.environment() | {"DAGSTER_HOME": str(dagster_home)}
    say(f"Dagster at http://127.0.0.1:{port} for {settings.home.root} (Ctrl-C stops it)")
    workspace = project_file("workspace.yaml")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace)]
    finished = subprocess.run(
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        env=environment,
        cwd=settings.home.root,
        check=False,
    )
    raise typer.Exit(finished.returncode)


@app.command()
def version() -> None:
    """Print the version. Example: cbi version"""
    typer.echo(__version__)


def _told(run: Callable[[], None]) -> Callable[[], None]:
    @wraps(run)
    def told() -> None:
        try:
            run()
        except CbiError as error:
            if _DEBUG:
                raise
            sys.stderr.write(f"cbi: {error}\n")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)

    return told


@_told
def main() -> None:
    """The `cbi` command."""
    app()


if __name__ == "__main__":
    main()
