"""Show what is on the drive, and what a load did with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl

from cbi_assets.cli.console import say, say_verdict, table
from cbi_assets.cli.show_checks import (
    check_document,
    count_results,
    show_checks,
    show_findings,
)
from cbi_assets.cli.show_lights import show_lights
from cbi_assets.drive.file_records import FileRecord
from cbi_assets.drive.inventory import (
    FolderRow,
    by_folder,
    count_trusts,
    jobs_document,
    trusts_of,
)
from cbi_assets.drive.sidecars import is_manifest
from cbi_assets.drive.survey import Survey
from cbi_assets.formatting import plural, size
from cbi_assets.ledger.books import BOOK_COLUMNS, LOAD_COUNTS, books_by_table, unverified
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.report.lights import Lights
from cbi_assets.warehouse.base import JobCost

_LISTED = 10
"""Lines of one kind that a command prints without --all."""

_BRIEF = ("folder", "records", "range", "trust")
"""The columns of an inventory without --all."""

STAGING_COUNTS = ("observations", "published", "duplicates", "refused", "conflicts")


def show_inventory(survey: Survey, lights: Lights, *, everything: bool = False) -> None:
    """Print the folders with bars, what is not right, whether all was readable, and the lights.

    If `everything`, print every folder and staging file, with what its name claims.
    """
    rows = by_folder(survey)
    columns = list(FolderRow("drive", "").shown()) if everything else list(_BRIEF)
    for area, title in (("drive", "On the drive"), ("staging", "In staging")):
        listed = [
            [row.shown()[column] for column in columns]
            for row in rows
            if row.area == area and (everything or (area == "drive" and row.records))
        ]
        if listed:
            table(title, columns, listed)
    show_unread(survey, None if everything else _LISTED)
    for item in survey.unreadable:
        say(f"refused: {item.path}: {item.reason}")
    say(f"Bars and files like them: {count_trusts(trusts_of(survey)) or 'none'}.")
    refused = len(survey.refused) + len(survey.unreadable)
    found = f"{plural(len(survey.files), 'file')}, {survey.read:,} of them read now"
    say_verdict(not refused, f"{found}, {refused:,} refused" if refused else found)
    show_lights(lights)


def show_unread(survey: Survey, limit: int | None = None) -> None:
    """Print the files that were refused, and those that are still being written."""
    say_some(_unread(survey), limit)


def say_some(lines: Sequence[str], limit: int | None) -> None:
    """Print these lines, at most `limit` of them, and how many there are more."""
    for line in lines[:limit]:
        say(line)
    if limit is not None and len(lines) > limit:
        say(f"… and {len(lines) - limit:,} more: --all lists them.")


def _unread(survey: Survey) -> list[str]:
    """Return one line per refused file, but one per job whose manifest is damaged."""
    of_job: dict[str, list[FileRecord]] = defaultdict(list)
    lines = []
    for file in survey.refused:
        if file.fault == "manifest":
            of_job[file.folder].append(file)
        else:
            lines.append(f"refused: {file.path}: {file.reason}")
    for folder, files in of_job.items():
        of_bars = [file for file in files if not is_manifest(file.name)]
        first, *others = of_bars or files
        more = f" (and {plural(len(others), 'more file')} of its job)" if others else ""
        lines.append(f"refused: {folder}/{first.name}{more}: {first.reason}")
    return [*lines, *(f"waiting: {path}: {reason}" for path, reason in survey.changing)]


def show_load(
    outcome: LoadOutcome,
    by_file: pl.DataFrame,
    staged: StagingOutcome,
    lights: Lights,
    *,
    everything: bool = False,
) -> None:
    """Print what is not right, the books in one line, whether the load passed, and the lights.

    If `everything`, print partitions, books, staging and checks as tables, too.
    """
    limit = None if everything else _LISTED
    say_some(_unread(outcome.survey), limit)
    say_some([f"refused: {item.path}: {item.reason}" for item in outcome.survey.unreadable], limit)
    say_some([f"skipped: {item.path}: {item.reason}" for item in outcome.survey.skipped], limit)
    say_some(
        [
            f"quarantined: {file.path}: {file.quarantined:,} of {plural(file.records, 'record')}, "
            f"first record {file.record_no:,}: {file.reason}"
            for file in outcome.quarantined
        ],
        limit,
    )
    for reason in outcome.stopped.values():
        say(f"stopped: {reason}")
    say_some(
        [
            f"{row['path']}: {row['difference']} of {row['records']} records are not accounted for."
            for row in by_file.filter(pl.col("difference") != 0).iter_rows(named=True)
        ],
        limit,
    )
    say_some(_staging_problems(staged), limit)
    files, bars = unverified(by_file)
    if files:
        say(
            f"unverified: {plural(files, 'loaded file')} with {plural(bars, 'bar')}: no manifest "
            "lists them."
        )
    checks = [*outcome.checks, *staged.checks]
    if everything:
        _show_tables(outcome, by_file, staged)
        show_checks(checks)
    else:
        show_findings(checks)
    if not by_file.is_empty():
        say(describe_books(by_file))
    if outcome.cost is not None:
        say(f"BigQuery: {describe_cost(outcome.cost)}")
    passed = not (outcome.has_failures or staged.has_failures)
    failed, warned = count_results(checks)
    say_verdict(passed, _describe(outcome, staged, failed), warned)
    show_lights(lights)


def load_document(
    outcome: LoadOutcome, by_file: pl.DataFrame, staged: StagingOutcome, lights: Lights
) -> dict[str, Any]:
    """Return what a load did as JSON values."""
    return {
        "load_id": outcome.load_id,
        "lights": lights.document(),
        "published": outcome.published,
        "unverified": dict(zip(("files", "bars"), unverified(by_file), strict=True)),
        "trust": trusts_of(outcome.survey),
        "jobs": jobs_document(outcome.survey),
        "partitions": outcome.partitions,
        "renamed": {"|".join(key): bars for key, bars in sorted(outcome.renamed.items())},
        "quarantined": outcome.quarantined,
        "stopped": outcome.stopped,
        "overlaps": outcome.overlaps,
        "refused": [{"path": file.path, "reason": file.reason} for file in outcome.survey.refused],
        "still_changing": [{"path": p, "reason": why} for p, why in outcome.survey.changing],
        "files_read": outcome.survey.read,
        "spent": outcome.cost,
        "books": by_file.to_dicts(),
        "checks": [check_document(result) for result in (*outcome.checks, *staged.checks)],
        "staging": {
            "load_id": staged.load_id,
            "entries": staged.entries,
            "troubles": staged.problems,
            "known": staged.known,
        },
    }


def describe_cost(cost: JobCost) -> str:
    """Return what a warehouse's jobs cost, on one line."""
    return (
        f"{plural(cost.jobs, 'job')}, {size(cost.bytes_uploaded)} sent, "
        f"{size(cost.bytes_billed)} billed, {cost.slot_ms / 1e3:,.1f} s of slot time"
    )


def _show_tables(outcome: LoadOutcome, by_file: pl.DataFrame, staged: StagingOutcome) -> None:
    """Print the partitions and overlaps of a load, the books by table, and staging by source."""
    if outcome.load_id is not None:
        counts = LOAD_COUNTS[1:]  # records are the sum of the others
        rows = [
            (p.key, p.files, p.rows_before, p.rows_after, *(getattr(p, name) for name in counts))
            for p in outcome.partitions
        ]
        headings = ["partition", "files", "rows before", "rows after", *counts]
        table(f"Load {outcome.load_id}", headings, rows)
    if outcome.overlaps:
        pairs = Counter((o.job, o.other_job, o.timeframe) for o in outcome.overlaps)
        listed = [(*pair, count) for pair, count in sorted(pairs.items())]
        table("Overlapping jobs", ["job", "other job", "timeframe", "roots"], listed)
    columns = ["schema", "files", *BOOK_COLUMNS]
    headings = ["table", *(name.replace("_", " ") for name in columns[1:])]
    table("The books", headings, books_by_table(by_file).select(columns).rows())
    if staged.entries:
        names = ("path", "source", "verdict", *STAGING_COUNTS, "reason")
        table("Staging", names, [[getattr(e, name) for name in names] for e in staged.entries])


def _staging_problems(staged: StagingOutcome) -> list[str]:
    """Return a line per staging file that was not read, and per source with rows not taken."""
    return [
        *(f"not read: {problem}" for problem in staged.problems),
        *(
            f"staging: {entry.path}{f' ({entry.source})' if entry.source else ''}: {entry.verdict}"
            f"{f': {entry.reason}' if entry.reason else ''}"
            for entry in staged.entries
            if entry.refused or entry.conflicts
        ),
    ]


def describe_books(by_file: pl.DataFrame) -> str:
    """Return the outcome of all records on one line, without the counts that are 0."""
    totals = {name: int(by_file[name].sum()) for name in BOOK_COLUMNS[1:]}
    counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in totals.items() if n)
    records = plural(int(by_file["records"].sum()), "record")
    return f"Books: {plural(by_file.height, 'file')}, {records}: {counts}."


def _describe(outcome: LoadOutcome, staged: StagingOutcome, failed_checks: int) -> str:
    """Return what was published, and what went wrong."""
    if outcome.load_id is None:
        done = "nothing new on the drive, 0 bars published"
    else:
        partitions = plural(len(outcome.partitions), "partition")
        bars = plural(outcome.published, "bar")
        done = f"{bars} published in {partitions} (load {outcome.load_id})"
        if outcome.renamed:
            named = plural(sum(outcome.renamed.values()), "bar")
            done += f", contract of {named} published before named"
    quarantined = sum(part.quarantined for part in outcome.partitions) + outcome.unresolved
    counts = (
        (failed_checks, "check failed", "checks failed"),
        (_count_refused(outcome.survey, staged), "file refused", "files refused"),
        (len(outcome.stopped), "timeframe stopped by its canary", "timeframes stopped"),
        (quarantined, "record quarantined", "records quarantined"),
        (outcome.unresolved, "of them of no known root", "of them of no known root"),
        (sum(part.conflicts for part in outcome.partitions), "conflict", ""),
    )
    return ", ".join([done, *(plural(n, one, many) for n, one, many in counts if n)])


def _count_refused(survey: Survey, staged: StagingOutcome) -> int:
    return len(survey.refused) + len(survey.unreadable) + len(staged.problems)
