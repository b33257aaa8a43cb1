"""Show what is on the drive, and what a load did with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import polars as pl

from cbi_assets.cli.console import say, say_verdict, table
from cbi_assets.cli.show_checks import check_document, count_results, show_checks
from cbi_assets.drive.catalog import FileRecord
from cbi_assets.drive.inventory import FolderRow, by_folder, jobs_document, trusts_of
from cbi_assets.drive.sidecars import is_manifest
from cbi_assets.drive.survey import Survey
from cbi_assets.formatting import plural, size
from cbi_assets.ledger.books import BOOK_COLUMNS, LOAD_COUNTS, books_by_table, unverified
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.warehouse.base import JobCost

STAGING_COUNTS = ("observations", "published", "duplicates", "refused", "conflicts")


def show_inventory(survey: Survey) -> None:
    """Print what the names claim and what the content is, one row per folder."""
    rows = by_folder(survey)
    columns = list(FolderRow("drive", "").shown())
    for area, title in (("drive", "On the drive"), ("staging", "In staging")):
        listed = [list(row.shown().values()) for row in rows if row.area == area]
        if listed:
            table(title, columns, listed)


def show_unread(survey: Survey) -> None:
    """Print the files that were refused, and those that are still being written.

    One line per file, but one per job whose manifest is damaged.
    """
    of_job: dict[str, list[FileRecord]] = defaultdict(list)
    for file in survey.refused:
        if file.fault == "manifest":
            of_job[file.folder].append(file)
        else:
            say(f"refused: {file.path}: {file.reason}")
    for folder, files in of_job.items():
        of_bars = [file for file in files if not is_manifest(file.name)]
        first, *others = of_bars or files
        more = f" (and {plural(len(others), 'more file')} of its job)" if others else ""
        say(f"refused: {folder}/{first.name}{more}: {first.reason}")
    for path, reason in survey.changing:
        say(f"waiting: {path}: {reason}")


def show_load(outcome: LoadOutcome, by_file: pl.DataFrame, staged: StagingOutcome) -> None:
    """Print a load's partitions, the books, staging, the checks, and whether it passed."""
    show_unread(outcome.survey)
    for unlisted in outcome.survey.unreadable:
        say(f"refused: {unlisted.path}: {unlisted.reason}")
    for unlisted in outcome.survey.skipped:
        say(f"skipped: {unlisted.path}: {unlisted.reason}")
    for file in outcome.quarantined:
        say(
            f"quarantined: {file.path}: {file.quarantined:,} of {plural(file.records, 'record')}, "
            f"first record {file.record_no:,}: {file.reason}"
        )
    for reason in outcome.stopped.values():
        say(f"stopped: {reason}")
    files, bars = unverified(by_file)
    if files:
        say(
            f"unverified: {plural(files, 'loaded file')} with {plural(bars, 'bar')}: no manifest "
            "lists them."
        )
    if outcome.cost is not None:
        say(f"BigQuery: {describe_cost(outcome.cost)}")
    if outcome.load_id is not None:
        _show_partitions(outcome)
    _show_books(by_file)
    _show_staging(staged)
    checks = [*outcome.checks, *staged.checks]
    if checks:
        show_checks(checks)
    passed = not (outcome.has_failures or staged.has_failures)
    failed, warned = count_results(checks)
    say_verdict(passed, _describe(outcome, staged, failed), warned)


def load_document(
    outcome: LoadOutcome, by_file: pl.DataFrame, staged: StagingOutcome
) -> dict[str, Any]:
    """Return what a load did as JSON values."""
    return {
        "load_id": outcome.load_id,
        "published": outcome.published,
        "unverified": dict(zip(("files", "bars"), unverified(by_file), strict=True)),
        "trust": trusts_of(outcome.survey),
        "jobs": jobs_document(outcome.survey),
        "partitions": outcome.partitions,
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


def _show_partitions(outcome: LoadOutcome) -> None:
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


def _show_books(by_file: pl.DataFrame) -> None:
    """Print the books by table, and each file whose books do not balance."""
    columns = ["schema", "files", *BOOK_COLUMNS]
    headings = ["table", *(name.replace("_", " ") for name in columns[1:])]
    table("The books", headings, books_by_table(by_file).select(columns).rows())
    for row in by_file.filter(pl.col("difference") != 0).iter_rows(named=True):
        say(
            f"{row['path']}: {row['difference']} of {row['records']} records are not accounted for."
        )


def _show_staging(outcome: StagingOutcome) -> None:
    """Print one row per source of a staging file, with its verdict."""
    for problem in outcome.problems:
        say(f"not read: {problem}")
    if outcome.entries:
        columns = ("path", "source", "verdict", *STAGING_COUNTS, "reason")
        rows = [[getattr(entry, name) for name in columns] for entry in outcome.entries]
        table("Staging", columns, rows)


def _describe(outcome: LoadOutcome, staged: StagingOutcome, failed_checks: int) -> str:
    """Return what was published, and what went wrong."""
    if outcome.load_id is None:
        done = "nothing new on the drive, 0 bars published"
    else:
        partitions = plural(len(outcome.partitions), "partition")
        bars = plural(outcome.published, "bar")
        done = f"{bars} published in {partitions} (load {outcome.load_id})"
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
