"""cbi plan, approve, approvals: what is missing, what it costs, and who lets it be bought."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from cbi_assets.cli.app import Json, PlanName, Symbols, Timeframes, Wait, app, day_option, now_utc


@app.command()
def plan(
    symbol: Symbols = None,
    timeframe: Timeframes = None,
    end: Annotated[dt.date | None, day_option("--to", help="Last trade date wanted.")] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Only the newest days of what is published.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the page and its JSON.")] = Path(
        "docs/data"
    ),
    verify: Annotated[
        bool, typer.Option("--verify", help="Plan nothing: say what is still missing.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Write what is missing, exactly, and what it costs. Example: cbi plan --symbol ZL"""
    from cbi_assets.cli import console
    from cbi_assets.config.universe import select_timeframes
    from cbi_assets.downloads.plan_page import NAME, render
    from cbi_assets.downloads.planning import Scope, make_plan, open_clients, survey_project
    from cbi_assets.session import Project, open_session

    project = Project()
    scope = Scope(
        tuple(symbol or ()),
        select_timeframes(tuple(timeframe or ())),
        end,
        newest,
    )
    project.universe.select(scope.roots)
    with open_session(project, now=now_utc(), wait=wait) as session:
        if verify:
            wanted = survey_project(session, scope)
        else:
            clients = open_clients(project)
            made = make_plan(session, scope, clients)
    if verify:
        _tell_verdicts(wanted, json)
        return
    made.save(project.home.plans / f"{made.plan_hash[:12]}.json")
    made.save(out / f"{NAME}.json")
    page = out / f"{NAME}.md"
    page.write_text(render(made, project.universe))
    if json:
        console.print_json(made.document() | {"page": str(page)})
    else:
        _show(made, page)


@app.command()
def approve(
    plan: PlanName,
    by: Annotated[str, typer.Option(help="Who approves it.")],
    max_usd: Annotated[float, typer.Option("--max-usd", help="The most that may be spent.")],
    expires: Annotated[
        dt.date | None,
        day_option("--expires", help="Last day (UTC) on which it may be bought."),
    ] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Approve a plan, once, up to a ceiling. Example: cbi approve 3f2a91 --by Ann --max-usd 50"""
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import approve as enter_approval
    from cbi_assets.downloads.plan_files import find_plan
    from cbi_assets.downloads.plan_page import dollars, totals
    from cbi_assets.session import Project, open_session

    project = Project()
    chosen = find_plan(project.home, plan)
    with open_session(project, now=now_utc(), wait=wait) as session:
        approval = enter_approval(
            session.warehouse,
            chosen,
            by=by,
            max_usd=max_usd,
            now=now_utc(),
            expires=expires,
        )
    name = chosen.plan_hash[:12]
    kept = project.home.plans / f"{name}.json"
    if not kept.exists():
        chosen.save(kept)
    if json:
        console.print_json(approval)
        return
    console.say(totals(chosen))
    until = f" through {expires} (UTC)" if expires else ""
    console.say(
        f"Approved by {approval.approved_by} up to {max_usd:,.2f} USD{until}: approval "
        f"{approval.approval_id}."
    )
    if chosen.basis == "estimated":
        console.say(
            f"The figures are estimates ({dollars(chosen.cost_usd)} USD). `cbi download` asks for "
            "the price first and stops above the ceiling."
        )
    console.say(f"Next: cbi download {name}")


@app.command()
def approvals(json: Json = False, wait: Wait = 600.0) -> None:
    """List every approval and how it stands. Example: cbi approvals"""
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import list_approvals
    from cbi_assets.session import Project, open_session

    project = Project()
    with open_session(project, now=now_utc(), wait=wait) as session:
        listed = list_approvals(session.warehouse, now_utc())
    if json:
        console.print_json(listed)
        return
    if not listed:
        console.say("No plan was ever approved. `cbi plan` writes one, `cbi approve` approves it.")
        return
    rows = [
        (
            entry.approval.approval_id,
            entry.approval.plan_hash[:12],
            entry.state,
            entry.approval.approved_by,
            f"{entry.approval.approved_at:%Y-%m-%d %H:%M}",
            f"{entry.approval.max_usd:,.2f}",
            f"{entry.approval.expires_at:%Y-%m-%d}" if entry.approval.expires_at else "",
            len(entry.approval.request_ids),
        )
        for entry in listed
    ]
    headings = ["approval", "plan", "state", "by", "at (UTC)", "up to USD", "not from", "requests"]
    console.table("Approvals", headings, rows)


def _show(made: Any, page: Path) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.plan_page import room, summary_rows, totals

    if made.requests:
        rows = summary_rows(made)
        console.table(
            f"Plan {made.plan_hash[:12]}", list(rows[0]), [list(row.values()) for row in rows]
        )
    console.say(totals(made))
    console.say(room(made).replace("**", ""))
    console.say(f"Written to {page}, and as JSON beside it.")
    if made.requests:
        console.say(f"Next: read it, then cbi approve {made.plan_hash[:12]} --by NAME --max-usd N")


def _tell_verdicts(wanted: Any, json: bool) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.verify_plan import verdict_document, verify

    verdicts = verify(wanted)
    short = [verdict for verdict in verdicts if not verdict.whole]
    if json:
        console.print_json(verdict_document(wanted))
    else:
        rows = [
            (v.root, v.timeframe, v.series, v.wanted, v.published, v.gaps, v.missing,
             "; ".join(v.ranges[:3]) + (" …" if len(v.ranges) > 3 else ""))
            for v in verdicts
        ]  # fmt: skip
        headings = ["root", "bars of", "series", "wanted", "published", "vendor's gaps", "missing",
                    "still missing"]  # fmt: skip
        console.table(f"Trade dates wanted through {wanted.through}", headings, rows)
        if short:
            console.say(
                f"{len(short)} of {len(verdicts)} fall short: `cbi plan` says what to ask for."
            )
        else:
            console.say("Wanted = published + the vendor's gaps, everywhere.")
    if short:
        raise typer.Exit(1)
