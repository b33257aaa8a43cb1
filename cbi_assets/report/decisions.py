"""List what needs action, each with the command that settles or shows it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import polars as pl

from cbi_assets.formatting import dollars, number, plural
from cbi_assets.report.audit_model import Audit, Decision, DecisionKind, TroubleKind

LISTED = 50
"""Conflicts and quarantines listed one by one; the rest are summed up."""

_UNAPPROVED = ("none", "expired", "edited")
_FILE_PROBLEMS: dict[TroubleKind, str] = {
    "missing": "{} listed by a manifest but not on the drive: download again from Databento",
    "refused": "{} refused, each with its reason: download again or remove from the drive",
    "unlisted": "{} unreadable: fix the permissions",
    "gone": "{} loaded and no longer on the drive: put it back, or keep its bars",
    "misnamed": "{} whose name does not match the content, which counts: rename it",
}


def decisions_of(
    audit: Audit, quarantined: pl.DataFrame, conflicts: pl.DataFrame, broken_plans: Sequence[str]
) -> tuple[Decision, ...]:
    """Return everything that needs action: bars, files, the newest plan, and staging.

    `quarantined` and `conflicts` are the results of the queries of those names in sql/report.
    """
    return (
        *_bar_decisions(conflicts, quarantined),
        *_file_decisions(audit, broken_plans),
        *_plan_decision(audit),
        *(
            Decision(
                "staging conflict",
                f"{row['path']}, {row['source'] or 'no source'}: "
                f"{plural(row['conflicts'], 'observation')} with different values for one date, "
                "none of them published. Export it again with one value per date",
                row["conflicts"],
                "cbi load",
            )
            for row in audit.staging.filter(pl.col("conflicts") > 0).iter_rows(named=True)
        ),
    )


def _bar_decisions(conflicts: pl.DataFrame, quarantined: pl.DataFrame) -> Iterator[Decision]:
    for row in conflicts.head(LISTED).iter_rows(named=True):
        yield Decision(
            "conflict",
            f"{row['root']} {row['timeframe']}: {plural(row['bars'], 'bar')} of {row['path']} "
            f"disagree with published ones, the first at {row['first_ts_event']:%Y-%m-%d %H:%M} "
            "UTC. Remove the wrong one of the two files from the drive, and unload its bars",
            row["bars"],
            f"cbi unload --file {row['source_file_id'][:12]}",
        )
    for row in quarantined.head(LISTED).iter_rows(named=True):
        others = row["reasons"] - 1
        yield Decision(
            "quarantine",
            f"{row['root'] or 'no root'} {row['timeframe']}: {plural(row['records'], 'record')} "
            f"of {row['path']} quarantined: {row['reason']}"
            + (f" (and {plural(others, 'other reason')})" if others else "")
            + ". If the file is damaged, download it again and unload this one",
            row["records"],
            f"cbi unload --file {row['source_file_id'][:12]}",
        )
    if rest := conflicts[LISTED:]["bars"].to_list():
        yield _rest("conflict", rest)
    if rest := quarantined[LISTED:]["records"].to_list():
        yield _rest("quarantine", rest)


def _rest(kind: DecisionKind, counts: list[int]) -> Decision:
    what = f"{kind}: {number(sum(counts))} more, in {plural(len(counts), 'file')} and root"
    return Decision(kind, what, sum(counts), "cbi audit --json")


def _file_decisions(audit: Audit, broken_plans: Sequence[str]) -> Iterator[Decision]:
    for kind, problem in _FILE_PROBLEMS.items():
        if count := audit.drive.count(kind):
            yield Decision("file", problem.format(plural(count, "file")), count, "cbi inventory")
    damaged = audit.drive.jobs.filter("manifest_damaged")
    for row in damaged.iter_rows(named=True):
        yield Decision(
            "file",
            f"{row['job']}: its manifest is damaged, and {plural(row['refused'], 'file')} of it "
            "refused. Download it again, or take the job as it is",
            row["refused"],
            f"cbi accept --job {shlex.quote(row['job'])} --by NAME --why TEXT",
        )
    for why in broken_plans:
        yield Decision("file", why, 1, "cbi plan")


def _plan_decision(audit: Audit) -> Iterator[Decision]:
    plan = audit.plan
    if plan is not None and plan.approval in _UNAPPROVED and plan.current:
        why = "" if plan.approval == "none" else f" (its approval is {plan.approval})"
        yield Decision(
            "plan",
            f"plan {plan.plan_hash[:12]} of {plan.made_at:%Y-%m-%d}: "
            f"{plural(plan.requests, 'request')}, {dollars(plan.cost_usd)} ({plan.basis}), not "
            f"approved{why}",
            plan.requests,
            f"cbi approve {plan.plan_hash[:12]} --by NAME --max-usd N",
        )
