"""cbi build, check, copy: what is made of the raw tables, and whether it holds."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from cbi_assets.cli import completion
from cbi_assets.cli.app import Json, Symbols, Wait, app, check_document, day_option, now_utc
from cbi_assets.errors import UsageError


@app.command()
def build(
    symbol: Symbols = None,
    start: Annotated[
        dt.date | None, day_option("--from", help="First trade date of rows to write.")
    ] = None,
    end: Annotated[
        dt.date | None, day_option("--to", help="Last trade date of rows to write.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Build, check and show the newest rows; publish nothing."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Take no session from an earlier build.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Continuous series and features from the raw tables. Example: cbi build --limit 10"""
    from cbi_assets.build.build import build as run_build
    from cbi_assets.cli import console
    from cbi_assets.session import Project, open_session

    with open_session(Project(), now=now_utc(), wait=wait) as session:
        outcome = run_build(
            session, roots=tuple(symbol or ()), start=start, end=end, whole=whole, limit=limit
        )
        if limit is None:
            from cbi_assets.pipeline.terminal import record_build

            record_build(session, outcome)
    if json:
        console.print_json(
            {
                "rows": outcome.rows,
                "barred": outcome.barred,
                "first": outcome.first,
                "last": outcome.last,
                "replaced": {
                    item.spec.id: {"written": item.written, "removed": item.removed}
                    for item in outcome.replaced
                },
                "preview": None if outcome.preview is None else outcome.preview.to_dicts(),
                "checks": [check_document(result) for result in outcome.checks],
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
    from cbi_assets.checks import TABLE_CHECK, check_everything
    from cbi_assets.cli import console
    from cbi_assets.drive.inventory import missing_days_of
    from cbi_assets.session import Project, open_session

    with open_session(Project(), now=now_utc(), wait=wait) as session:
        missing = missing_days_of(session.catalog.files().values())
        results = check_everything(session, missing)
        from cbi_assets.pipeline.terminal import record_checks

        record_checks(session, results)
    if json:
        console.print_json([check_document(result) for result in results])
    else:
        console.show_checks(results)
        if all(result.check == TABLE_CHECK for result in results):
            console.say("Nothing is loaded yet, so there are no bars to check: run `cbi load`.")
    if any(result.failed for result in results):
        raise typer.Exit(1)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            help="bigquery or duckdb: the empty one, to be filled.",
            autocompletion=completion.warehouses,
        ),
    ],
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Fill an empty warehouse from the other one. Example: cbi copy --to bigquery"""
    from cbi_assets.cli import console
    from cbi_assets.load.copy_tables import copy_warehouse
    from cbi_assets.session import Project, open_session

    if to not in ("bigquery", "duckdb"):
        raise UsageError(f"--to {to}: bigquery or duckdb.")
    with open_session(Project(), now=now_utc(), wait=wait) as session:
        copies = copy_warehouse(session, "bigquery" if to == "bigquery" else "duckdb")
    if json:
        console.print_json(copies)
        return
    rows = [(copy.table_id, copy.rows, copy.months) for copy in copies]
    console.table(f"Copied to {to}", ["table", "rows", "months, each the same"], rows)
    console.say(f"Both are equal. Set CBI_WAREHOUSE={to} to go on there.")
