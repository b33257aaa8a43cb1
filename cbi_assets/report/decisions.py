"""List what needs action, and choose the next command to run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import polars as pl

from cbi_assets.checks import SPEC_CHECK
from cbi_assets.formatting import dollars, number, plural
from cbi_assets.report.audit_model import Audit, Decision, DecisionKind, Step, TroubleKind
from cbi_assets.report.checklists import RAW_IDS, failing_partitions, roots_behind
from cbi_assets.tables import DAILY_ML_MATRIX

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


def next_step(audit: Audit, built: pl.DataFrame) -> Step:
    """Return what to do first: connect, load, settle, build, check, plan, approve or download.

    `built` is the result of report/built_roots.sql.
    """
    return _loading_step(audit) or _table_step(audit, built) or _download_step(audit)


def _loading_step(audit: Audit) -> Step | None:
    drive = audit.drive
    if not drive.mounted:
        if not audit.partitions.is_empty():
            return None
        why = (
            f"{drive.path} is not there: mount it, or correct CBI_DRIVE"
            if drive.path
            else "CBI_DRIVE is not set: name the drive's root, in the environment or in .env"
        )
        return Step("cbi config --check", why)
    if drive.waiting_files:
        files, records = plural(drive.waiting_files, "file"), number(drive.waiting_records)
        return Step("cbi load", f"{files} with {records} records on the drive are not loaded")
    if waiting := audit.staging.filter(verdict="waiting").height:
        return Step("cbi load", f"{plural(waiting, 'staging file')} not validated yet")
    return None


def _table_step(audit: Audit, built: pl.DataFrame) -> Step | None:
    with_rows = audit.tables.filter(pl.col("rows") > 0)["id"].to_list()
    is_raw = pl.col("table").is_in(RAW_IDS)
    failed = audit.failed.filter(is_raw)
    conflict = next((one for one in audit.decisions if one.kind == "conflict"), None)
    if conflict and not failed.is_empty():
        return Step(conflict.command, conflict.what)
    skipped = {partition.partition("|")[0] for partition in failing_partitions(failed)}
    if roots := [root for root in roots_behind(audit, built) if root not in skipped]:
        more = f" and {len(roots) - 6} more" if len(roots) > 6 else ""
        return Step("cbi build", f"the matrix is behind the bars of {', '.join(roots[:6])}{more}")
    stale_matrix = audit.failed.filter(table=DAILY_ML_MATRIX.id, name="matrix_is_point_in_time")
    if not stale_matrix.is_empty():
        return Step("cbi build", "the matrix differs from one built from the present bars")
    # a table's own form is checked along with the rest, and is no reason for a run of its own
    is_due = (pl.col("state") == "not run") & (pl.col("name") != SPEC_CHECK)
    checks = audit.checks.filter(pl.col("table").is_in(with_rows))
    if due := checks.filter((is_raw & pl.col("stale")) | is_due).height:
        return Step("cbi check", f"{plural(due, 'check')} not run since the newest load")
    for row in audit.failed.head(1).iter_rows(named=True):
        return Step("cbi check", f"{row['name']} fails on {row['table']}: see the offenders")
    return None


def _download_step(audit: Audit) -> Step:
    plan, missing = audit.plan, audit.missing_dates
    if plan is not None and plan.current and plan.approval in ("valid", "begun"):
        return Step(f"cbi download {plan.plan_hash[:12]}", f"its approval is {plan.approval}")
    if not missing:
        return Step("cbi load", "nothing is missing; this loads new files on the drive")
    if plan is None or plan.current < plan.requests or plan.approval == "used up":
        why = "trade dates are wanted, not published, and not missing at the vendor"
        return Step("cbi plan", f"{number(missing)} {why}")
    return Step(
        f"cbi approve {plan.plan_hash[:12]} --by NAME --max-usd N",
        f"{number(missing)} trade dates are missing; the plan for them is not approved",
    )
