"""cbi build, check, copy: the tables made from the raw ones, their checks, the other warehouse."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from cbi_assets.cli import completion
from cbi_assets.cli.app import All, Json, Symbols, Wait, app, command_session, date_option
from cbi_assets.errors import UsageError


@app.command()
def build(
    symbol: Symbols = None,
    start: Annotated[
        dt.date | None, date_option("--from", help="First trade date of rows to write.")
    ] = None,
    end: Annotated[
        dt.date | None, date_option("--to", help="Last trade date of rows to write.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Build, check and show the newest rows; publish nothing."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Rebuild every session instead of the changed ones.")
    ] = False,
    everything: All = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Build continuous series, features and training tables. Example: cbi build --limit 10"""
    from cbi_assets import verbs
    from cbi_assets.cli.console import print_json
    from cbi_assets.cli.progress import working
    from cbi_assets.cli.show_build import build_document, show_build
    from cbi_assets.downloads.roll_fills import roll_fills_by_root
    from cbi_assets.report.read_lights import read_lights, reading_lights_ahead

    if start and end and start > end:
        raise UsageError(
            f"is after --to {end}", subject=f"--from {start}", remedy="No row is between them."
        )
    trained = lights = None
    fills: dict[str, str] = {}
    with working(), command_session(wait) as session, reading_lights_ahead(session):
        outcome = verbs.build(
            session, roots=tuple(symbol or ()), start=start, end=end, whole=whole, limit=limit
        )
        if limit is None:
            from cbi_assets.pipeline.terminal import record_build

            trained = verbs.train(
                session, roots=tuple(symbol or ()), changed=outcome.changed_months
            )
            lights = read_lights(session)
            record_build(session, outcome, trained, lights)
            fills = roll_fills_by_root(session, trained.builds)
    if json:
        print_json({**build_document(outcome, trained, lights), "roll_steps": list(fills.values())})
    else:
        show_build(outcome, trained, lights, fills, everything=everything)
    if outcome.has_failures or (trained is not None and trained.has_failures):
        raise typer.Exit(1)


@app.command()
def check(
    full: Annotated[
        bool, typer.Option("--full", help="Also read bars that have not changed since a check.")
    ] = False,
    everything: All = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Run every check and list the findings. Example: cbi check"""
    from cbi_assets import verbs
    from cbi_assets.checks import SPEC_CHECK
    from cbi_assets.cli.console import print_json, say, say_verdict
    from cbi_assets.cli.progress import working
    from cbi_assets.cli.show_checks import (
        check_document,
        count_results,
        show_checks,
        show_findings,
    )
    from cbi_assets.cli.show_lights import show_lights
    from cbi_assets.report.lights import results_of
    from cbi_assets.report.read_lights import read_lights, reading_lights_ahead

    with working(), command_session(wait) as session, reading_lights_ahead(session):
        results = verbs.check(session, full=full)
        from cbi_assets.pipeline.terminal import record_checks

        lights = read_lights(session)
        record_checks(session, results, lights)
    failed, warned = count_results(results)
    if json:
        print_json([check_document(result) for result in (*results, *results_of(lights))])
    else:
        if everything:
            show_checks(results)
        else:
            show_findings(results)
        if all(result.name == SPEC_CHECK for result in results):
            say("Nothing is loaded yet, so there are no bars to check: run `cbi load`.")
        say_verdict(not failed, f"{len(results):,} checks run, {failed} failed, {warned} warned")
        show_lights(lights)
    if failed:
        raise typer.Exit(1)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            help="bigquery or duckdb: the empty warehouse, to be filled.",
            autocompletion=completion.warehouses,
        ),
    ],
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Fill an empty warehouse from the other one. Example: cbi copy --to bigquery"""
    from cbi_assets.cli.console import print_json, say, table
    from cbi_assets.cli.progress import working
    from cbi_assets.load.copy_tables import copy_warehouse

    if to not in ("bigquery", "duckdb"):
        raise UsageError(
            "not a warehouse", subject=f"--to {to}", remedy="Choose bigquery or duckdb."
        )
    with working(), command_session(wait) as session:
        copies = copy_warehouse(session, "bigquery" if to == "bigquery" else "duckdb")
    if json:
        print_json(copies)
        return
    rows = [(copy.table_id, copy.rows, copy.months) for copy in copies]
    table(f"Copied to {to}", ["table", "rows", "months, each equal"], rows)
    say(f"The two warehouses are equal. Set CBI_WAREHOUSE={to} to use the new one.")
