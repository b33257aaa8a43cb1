"""Compare what the universe needs with the tables, the sources and the newest download plan."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from cbi_assets.config.downloads import Policy
from cbi_assets.config.settings import Home
from cbi_assets.config.sources import Sources
from cbi_assets.downloads.approvals import ApprovalStatus
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.planning import estimated_costs, request_for
from cbi_assets.downloads.verify_plan import verify
from cbi_assets.downloads.wanted import Wanted
from cbi_assets.errors import UsageError
from cbi_assets.report.audit_model import PlanStatus
from cbi_assets.session import Project, Session


def needs_of(session: Session, wanted: Wanted) -> pl.DataFrame:
    """Return wanted, published and missing trade dates, one row per root and timeframe.

    wanted = published + gaps (missing at the vendor) + missing. `about_usd` is an estimate of what
    the missing ones cost, null if no price is known. `also_held` lists bars in series of the root
    that the universe does not count.
    """
    also_held: dict[tuple[str, str], list[str]] = defaultdict(list)
    for found in wanted.published:
        if not found.counts:
            name = "contracts" if found.series == "outright" else found.series
            dates = f"{name} on {found.trade_dates:,} dates"
            also_held[found.root, found.timeframe].append(dates)
    roots = session.universe.roots
    rows = [
        {
            **asdict(verdict),
            "name": roots[verdict.root].name,
            "tier": roots[verdict.root].tier,
            "also_held": "; ".join(also_held[verdict.root, verdict.timeframe]),
        }
        for verdict in verify(wanted)
    ]
    costs = pl.Series("about_usd", estimated_costs(session, wanted), pl.Float64)
    frame = pl.DataFrame(rows, schema_overrides={"ranges": pl.List(pl.String)})
    return frame.with_columns(costs).select(
        "root", "name", "tier", "timeframe", "series", "wanted", "published", "gaps", "missing",
        "about_usd", "ranges", "also_held",
    )  # fmt: skip


def sources_of(sources: Sources, datasets: Sequence[str]) -> pl.DataFrame:
    """Return what each source may provide, in order of precedence: source, gives, rule."""
    rows = [
        (
            f"Databento {', '.join(datasets)}",
            "all prices and volumes of futures",
            "the only source of prices; nothing overrides it",
        )
    ]
    if (stitch := sources.stitch) is not None:
        rule = (
            f"the one stitch: scale {stitch.scale:g}, adjustment {stitch.adjustment}, "
            f"{stitch.close_kind} closes; no row from {stitch.boundary} on"
        )
        rows.append((stitch.source, f"{stitch.root} before {stitch.boundary}", rule))
    for name, source in sources.staging.sources.items():
        named = ", ".join(source.names) or "the files declared as its own"
        rows.append((name, ", ".join(source.kinds), f"rows that name {named}"))
    rows += [(f"{name.starts}…", "nothing", name.reason) for name in sources.staging.refused]
    rows.append(("any other name, or none", "nothing", "a row must name a source listed above"))
    return pl.DataFrame(rows, schema=["source", "gives", "rule"], orient="row")


def read_plans(home: Home) -> tuple[list[Plan], list[str]]:
    """Return this home's plans, oldest first, and an error line for each unreadable plan file."""
    plans, errors = [], []
    for path in sorted(home.plans.glob("*.json")):
        try:
            plans.append(Plan.load(path))
        except UsageError as error:
            errors.append(str(error))
    return sorted(plans, key=lambda plan: plan.made_at), errors


def plan_of(
    project: Project,
    policy: Policy,
    plans: Sequence[Plan],
    wanted: Wanted,
    approvals: Sequence[ApprovalStatus],
) -> PlanStatus | None:
    """Return the status of the newest plan with requests, or None if there is no such plan."""
    newest = next((plan for plan in reversed(plans) if plan.requests), None)
    if newest is None:
        return None
    missing: dict[tuple[str, str], list[tuple[dt.date, dt.date]]] = defaultdict(list)
    for coverage in wanted.coverages:
        for days in coverage.ranges:
            request = request_for(project.universe, policy, coverage, days)
            missing[request.root, request.schema].append((request.start, request.end))
    current = sum(
        any(start <= request.start and request.end <= end
            for start, end in missing[request.root, request.schema])
        for request in newest.requests
    )  # fmt: skip
    states = [a.state for a in approvals if a.approval.plan_hash == newest.plan_hash]
    return PlanStatus(
        plan_hash=newest.plan_hash,
        made_at=newest.made_at,
        through=newest.through,
        requests=len(newest.requests),
        current=current,
        cost_usd=newest.cost_usd,
        bytes=newest.bytes,
        basis=newest.basis,
        approval=states[-1] if states else "none",
    )
