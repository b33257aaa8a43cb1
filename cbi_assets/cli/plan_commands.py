"""cbi plan: what is missing, and what it costs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import (
    Json,
    Symbols,
    Timeframes,
    Wait,
    app,
    command_session,
    date_option,
    now_utc,
    warn,
)

if TYPE_CHECKING:
    from cbi_assets.downloads.plan_model import Plan, Unavailable
    from cbi_assets.downloads.wanted import Scope, Wanted
    from cbi_assets.session import Project


@app.command()
def plan(
    symbol: Symbols = None,
    timeframe: Timeframes = None,
    end: Annotated[dt.date | None, date_option("--to", help="Last trade date wanted.")] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Only days after the last published one.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a copy of the page and its JSON (default: none)."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make no plan: list what is still missing.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Plan missing downloads and estimate their cost. Example: cbi plan --symbol ZL"""
    from cbi_assets.cli import console
    from cbi_assets.config.universe import select_timeframes
    from cbi_assets.downloads.plan_page import NAME, render
    from cbi_assets.downloads.planning import make_plan, open_clients, unplanned
    from cbi_assets.downloads.wanted import Scope, survey
    from cbi_assets.files import write_atomically
    from cbi_assets.session import Project

    project = Project()
    timeframes = select_timeframes(tuple(timeframe or ()))
    scope = Scope(tuple(symbol or ()), timeframes, end, newest)
    _check_end(project, scope)
    if verify:
        with command_session(wait, project=project) as session:
            wanted = survey(session, scope)
        _show_verdicts(wanted, unplanned(project.universe, scope), json)
        return
    with command_session(wait, project=project) as session:
        made = make_plan(session, scope, open_clients(project.settings))
    page = project.home.plans / f"{made.plan_hash[:12]}.md"
    made.save(page.with_suffix(".json"))
    write_atomically(page, render(made, project.universe))
    if out is not None:
        page = out / f"{NAME}.md"
        made.save(page.with_suffix(".json"))
        write_atomically(page, render(made, project.universe))
    if json:
        console.print_json(made.document() | {"page": str(page)})
    else:
        _show_plan(made, page)


def _check_end(project: Project, scope: Scope) -> None:
    """Raise UsageError if nothing is wanted by --to; warn if it is not the newest trade date."""
    from cbi_assets.downloads.wanted import last_complete
    from cbi_assets.errors import UsageError

    roots, end = project.universe.select(scope.roots), scope.through
    if end is None:
        return
    first = min(project.universe.wanted_from(root) for root in roots)
    if end < first:
        raise UsageError(
            f"is before {first}, the first date wanted",
            subject=f"--to {end}",
            remedy="Give a later date, or leave it out.",
        )
    newest = last_complete(now_utc())
    if end > newest:
        warn(f"--to {end} is after {newest}, the newest complete trade date, where the plan ends.")
    elif end < newest:
        warn(f"the plan ends on {end}: trade dates from then to {newest} are left out.")


def _show_plan(made: Plan, page: Path) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.plan_page import compare_space, rows_by_root, summarize

    if rows := rows_by_root(made):
        cells = [list(row.values()) for row in rows]
        console.table(f"Plan {made.plan_hash[:12]}", list(rows[0]), cells)
    console.say(summary := summarize(made))
    for line in map(str, made.unavailable):
        if line not in summary:
            console.say(line)
    console.say(compare_space(made).replace("**", ""))
    console.say(f"Written to {page}, and as JSON next to it.")
    if made.requests:
        console.say(f"Next: read it, then cbi approve {made.plan_hash[:12]} --by NAME --max-usd N")


def _show_verdicts(wanted: Wanted, left_out: list[Unavailable], json: bool) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.verify_plan import verdict_document, verify

    verdicts = verify(wanted)
    incomplete = [verdict for verdict in verdicts if not verdict.is_complete]
    if json:
        console.print_json(verdict_document(wanted))
    else:
        for entry in left_out:
            console.say(str(entry))
        rows = [
            (v.root, v.timeframe, v.series, v.wanted, v.published, v.gaps, v.missing,
             "; ".join(v.ranges[:3]) + (" …" if len(v.ranges) > 3 else ""))
            for v in verdicts
        ]  # fmt: skip
        columns = ["root", "timeframe", "series", "wanted", "published", "vendor's gaps", "missing",
                   "missing dates"]  # fmt: skip
        if rows:
            console.table(f"Trade dates wanted through {wanted.through}", columns, rows)
        if incomplete:
            console.say_verdict(False, f"{len(incomplete)} of {len(verdicts)} series incomplete")
            console.say("Next: cbi plan")
        elif verdicts:
            console.say_verdict(True, "every wanted trade date is published, or a gap at Databento")
    if incomplete:
        raise typer.Exit(1)
