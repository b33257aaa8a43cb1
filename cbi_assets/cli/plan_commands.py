"""cbi plan, approve, approvals: what is missing, what it costs, and who approved buying it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import (
    Json,
    PlanName,
    Symbols,
    Timeframes,
    Wait,
    app,
    command_session,
    date_option,
)

if TYPE_CHECKING:
    from cbi_assets.downloads.plan_model import Plan
    from cbi_assets.downloads.wanted import Wanted


@app.command()
def plan(
    symbol: Symbols = None,
    timeframe: Timeframes = None,
    end: Annotated[dt.date | None, date_option("--to", help="Last trade date wanted.")] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Only days after the last published one.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the page and its JSON.")] = Path(
        "docs/data"
    ),
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
    from cbi_assets.downloads.planning import make_plan, open_clients
    from cbi_assets.downloads.wanted import Scope, survey
    from cbi_assets.files import write_atomically
    from cbi_assets.session import Project

    project = Project()
    timeframes = select_timeframes(tuple(timeframe or ()))
    scope = Scope(tuple(symbol or ()), timeframes, end, newest)
    project.universe.select(scope.roots)
    if verify:
        with command_session(wait, project=project) as session:
            wanted = survey(session, scope)
        _show_verdicts(wanted, json)
        return
    with command_session(wait, project=project) as session:
        made = make_plan(session, scope, open_clients(project.settings))
    made.save(project.home.plans / f"{made.plan_hash[:12]}.json")
    made.save(out / f"{NAME}.json")
    page = out / f"{NAME}.md"
    write_atomically(page, render(made, project.universe))
    if json:
        console.print_json(made.document() | {"page": str(page)})
    else:
        _show_plan(made, page)


@app.command()
def approve(
    plan: PlanName,
    by: Annotated[str, typer.Option(help="Who approves it.")],
    max_usd: Annotated[float, typer.Option("--max-usd", help="The most that may be spent.")],
    expires: Annotated[
        dt.date | None,
        date_option("--expires", help="Last day (UTC) on which it may be bought."),
    ] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Approve a plan, once, up to a ceiling. Example: cbi approve 3f2a91 --by Ann --max-usd 50"""
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import approve as record_approval
    from cbi_assets.downloads.plan_files import find_plan
    from cbi_assets.downloads.plan_page import summarize
    from cbi_assets.formatting import dollars
    from cbi_assets.session import Project

    project = Project()
    chosen = find_plan(project.home, plan)
    with command_session(wait, project=project) as session:
        approval = record_approval(session, chosen, by=by, max_usd=max_usd, expires=expires)
    name = chosen.plan_hash[:12]
    path = project.home.plans / f"{name}.json"
    if not path.exists():
        chosen.save(path)
    if json:
        console.print_json(approval)
        return
    console.say(summarize(chosen))
    until = f" through {expires} (UTC)" if expires else ""
    console.say(
        f"Approved by {approval.approved_by} up to {dollars(max_usd)}{until}: approval "
        f"{approval.approval_id}."
    )
    if chosen.basis == "estimated":
        console.say(
            f"The cost of {dollars(chosen.cost_usd)} is an estimate. `cbi download` gets a quote "
            "first and stops above the ceiling."
        )
    console.say(f"Next: cbi download {name}")


@app.command()
def approvals(json: Json = False, wait: Wait = 600.0) -> None:
    """List approvals and their states. Example: cbi approvals"""
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import list_approvals
    from cbi_assets.formatting import dollars, instant

    with command_session(wait) as session:
        statuses = list_approvals(session)
    if json:
        console.print_json(statuses)
        return
    if not statuses:
        console.say("No approvals yet. Next: cbi plan, then cbi approve")
        return
    rows = [
        (
            approval.approval_id,
            approval.plan_hash[:12],
            status.state,
            approval.approved_by,
            instant(approval.approved_at),
            dollars(approval.max_usd),
            f"{approval.expires_at:%Y-%m-%d}" if approval.expires_at else "",
            len(approval.request_ids),
        )
        for status in statuses
        for approval in [status.approval]
    ]
    columns = ["approval", "plan", "state", "by", "at (UTC)", "ceiling", "expires (UTC)",
               "requests"]  # fmt: skip
    console.table("Approvals", columns, rows)


def _show_plan(made: Plan, page: Path) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.plan_page import compare_space, rows_by_root, summarize

    if rows := rows_by_root(made):
        cells = [list(row.values()) for row in rows]
        console.table(f"Plan {made.plan_hash[:12]}", list(rows[0]), cells)
    console.say(summarize(made))
    console.say(compare_space(made).replace("**", ""))
    console.say(f"Written to {page}, and as JSON next to it.")
    if made.requests:
        console.say(f"Next: read it, then cbi approve {made.plan_hash[:12]} --by NAME --max-usd N")


def _show_verdicts(wanted: Wanted, json: bool) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.verify_plan import verdict_document, verify

    verdicts = verify(wanted)
    incomplete = [verdict for verdict in verdicts if not verdict.is_complete]
    if json:
        console.print_json(verdict_document(wanted))
    else:
        rows = [
            (v.root, v.timeframe, v.series, v.wanted, v.published, v.gaps, v.missing,
             "; ".join(v.ranges[:3]) + (" …" if len(v.ranges) > 3 else ""))
            for v in verdicts
        ]  # fmt: skip
        columns = ["root", "timeframe", "series", "wanted", "published", "vendor's gaps", "missing",
                   "missing dates"]  # fmt: skip
        console.table(f"Trade dates wanted through {wanted.through}", columns, rows)
        if incomplete:
            console.say_verdict(False, f"{len(incomplete)} of {len(verdicts)} series incomplete")
            console.say("Next: cbi plan")
        else:
            console.say_verdict(True, "every wanted trade date is published, or a gap at Databento")
    if incomplete:
        raise typer.Exit(1)
