"""Compose an audit's page: headline, next step and changes first, the checklists last."""

from __future__ import annotations

import polars as pl

from cbi_assets.formatting import instant, number, plural
from cbi_assets.report.audit_model import FAILURES, Audit
from cbi_assets.report.check_sections import checks_section, incidents_section
from cbi_assets.report.column_section import columns_section
from cbi_assets.report.data_sections import (
    drive_section,
    freshness_section,
    needs_section,
    staging_section,
    warehouse_section,
)
from cbi_assets.report.page import Block, Command, Mark, Page, Section, Text, Ticks, grid
from cbi_assets.report.state_sections import (
    books_section,
    coverage_section,
    trading_section,
)

_MARKS: dict[bool | None, Mark] = {True: "yes", False: "no", None: "open"}


def compose(audit: Audit) -> Page:
    """Return the page of an audit."""
    warned = int(audit.checks.filter(state="warns")["failed"].sum())
    demo = " It is a demo: its bars are synthetic." if audit.demo else ""
    return Page(
        title="Data audit",
        subtitle=f"Made {instant(audit.made_at)} UTC from {audit.home}, warehouse "
        f"{audit.warehouse}; {_through(audit)}.{demo}",
        lights=audit.lights,
        passed=not audit.has_failures,
        verdict=_verdict(audit),
        facts=(
            ("bars in the raw tables", number(audit.raw_rows)),
            ("check results that fail", number(audit.failed_results)),
            ("check results that warn", number(warned)),
            ("trade dates lost inside ranges", number(audit.lost_dates)),
            ("trade dates wanted and missing", number(audit.missing_dates)),
            ("decisions that need action", number(len(audit.decisions))),
        ),
        sections=(
            _next(audit),
            _since(audit),
            incidents_section(audit),
            checks_section(audit),
            freshness_section(audit),
            coverage_section(audit),
            needs_section(audit),
            trading_section(audit),
            columns_section(),
            drive_section(audit),
            staging_section(audit),
            warehouse_section(audit),
            books_section(audit),
            _checklists(audit),
        ),
    )


def _through(audit: Audit) -> str:
    through = audit.lights.through
    return "no data yet" if through is None else through.text


def _verdict(audit: Audit) -> str:
    if audit.partitions.is_empty() and audit.loads.is_empty():
        return "Nothing is loaded yet."
    if not audit.has_failures:
        with_rows = audit.tables.filter(pl.col("rows") > 0)["id"]
        has_rows = pl.col("table").is_in(with_rows.implode())
        not_run = audit.checks.filter(has_rows, state="not run").height
        rest = f" {plural(not_run, 'check')} not run yet." if not_run else ""
        return f"PASS: no check fails, and every record is accounted for.{rest}"
    reasons = []
    if failed := audit.failed_results:
        reasons.append(f"{plural(failed, 'check result')} failed")
    if rejected := int(audit.books.select(pl.sum("quarantined", "conflicts")).sum_horizontal()[0]):
        reasons.append(f"{plural(rejected, 'record')} quarantined or in conflict")
    if unbalanced := audit.books.filter(pl.col("difference") != 0).height:
        reasons.append(f"the books of {plural(unbalanced, 'job')} do not balance")
    if files := audit.drive.count(*FAILURES):
        reasons.append(f"{plural(files, 'file')} missing, refused or unreadable on the drive")
    return f"FAIL: {'; '.join(reasons)}."


def _since(audit: Audit) -> Section:
    title, since = "Since last time", audit.since
    if since.previous is None:
        first = "This is the first audit of this home: there is none to compare with."
        return Section("since", title, [Text(since.note or first)], "first audit")
    head = f"Against the audit of {instant(since.previous)} UTC."
    if not since.changes:
        return Section("since", title, [Text(f"{head} Nothing changed.")], "no changes")
    rows = [(one.kind, one.what, one.before or "–", one.after or "–") for one in since.changes]
    changes = pl.DataFrame(rows, schema=["kind", "what", "before", "now"], orient="row")
    table = grid("What changed", changes, filter_by="kind")
    return Section("since", title, [Text(head), table], plural(len(rows), "change"))


def _next(audit: Audit) -> Section:
    command, why = audit.lights.next.command, audit.lights.next.text
    rows = [(one.kind, one.what, one.count, one.command) for one in audit.decisions]
    schema = {"kind": pl.String, "what": pl.String, "count": pl.Int64, "command": pl.String}
    table = grid(
        "Needs action",
        pl.DataFrame(rows, schema=schema, orient="row"),
        code=["command"],
        empty="Nothing: no plan to approve, no conflict, nothing quarantined.",
    )
    blocks: list[Block] = [Text(f"{why[:1].upper()}{why[1:]}."), Command(command), table]
    count = f"{number(len(rows))} to decide" if rows else "nothing to decide"
    return Section("next", "Next step", blocks, count, unfolded=True)


def _checklists(audit: Audit) -> Section:
    text = (
        "Each line follows from the state that this page shows. A line that cannot be known yet is "
        "open. Nothing on this page starts anything: a person types the commands."
    )
    ticks = [
        Ticks(
            f"Before a {checklist.before}",
            [(_MARKS[item.ok], item.text, item.figure) for item in checklist.items],
        )
        for checklist in audit.checklists
    ]
    unmet = sum(mark != "yes" for block in ticks for mark, _, _ in block.lines)
    count = f"{number(unmet)} open" if unmet else "all met"
    return Section("checklists", "Safety checklists", [Text(text), *ticks], count)
