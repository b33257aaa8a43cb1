"""cbi approve, approvals: who allowed what to be bought, once or until a date."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets.cli.app import Json, PlanName, Wait, app, command_session, date_option, warn

if TYPE_CHECKING:
    from cbi_assets.downloads.standing import Standing
    from cbi_assets.session import Session


@app.command()
def approve(
    plan: PlanName = None,
    by: Annotated[str, typer.Option(help="Who approves or revokes it.")] = "",
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", help="The most that may be spent on PLAN.")
    ] = None,
    expires: Annotated[
        dt.date | None,
        date_option("--expires", help="Last day (UTC) on which PLAN may be bought."),
    ] = None,
    standing: Annotated[
        bool, typer.Option("--standing", help="Approve the newest days, inside ceilings.")
    ] = False,
    roots: Annotated[
        list[str] | None, typer.Option("--roots", help="Roots; repeatable, or with commas.")
    ] = None,
    schemas: Annotated[
        list[str] | None, typer.Option("--schemas", help="ohlcv-1d, …; repeatable, or with commas.")
    ] = None,
    max_usd_per_run: Annotated[
        float | None, typer.Option("--max-usd-per-run", help="The most that one run may spend.")
    ] = None,
    max_usd_per_month: Annotated[
        float | None,
        typer.Option("--max-usd-per-month", help="The most in one calendar month (UTC)."),
    ] = None,
    until: Annotated[
        dt.date | None, date_option("--until", help="Last day (UTC) of a standing approval.")
    ] = None,
    revoke: Annotated[
        str, typer.Option("--revoke", metavar="ID", help="Revoke a standing approval.")
    ] = "",
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Approve a plan, once, up to a ceiling. Example: cbi approve 3f2a91 --by Ann --max-usd 50"""
    of_plan = {"--max-usd": max_usd, "--expires": expires}
    of_standing = {
        "--roots": roots, "--schemas": schemas, "--max-usd-per-run": max_usd_per_run,
        "--max-usd-per-month": max_usd_per_month, "--until": until,
    }  # fmt: skip
    if standing and not revoke:
        _require("--standing", {"--by": by or None, **of_standing}, {"PLAN": plan, **of_plan})
        _grant(of_standing, by, json, wait)
    elif revoke:
        _require("--revoke", {"--by": by or None}, {"PLAN": plan, **of_plan, **of_standing})
        _revoke(revoke, by, json, wait)
    else:
        _require("a plan", {"PLAN": plan, "--by": by or None, "--max-usd": max_usd}, of_standing)
        assert plan is not None
        assert max_usd is not None
        _approve_plan(plan, by, max_usd, expires, json, wait)


@app.command()
def approvals(json: Json = False, wait: Wait = 600.0) -> None:
    """List approvals and their states. Example: cbi approvals"""
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import list_approvals
    from cbi_assets.downloads.standing import spent_in_month
    from cbi_assets.formatting import dollars, instant

    with command_session(wait) as session:
        statuses = list_approvals(session)
        standing = _list_standing(session)
        spent = spent_in_month(session) if standing else 0.0
    if json:
        shown = [
            {"standing": each, "state": each.state, "spent_this_month_usd": spent}
            for each in standing
        ]
        console.print_json([*statuses, *shown])
        return
    if not statuses and not standing:
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
    if rows:
        console.table("Approvals", columns, rows)
    if standing:
        console.table(
            f"Standing approvals; {dollars(spent)} spent this month",
            ["approval", "state", "by", "until (UTC)", "per run", "per month", "roots", "schemas"],
            [
                (
                    s.approval_id, s.state, s.granted_by, str(s.valid_until),
                    dollars(s.max_usd_per_run), dollars(s.max_usd_per_month), ", ".join(s.roots),
                    ", ".join(s.schemas),
                )
                for s in standing
            ],
        )  # fmt: skip


def _list_standing(session: Session) -> list[Standing]:
    """Return the standing approvals, none if they cannot be verified, which is then logged."""
    from cbi_assets.cli import console
    from cbi_assets.downloads.seal import StandingError
    from cbi_assets.downloads.standing import list_standing

    try:
        return list_standing(session)
    except StandingError as error:
        console.say(str(error))
        return []


def _require(what: str, needed: dict[str, Any], excluded: dict[str, Any]) -> None:
    from cbi_assets.errors import UsageError

    missing = [name for name, value in needed.items() if value is None or value == []]
    wrong = [name for name, value in excluded.items() if value is not None and value != []]
    if missing or wrong:
        name = (missing or wrong)[0]
        problem = f"needed to approve {what}" if missing else f"does not go with {what}"
        if what == "--revoke" and missing:
            problem = "needed to revoke"
        raise UsageError(problem, subject=name, remedy="See `cbi approve --help`.")


def _approve_plan(
    plan: str, by: str, max_usd: float, expires: dt.date | None, json: bool, wait: float
) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.approvals import approve as record_approval
    from cbi_assets.downloads.plan_files import find_plan
    from cbi_assets.downloads.plan_page import summarize
    from cbi_assets.formatting import dollars
    from cbi_assets.session import Project

    project = Project()
    chosen = find_plan(project.home, plan)
    if chosen.basis == "estimated" and chosen.cost_usd is not None and max_usd < chosen.cost_usd:
        warn(
            f"--max-usd {max_usd:,.2f} is below the estimate of {dollars(chosen.cost_usd)}: "
            "`cbi download` buys nothing if the quote is, too."
        )
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


def _grant(given: dict[str, Any], by: str, json: bool, wait: float) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.standing import grant
    from cbi_assets.formatting import dollars

    with command_session(wait) as session:
        standing = grant(
            session,
            roots=_split(given["--roots"]),
            schemas=_split(given["--schemas"]),
            max_usd_per_run=given["--max-usd-per-run"],
            max_usd_per_month=given["--max-usd-per-month"],
            until=given["--until"],
            by=by,
        )
    if json:
        console.print_json(standing)
        return
    console.say(
        f"Approved by {standing.granted_by}: newest days of {', '.join(standing.roots)} in "
        f"{', '.join(standing.schemas)}, up to {dollars(standing.max_usd_per_run)} per run and "
        f"{dollars(standing.max_usd_per_month)} per month, through {standing.valid_until} (UTC): "
        f"standing approval {standing.approval_id}."
    )
    console.say("Next: cbi download --standing, or the sensor stale_bars buys by itself")


def _revoke(approval_id: str, by: str, json: bool, wait: float) -> None:
    from cbi_assets.cli import console
    from cbi_assets.downloads.standing import revoke

    with command_session(wait) as session:
        standing = revoke(session, approval_id, by=by)
    if json:
        console.print_json(standing)
    else:
        console.say(f"Standing approval {approval_id} is revoked: nothing more is bought under it.")


def _split(values: list[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
