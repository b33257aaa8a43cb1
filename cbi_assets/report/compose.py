"""Compose the page of an audit: the seed document's sections, from the live state."""

from __future__ import annotations

from cbi_assets.formatting import instant, number, plural
from cbi_assets.report.facts import Audit, Check
from cbi_assets.report.judgements import Item
from cbi_assets.report.page import Code, Command, Grid, Mark, Page, Section, Text, Ticks
from cbi_assets.report.sections_data import (
    drive_section,
    gaps_section,
    needs_section,
    sources_section,
    staging_section,
    warehouse_section,
)
from cbi_assets.report.sections_state import (
    books_section,
    checks_section,
    coverage_section,
    trading_section,
)

_BEFORE = {
    "load": "Before a load",
    "download": "Before a download",
    "build": "Before a build",
}


def compose(audit: Audit) -> Page:
    """The page: what changed and what to do on top, the checklists last."""
    failed = sum(check.failed for check in audit.failed)
    warned = sum(check.failed for check in audit.checks if check.state == "warns")
    missing = sum(need.missing for need in audit.needs)
    lost = sum(gap.dates for gap in audit.gaps if gap.kind == "lost")
    aside = sum(row.quarantined + row.conflicts for row in audit.books)
    demo = " It is a demo: its bars are synthetic." if audit.demo else ""
    return Page(
        title="Data audit",
        subtitle=f"Made {instant(audit.made_at)} UTC from {audit.home}, warehouse "
        f"{audit.warehouse}; trade dates complete through {audit.through}.{demo}",
        sound=not audit.fell_short,
        verdict=_verdict(audit, failed, aside),
        facts=(
            ("bars in the raw tables", number(sum(p.rows for p in audit.partitions))),
            ("check results that fail", number(failed)),
            ("check results that warn", number(warned)),
            ("trade dates lost inside ranges", number(lost)),
            ("trade dates wanted and missing", number(missing)),
            ("decisions that wait", number(len(audit.decisions))),
        ),
        sections=(
            _since(audit),
            _next(audit),
            _decisions(audit),
            warehouse_section(audit),
            coverage_section(audit),
            drive_section(audit),
            staging_section(audit),
            sources_section(audit),
            needs_section(audit),
            gaps_section(audit),
            checks_section(audit),
            books_section(audit),
            trading_section(audit),
            _checklists(audit),
        ),
    )


def _verdict(audit: Audit, failed: int, aside: int) -> str:
    if not audit.partitions and not audit.loads:
        return "Nothing is loaded yet."
    if not audit.fell_short:
        unseen = sum(check.state == "not run" for check in audit.checks if _has_rows(audit, check))
        rest = f" {plural(unseen, 'check')} has not run yet." if unseen == 1 else (
            f" {plural(unseen, 'check')} have not run yet." if unseen else ""
        )  # fmt: skip
        return f"Sound: no check fails, and every record is accounted for.{rest}"
    reasons = []
    if failed:
        reasons.append(f"{plural(failed, 'check result')} failed")
    if aside:
        reasons.append(f"{plural(aside, 'record')} set aside (quarantine, conflicts)")
    unbalanced = sum(row.difference != 0 for row in audit.books)
    if unbalanced:
        reasons.append(f"the books of {plural(unbalanced, 'job')} do not balance")
    short = [t for t in audit.drive.troubles if t.kind in ("missing", "refused", "unlisted")]
    if short:
        reasons.append(f"{plural(len(short), 'file')} missing, refused or unreadable on the drive")
    return f"Data fell short: {'; '.join(reasons)}."


def _has_rows(audit: Audit, check: Check) -> bool:
    return audit.rows_of(check.table) > 0


def _since(audit: Audit) -> Section:
    since = audit.since
    if since.previous is None:
        told = since.note or "This is the first audit of this home: there is none to compare with."
        return Section("since", "Since last time", [Text(told)])
    head = f"Against the audit of {instant(since.previous)} UTC."
    if not since.changes:
        return Section("since", "Since last time", [Text(f"{head} Nothing changed.")])
    rows = [
        [change.kind, change.what, _there(change.before), _there(change.after)]
        for change in since.changes
    ]
    grid = Grid("What changed", ["kind", "what", "before", "now"], rows)
    return Section("since", "Since last time", [Text(head), grid])


def _next(audit: Audit) -> Section:
    step = audit.next_step
    return Section("next", "Next step", [Text(f"{step.why[:1].upper()}{step.why[1:]}."),
                                         Command(step.command)])  # fmt: skip


def _decisions(audit: Audit) -> Section:
    rows = [
        [decision.kind, decision.what, number(decision.count), Code(decision.command)]
        for decision in audit.decisions
    ]
    grid = Grid(
        "What waits for a person",
        ["kind", "what", "count", "command"],
        rows,
        frozenset({"count"}),
        "Nothing waits: no plan to approve, no conflict, nothing in quarantine.",
    )
    return Section("decisions", "Decisions that wait for a person", [grid])


def _checklists(audit: Audit) -> Section:
    blocks = [
        Ticks(_BEFORE[checklist.before], [_line(item) for item in checklist.items])
        for checklist in audit.checklists
    ]
    told = (
        "Each line is worked out from the state that this page shows. A line that is not known "
        "yet is open. Nothing on this page is started by it: a person types the commands."
    )
    return Section("checklists", "Safety checklists", [Text(told), *blocks])


def _line(item: Item) -> tuple[Mark, str, str]:
    mark: Mark = "open" if item.ok is None else "yes" if item.ok else "no"
    return mark, item.text, item.figure


def _there(value: str | None) -> str:
    return "–" if value is None else value
