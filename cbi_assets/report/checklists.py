"""Evaluate the conditions for a load, a download and a build, each with its figure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import polars as pl

from cbi_assets.checks import SPEC_CHECK
from cbi_assets.formatting import number, plural, size
from cbi_assets.ledger.books import BOOK_COLUMNS
from cbi_assets.report.audit_model import Audit, Checklist, Item
from cbi_assets.report.light_rules import State
from cbi_assets.tables import MACRO_OBSERVATIONS, RAW, YAHOO_BRIDGE

RAW_IDS = tuple(spec.id for spec in RAW.values())


def checklists_of(audit: Audit, state: State) -> tuple[Checklist, ...]:
    """Return the three checklists."""
    return (
        Checklist("load", tuple(_before_load(audit))),
        Checklist("download", tuple(_before_download(audit, state.has_key))),
        Checklist("build", tuple(_before_build(audit, state))),
    )


def _before_load(audit: Audit) -> Iterator[Item]:
    drive = audit.drive
    missing, refused = drive.count("missing"), drive.count("refused")
    changing = drive.count("changing")
    rows = sum(audit.rows_of(table_id) for table_id in RAW_IDS)
    totals = audit.books.select(pl.col(BOOK_COLUMNS).sum()).row(0, named=True)
    blocked = audit.staging.filter(file_verdict="blocked")["path"].n_unique()
    yield Item("The drive is mounted", drive.mounted, drive.path or "CBI_DRIVE is not set")
    yield Item(
        "Every file that a job's manifest lists is there",
        missing == 0 if drive.mounted else None,
        f"{number(missing)} missing, {plural(drive.files, 'file')} there",
    )
    yield Item(
        "Every bar file was read completely",
        refused == changing == 0 if drive.mounted else None,
        f"{number(drive.bar_files)} read, {number(refused)} refused, {number(changing)} still "
        "being written",
    )
    yield Item(
        "The books balance",
        totals["difference"] == 0,
        f"{number(totals['records'])} records read, {number(totals['difference'])} not accounted "
        "for",
    )
    yield Item(
        "The raw tables match the books",
        rows == totals["published"],
        f"{number(rows)} rows, {number(totals['published'])} published",
    )
    yield _by_check(audit, "No bar is duplicated", "no_duplicate_bars", RAW_IDS)
    yield Item(
        "Overlapping files agree on every bar",
        totals["conflicts"] == 0,
        f"{number(totals['duplicates'])} duplicates dropped, {number(totals['conflicts'])} in "
        "conflict",
    )
    text, tables = "No price comes from staging", (MACRO_OBSERVATIONS.id,)
    item = _by_check(audit, text, "no_price_from_staging", tables)
    yield replace(item, figure=f"{item.figure}; {plural(blocked, 'file')} blocked")


def _before_download(audit: Audit, has_key: bool) -> Iterator[Item]:
    plan, drive = audit.plan, audit.drive
    yield Item(
        "Every bar file on the drive is loaded",
        drive.waiting_files == 0 if drive.mounted else None,
        f"{plural(drive.waiting_files, 'file')} with {number(drive.waiting_records)} records not "
        "loaded",
    )
    yield Item(
        "DATABENTO_API_KEY is set",
        has_key,
        "set" if has_key else "not set: prices are estimates, and nothing can be bought",
    )
    if plan is None:
        yield Item("There is a plan", False, "no plan of this home has a request")
        return
    requests = plural(plan.requests, "request")
    room = None if drive.free_bytes is None or plan.bytes is None else drive.free_bytes - plan.bytes
    yield Item("There is a plan", True, f"plan {plan.plan_hash[:12]}, {requests}")
    yield Item(
        "No request is for published dates",
        plan.current == plan.requests,
        f"{number(plan.current)} of {requests} still missing",
    )
    yield Item(
        "It reaches the newest complete trade date",
        plan.through >= audit.through,
        f"plan through {plan.through}, complete through {audit.through}",
    )
    yield Item("Databento quoted its prices", plan.basis == "quoted", f"{plan.basis} figures")
    yield Item(
        "The drive has room",
        None if room is None else room > 0,
        f"{size(plan.bytes)} to come uncompressed, {size(drive.free_bytes)} free",
    )
    yield Item(
        "A person approved it",
        plan.approval in ("valid", "begun"),
        "no approval" if plan.approval == "none" else f"its approval is {plan.approval}",
    )


def _before_build(audit: Audit, state: State) -> Iterator[Item]:
    raw = audit.checks.filter(
        pl.col("table").is_in(_with_rows(audit, RAW_IDS)), pl.col("name") != SPEC_CHECK
    )
    errors = raw.filter(severity="ERROR")
    not_run = errors.filter(state="not run").height
    failed = failing_partitions(errors)
    old = raw.filter(pl.col("stale") | (pl.col("state") == "not run")).height
    waiting = audit.staging.filter(verdict="waiting").height
    late = state.roots_behind
    empty = raw.is_empty()
    yield Item(
        "Bars are loaded",
        not empty,
        f"{number(audit.raw_rows)} bars in {plural(audit.partitions.height, 'partition')}",
    )
    yield Item(
        "Every check of the raw tables passes",
        None if empty else not failed and not not_run,
        f"fails on {_first(failed, 8)}: what is built of them stays unchanged"
        if failed
        else f"{number(not_run)} not run"
        if not_run or empty
        else f"{plural(errors.height, 'check')} passed",
    )
    yield Item(
        "The checks are newer than the bars",
        None if empty else not old,
        f"{plural(old, 'check')} not run since the newest load",
    )
    lost = audit.lost_dates
    yield Item("No date inside a range is lost", lost == 0, f"{plural(lost, 'date')} lost")
    yield Item("Staging is validated", not waiting, f"{plural(waiting, 'file')} not validated yet")
    text = "The Yahoo stitch is documented"
    yield _by_check(audit, text, "stitch_is_documented", (YAHOO_BRIDGE.id,))
    yield Item(
        "The matrix has every root with bars",
        None if empty else not late,
        f"behind: {_first(late, 8)}" if late else f"{plural(state.built.height, 'root')} built",
    )


def failing_partitions(checks: pl.DataFrame) -> list[str]:
    """Return the sorted partitions on which any of these checks fails."""
    offenders = checks.filter(state="fails").explode("offenders")["offenders"]
    return offenders.struct.field("partition").unique().sort().to_list()


def _by_check(audit: Audit, text: str, name: str, table_ids: Collection[str]) -> Item:
    """Return the item for one check over those of the tables that have rows."""
    checks = audit.checks.filter(pl.col("table").is_in(_with_rows(audit, table_ids)), name=name)
    results, failed = plural(int(checks["partitions"].sum()), "result"), int(checks["failed"].sum())
    if failed:
        return Item(text, False, f"{name}: fails on {number(failed)} of {results}")
    if checks.is_empty():
        return Item(text, None, f"{name}: no rows to check yet")
    if "not run" in checks["state"]:
        return Item(text, None, f"{name}: not run")
    return Item(text, True, f"{name}: passes ({results})")


def _with_rows(audit: Audit, table_ids: Collection[str]) -> list[str]:
    return [table_id for table_id in table_ids if audit.rows_of(table_id)]


def _first(names: list[str], count: int) -> str:
    return ", ".join(names[:count]) + (" …" if len(names) > count else "")
