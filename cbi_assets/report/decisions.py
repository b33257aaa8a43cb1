"""What waits for a person, and the next step as the exact command."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from cbi_assets.checks import TABLE_CHECK
from cbi_assets.formatting import dollars, number, plural
from cbi_assets.report.checklists import RAW_IDS, behind
from cbi_assets.report.facts import Audit, TroubleKind
from cbi_assets.report.judgements import Decision, Step
from cbi_assets.tables import DAILY_ML_MATRIX

LISTED = 50
"""Conflicts and quarantines that are told one by one; the others together."""

_UNAPPROVED = ("none", "expired", "edited")
_TO_MEND: dict[TroubleKind, str] = {
    "missing": "{} that a manifest lists, but not on the drive: fetch it again from Databento",
    "refused": "{} refused: the reason stands at each; fetch it again or take it off the drive",
    "unlisted": "{} that cannot be read: mend the permissions",
    "gone": "{} loaded and no longer on the drive: put it back, or keep its bars as they are",
    "misnamed": "{} whose name says other than its content: the content counts; rename it",
}


def decisions_of(
    audit: Audit, quarantined: pl.DataFrame, conflicts: pl.DataFrame, broken_plans: Sequence[str]
) -> tuple[Decision, ...]:
    """Everything that waits: conflicts, quarantine, files, plans, staging's conflicts."""
    found = [
        *(
            Decision(
                "conflict",
                f"{row['root']} {row['timeframe']}: {plural(row['bars'], 'bar')} of {row['path']} "
                f"disagree with published ones, the first at {row['first_ts_event']:%Y-%m-%d %H:%M}"
                " UTC. Take the wrong one of the two files off the drive and its bars out",
                row["bars"],
                f"cbi unload --file {row['source_file_id'][:12]}",
            )
            for row in conflicts.head(LISTED).iter_rows(named=True)
        ),
        *(
            Decision(
                "quarantine",
                f"{row['root'] or 'no root'} {row['timeframe']}: {plural(row['records'], 'record')}"
                f" of {row['path']} set aside: {row['reason']}"
                + (f" (and {plural(row['reasons'] - 1, 'other reason')})" if row["reasons"] > 1
                   else "")
                + ". If the file is damaged, fetch it again and take this one out",
                row["records"],
                f"cbi unload --file {row['source_file_id'][:12]}",
            )
            for row in quarantined.head(LISTED).iter_rows(named=True)
        ),
    ]  # fmt: skip
    for frame, noun in ((conflicts, "conflict"), (quarantined, "quarantine")):
        if frame.height > LISTED:
            column = "bars" if frame is conflicts else "records"
            rest = int(frame.tail(frame.height - LISTED)[column].sum())
            told = f"{number(rest)} more, in {plural(frame.height - LISTED, 'file')} and root"
            kind = "conflict" if noun == "conflict" else "quarantine"
            found.append(Decision(kind, f"{noun}: {told}", rest, "cbi audit --json"))  # type: ignore[arg-type]
    for trouble_kind, told in _TO_MEND.items():
        count = sum(trouble.kind == trouble_kind for trouble in audit.drive.troubles)
        if count:
            found.append(
                Decision("file", told.format(plural(count, "file")), count, "cbi inventory")
            )
    found += [Decision("file", why, 1, "cbi plan") for why in broken_plans]
    plan = audit.plan
    if plan is not None and plan.approval in _UNAPPROVED and plan.current:
        why = "" if plan.approval == "none" else f" (its approval is {plan.approval})"
        found.append(
            Decision(
                "plan",
                f"plan {plan.plan_hash[:12]} of {plan.made_at:%Y-%m-%d}: "
                f"{plural(plan.requests, 'request')}, {dollars(plan.cost_usd)} ({plan.basis}), "
                f"not approved{why}",
                plan.requests,
                f"cbi approve {plan.plan_hash[:12]} --by NAME --max-usd N",
            )
        )
    at_odds = [source for source in audit.staging if source.conflicts]
    found += [
        Decision(
            "staging conflict",
            f"{source.path}, {source.source or 'no source'}: "
            f"{plural(source.conflicts, 'observation')} with different values for one date, none "
            "of them published. Export it again with one value a date",
            source.conflicts,
            "cbi load",
        )
        for source in at_odds
    ]
    return tuple(found)


def next_step(audit: Audit, built: pl.DataFrame) -> Step:
    """The first thing to do now, of: connect, load, settle, build, check, plan, approve, download.

    `built` is what the matrix holds by root.
    """
    return (
        _step_of_loading(audit) or _step_of_the_tables(audit, built) or _step_of_downloading(audit)
    )


def _step_of_loading(audit: Audit) -> Step | None:
    drive = audit.drive
    loaded = bool(audit.partitions)
    if not drive.mounted and not loaded:
        why = (
            f"{drive.path} is not there: mount it, or correct CBI_DRIVE"
            if drive.path
            else "CBI_DRIVE is not set: name the drive's root, in the environment or in .env"
        )
        return Step("cbi config --check", why)
    waiting = [source for source in audit.staging if source.verdict == "waiting"]
    if drive.mounted and drive.waiting_files:
        return Step(
            "cbi load",
            f"{plural(drive.waiting_files, 'file')} with {number(drive.waiting_records)} records "
            "on the drive are not loaded",
        )
    if drive.mounted and waiting:
        return Step("cbi load", f"{plural(len(waiting), 'file')} of staging not judged yet")
    return None


def _step_of_the_tables(audit: Audit, built: pl.DataFrame) -> Step | None:
    failed = [check for check in audit.failed if check.table in RAW_IDS]
    conflicts = [decision for decision in audit.decisions if decision.kind == "conflict"]
    if failed and conflicts:
        return Step(conflicts[0].command, conflicts[0].what)
    held = [
        check
        for check in audit.checks
        if check.table in RAW_IDS and audit.rows_of(check.table) and check.stale
    ]
    late = behind(audit, built)
    barred = {o.partition.partition("|")[0] for check in failed for o in check.offenders}
    if todo := [root for root in late if root not in barred]:
        return Step(
            "cbi build", f"the matrix is behind the bars of {', '.join(todo[:6])}"
            + (f" and {len(todo) - 6} more" if len(todo) > 6 else "")
        )  # fmt: skip
    for check in audit.checks:
        if check.table == DAILY_ML_MATRIX.id and (
            check.name == "matrix_is_point_in_time" and check.state == "fails"
        ):
            return Step("cbi build", "the matrix differs from what its bars give")
    waiting = [
        check
        for check in audit.checks
        # a table's own form is checked with the rest; alone it is no reason to
        if check.state == "not run" and check.name != TABLE_CHECK.name
        if audit.rows_of(check.table)
    ]
    if held or waiting:
        count = len(held) + len(waiting)
        return Step("cbi check", f"{plural(count, 'check')} not run since the newest load")
    if audit.failed:
        first = audit.failed[0]
        return Step("cbi check", f"{first.name} fails on {first.table}: see the offenders")
    return None


def _step_of_downloading(audit: Audit) -> Step:
    plan = audit.plan
    missing = sum(need.missing for need in audit.needs)
    if plan is not None and plan.current and plan.approval in ("valid", "begun"):
        return Step(f"cbi download {plan.plan_hash[:12]}", f"its approval is {plan.approval}")
    if not missing:
        return Step("cbi load", "nothing is missing; new files on the drive are loaded by this")
    if plan is None or plan.current < plan.requests or plan.approval == "used up":
        why = f"{number(missing)} trade dates are wanted, not published and not the vendor's gaps"
        return Step("cbi plan", why)
    return Step(
        f"cbi approve {plan.plan_hash[:12]} --by NAME --max-usd N",
        f"{number(missing)} trade dates are missing; the plan for them waits for a person",
    )
