"""What must hold before a load, a download and a build: each line worked out, with its figure."""

from __future__ import annotations

import datetime as dt

import polars as pl

from cbi_assets.formatting import number, plural, size
from cbi_assets.report.facts import Audit, Check
from cbi_assets.report.judgements import Checklist, Item
from cbi_assets.tables import MACRO_OBSERVATIONS, RAW, YAHOO_BRIDGE

RAW_IDS = tuple(spec.id for spec in RAW.values())


def checklists_of(audit: Audit, built: pl.DataFrame, has_key: bool) -> tuple[Checklist, ...]:
    """The three checklists. `built` is what the matrix holds by root."""
    return (
        Checklist("load", tuple(_before_load(audit))),
        Checklist("download", tuple(_before_download(audit, has_key))),
        Checklist("build", tuple(_before_build(audit, built))),
    )


def _before_load(audit: Audit) -> list[Item]:
    drive = audit.drive
    of_kind = {
        kind: sum(trouble.kind == kind for trouble in drive.troubles)
        for kind in ("missing", "refused", "changing")
    }
    rows = sum(table.rows for table in audit.tables if table.id in RAW_IDS)
    totals = {
        name: sum(getattr(books, name) for books in audit.books)
        for name in ("records", "published", "duplicates", "conflicts", "difference")
    }
    blocked = {source.path for source in audit.staging if source.file_verdict == "blocked"}
    where = drive.path or "CBI_DRIVE is not set"
    return [
        Item("The drive is mounted", drive.mounted, where),
        Item(
            "Every file that a job's manifest lists is there",
            of_kind["missing"] == 0 if drive.mounted else None,
            f"{number(of_kind['missing'])} missing, {plural(drive.files, 'file')} there",
        ),
        Item(
            "Every file of bars was read whole",
            of_kind["refused"] == of_kind["changing"] == 0 if drive.mounted else None,
            f"{number(drive.bar_files)} read, {number(of_kind['refused'])} refused, "
            f"{number(of_kind['changing'])} still being written",
        ),
        Item(
            "The books balance",
            totals["difference"] == 0,
            f"{number(totals['records'])} records read, {number(totals['difference'])} not "
            "accounted for",
        ),
        Item(
            "The raw tables hold what the books say",
            rows == totals["published"],
            f"{number(rows)} rows, {number(totals['published'])} published",
        ),
        _by_checks(audit, "No bar stands twice", "no_duplicate_bars", RAW_IDS),
        Item(
            "Files that overlap agree on every bar",
            totals["conflicts"] == 0,
            f"{number(totals['duplicates'])} equal bars dropped, "
            f"{number(totals['conflicts'])} in conflict",
        ),
        _by_checks(
            audit,
            "Staging gives no price",
            "no_price_from_staging",
            (MACRO_OBSERVATIONS.id,),
            f"{plural(len(blocked), 'file')} blocked",
        ),
    ]


def _before_download(audit: Audit, has_key: bool) -> list[Item]:
    plan, drive = audit.plan, audit.drive
    items = [
        Item(
            "What lies on the drive is loaded first",
            drive.waiting_files == 0 if drive.mounted else None,
            f"{plural(drive.waiting_files, 'file')} with {number(drive.waiting_records)} records "
            "wait",
        ),
        Item(
            "DATABENTO_API_KEY is set",
            has_key,
            "set" if has_key else "not set: prices are estimates, and nothing can be bought",
        ),
    ]
    if plan is None:
        return [*items, Item("A plan is written", False, "none of this home asks for anything")]
    fits = None if drive.free_bytes is None or plan.bytes is None else plan.bytes < drive.free_bytes
    return [
        *items,
        Item(
            "A plan is written",
            True,
            f"plan {plan.plan_hash[:12]}, {plural(plan.requests, 'request')}",
        ),
        Item(
            "No request asks for what is published",
            plan.current == plan.requests,
            f"{number(plan.current)} of {plural(plan.requests, 'request')} lie in what is missing",
        ),
        Item(
            "It reaches the newest complete trade date",
            plan.through >= audit.through,
            f"plan through {plan.through}, complete through {audit.through}",
        ),
        Item("Databento quoted its prices", plan.basis == "quoted", f"{plan.basis} figures"),
        Item(
            "The drive has room",
            fits,
            f"{size(plan.bytes)} to come uncompressed, {size(drive.free_bytes)} free",
        ),
        Item(
            "A person approved it",
            plan.approval in ("valid", "begun"),
            "no approval" if plan.approval == "none" else f"its approval is {plan.approval}",
        ),
    ]  # fmt: skip


def _before_build(audit: Audit, built: pl.DataFrame) -> list[Item]:
    raw = [check for check in audit.checks if check.table in RAW_IDS and _has_rows(audit, check)]
    errors = [check for check in raw if check.severity == "ERROR"]
    failed = sorted({o.partition for c in errors if c.state == "fails" for o in c.offenders})
    old = [check for check in raw if check.stale or check.state == "not run"]
    lost = sum(gap.dates for gap in audit.gaps if gap.kind == "lost")
    waiting = sum(source.verdict == "waiting" for source in audit.staging)
    empty = not raw
    return [
        Item(
            "Bars are loaded",
            not empty,
            f"{number(sum(p.rows for p in audit.partitions))} bars in "
            f"{plural(len(audit.partitions), 'partition')}",
        ),
        Item(
            "Every check of the raw tables holds",
            None if empty else not failed and all(c.state != "not run" for c in errors),
            f"fails on {', '.join(failed[:8])}{' …' if len(failed) > 8 else ''}: left as they were"
            if failed
            else f"{plural(len(errors), 'check')} hold"
            if errors and all(check.state == "holds" for check in errors)
            else f"{sum(check.state == 'not run' for check in errors)} not run",
        ),
        Item(
            "The checks are newer than the bars",
            None if empty else not old,
            f"{plural(len(old), 'check')} not run since the newest load",
        ),
        Item("No date inside a range is lost", lost == 0, f"{plural(lost, 'date')} lost"),
        Item("Staging is judged", waiting == 0, f"{plural(waiting, 'file')} not judged yet"),
        _by_checks(
            audit, "The Yahoo stitch is documented", "stitch_is_documented", (YAHOO_BRIDGE.id,)
        ),
        Item(
            "The matrix has every root with bars",
            None if empty else not behind(audit, built),
            f"behind: {', '.join(behind(audit, built)[:8])}"
            if behind(audit, built)
            else f"{plural(built.height, 'root')} built",
        ),
    ]


def behind(audit: Audit, built: pl.DataFrame) -> list[str]:
    """The roots whose matrix rows end before their sessions, or are not there."""
    last = {row["root"]: row["last_date"] for row in built.iter_rows(named=True)}
    newest: dict[str, dt.date] = {}
    for held in audit.partitions:
        if held.last_session is not None:
            newest[held.root] = max(held.last_session, newest.get(held.root, held.last_session))
    return [root for root, date in newest.items() if root not in last or last[root] < date]


def _has_rows(audit: Audit, check: Check) -> bool:
    return audit.rows_of(check.table) > 0 and check.name != "table_matches_its_spec"


def _by_checks(audit: Audit, text: str, name: str, tables: tuple[str, ...], more: str = "") -> Item:
    found = [
        check
        for check in audit.checks
        if check.name == name and check.table in tables and audit.rows_of(check.table) > 0
    ]
    failed = sum(check.failed for check in found)
    partitions = sum(check.partitions for check in found)
    run = bool(found) and all(check.state != "not run" for check in found)
    told = f"{name}: " + (
        f"fails on {number(failed)} of {plural(partitions, 'result')}"
        if failed
        else f"holds ({plural(partitions, 'result')})"
        if run
        else "no rows to check yet"
        if not found
        else "not run"
    )
    ok = False if failed else True if run else None
    return Item(text, ok, f"{told}; {more}" if more else told)
