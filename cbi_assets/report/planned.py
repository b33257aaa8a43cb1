"""What the universe needs, who may give it, and how the newest download plan stands."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence

from cbi_assets.config.downloads import Policy
from cbi_assets.config.sources import Sources
from cbi_assets.downloads.approvals import Listed
from cbi_assets.downloads.plan_model import Plan as WrittenPlan
from cbi_assets.downloads.planning import request_of
from cbi_assets.downloads.verify_plan import verify
from cbi_assets.downloads.wanted import Wanted
from cbi_assets.errors import UsageError
from cbi_assets.report.facts import Need, SourceRule
from cbi_assets.report.judgements import Plan
from cbi_assets.session import Project


def needs_of(project: Project, wanted: Wanted) -> tuple[Need, ...]:
    """What is wanted, published and missing, by root and timeframe."""
    besides: dict[tuple[str, str], list[str]] = defaultdict(list)
    for held in wanted.held:
        if not held.counts:
            name = "contracts" if held.series == "outright" else held.series
            besides[held.root, held.timeframe].append(f"{name} on {held.trade_dates:,} dates")
    found = [
        Need(
            root=verdict.root,
            name=project.universe.roots[verdict.root].name,
            tier=project.universe.roots[verdict.root].tier,
            timeframe=coverage.timeframe,
            series=verdict.series,
            wanted=verdict.wanted,
            published=verdict.published,
            gaps=verdict.gaps,
            missing=verdict.missing,
            ranges=verdict.ranges,
            also_held="; ".join(besides[verdict.root, verdict.timeframe]),
        )
        for verdict, coverage in zip(verify(wanted), wanted.coverages, strict=True)
    ]
    return tuple(found)


def source_rules(sources: Sources, demo: bool) -> tuple[SourceRule, ...]:
    """The frozen hierarchy, first the source that stands above the others."""
    rules = [
        SourceRule(
            f"Databento {', '.join(sources.datasets(demo))}",
            "all prices and volumes of futures",
            "the only source of prices; nothing overrides it",
        )
    ]
    if sources.stitch is not None:
        stitch = sources.stitch
        rules.append(
            SourceRule(
                stitch.source,
                f"{stitch.root} before {stitch.boundary}",
                f"the one stitch: scale {stitch.scale:g}, adjustment {stitch.adjustment}, "
                f"{stitch.close_kind} closes; no row from {stitch.boundary} on",
            )
        )
    for name, source in sources.staging.sources.items():
        named = ", ".join(source.names) or "the files declared as its own"
        rules.append(SourceRule(name, ", ".join(source.kinds), f"rows that name {named}"))
    rules += [
        SourceRule(f"{refused.starts}…", "nothing", refused.reason)
        for refused in sources.staging.refused
    ]
    rules.append(
        SourceRule("any other name, or none", "nothing", "a row must name a source from above")
    )
    return tuple(rules)


def read_plans(project: Project) -> tuple[list[WrittenPlan], list[str]]:
    """This home's plans, the earliest first; and, a line each, the files that are none."""
    plans, broken = [], []
    for path in sorted(project.home.plans.glob("*.json")):
        try:
            plans.append(WrittenPlan.load(path))
        except UsageError as error:
            broken.append(str(error))
    return sorted(plans, key=lambda plan: plan.made_at), broken


def plan_of(
    project: Project,
    policy: Policy,
    plans: Sequence[WrittenPlan],
    wanted: Wanted,
    approvals: Sequence[Listed],
) -> Plan | None:
    """The newest plan that asks for anything. `current` counts its requests that still lie in what
    is missing now."""
    asking = [plan for plan in plans if plan.requests]
    if not asking:
        return None
    newest = asking[-1]
    missing: dict[tuple[str, str], list[tuple[dt.date, dt.date]]] = defaultdict(list)
    for coverage in wanted.coverages:
        for found in coverage.ranges:
            request = request_of(project, policy, coverage, found)
            missing[request.root, request.schema].append((request.start, request.end))
    current = sum(
        any(start <= request.start and request.end <= end
            for start, end in missing[request.root, request.schema])
        for request in newest.requests
    )  # fmt: skip
    own = [listed for listed in approvals if listed.approval.plan_hash == newest.plan_hash]
    return Plan(
        plan_hash=newest.plan_hash,
        made_at=newest.made_at,
        through=newest.through,
        requests=len(newest.requests),
        current=current,
        cost_usd=newest.cost_usd,
        bytes=newest.bytes,
        basis=newest.basis,
        approval=own[-1].state if own else "none",
    )
