"""What people see in a terminal: tables and progress bars on stderr, JSON on stdout."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from cbi_assets.build.build import BuildOutcome
from cbi_assets.checks import CheckResult
from cbi_assets.drive.inventory import FolderRow
from cbi_assets.ledger.books import BOOK_COLUMNS
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.warehouse.base import JobCost

# A file or a pipe has no width; a terminal's own is kept.
console = Console(
    stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140, soft_wrap=False
)


STAGING_COUNTS = ("observations", "published", "duplicates", "refused", "conflicts")


def say(message: str) -> None:
    """One line for people; never markup."""
    console.print(Text(message), soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    json.dump(document, sys.stdout, default=_plain, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


class ReadingProgress:
    """A progress bar over the new files of a drive."""

    def __init__(self, bar: Progress, started: Callable[[], object]) -> None:
        self._bar = bar
        self._started = started
        self._task: TaskID | None = None

    def start(self, files: int, nbytes: int) -> None:
        """So many new files and bytes are to be read."""
        self._started()
        self._bar.start()
        self._task = self._bar.add_task(f"reading {files:,} new files", total=nbytes)

    def advance(self, path: str, nbytes: int) -> None:
        """A file was read."""
        if self._task is not None:
            self._bar.advance(self._task, nbytes)


@contextmanager
def reading(started: Callable[[], object] = lambda: None) -> Iterator[ReadingProgress]:
    """Show a progress bar while the drive is read; `started` is called where there is news."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, console=console)
    try:
        yield ReadingProgress(bar, started)
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; numbers stand right with thousands separators."""
    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(
            isinstance(row[index], int | float) or row[index] is None for row in rows
        )
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_cell(value)) for value in row))
    console.print(shown)


def show_inventory(rows: Sequence[FolderRow]) -> None:
    """Folder says and content says, side by side."""
    columns = list(FolderRow("drive", "").shown())
    for area, title in (("drive", "On the drive"), ("staging", "In staging")):
        listed = [list(row.shown().values()) for row in rows if row.area == area]
        if listed:
            table(title, columns, listed)


def show_books(by_table: pl.DataFrame, by_file: pl.DataFrame) -> None:
    """The books, by table; files whose books do not balance are named."""
    columns = ["schema", "files", *BOOK_COLUMNS]
    headings = ["table", *(name.replace("_", " ") for name in columns[1:])]
    table("The books", headings, by_table.select(columns).rows())
    for row in by_file.filter(pl.col("difference") != 0).iter_rows(named=True):
        say(
            f"{row['path']}: {row['difference']} of {row['records']} records are not accounted for."
        )


def show_load(outcome: LoadOutcome) -> None:
    """What a load found and did, in a few lines."""
    for file in outcome.survey.refused:
        say(f"refused: {file.path}: {file.reason}")
    for path, reason in outcome.survey.changing:
        say(f"waiting: {path}: {reason}")
    for unlisted in outcome.survey.unreadable:
        say(f"refused: {unlisted.path}: {unlisted.reason}")
    for reason in outcome.stopped.values():
        say(f"stopped: {reason}")
    if outcome.cost is not None:
        say(f"BigQuery: {describe_cost(outcome.cost)}")
    if outcome.load_id is None:
        say("Nothing new on the drive: 0 bars published.")
        return
    rows = [
        (p.key, p.files, p.rows_before, p.rows_after, p.published, p.duplicates, p.quarantined,
         p.conflicts)
        for p in outcome.partitions
    ]  # fmt: skip
    headings = ["partition", "files", "rows before", "rows after", "published", "duplicates",
                "quarantined", "conflicts"]  # fmt: skip
    table(f"Load {outcome.load_id}", headings, rows)
    if outcome.nameless:
        say(f"{outcome.nameless} records that name no root were quarantined.")
    if outcome.overlaps:
        pairs = Counter((o.job, o.other_job, o.timeframe) for o in outcome.overlaps)
        listed = [(*pair, count) for pair, count in sorted(pairs.items())]
        table("Jobs that overlap", ["job", "other job", "timeframe", "roots"], listed)
    say(f"{outcome.published:,} bars published in {len(outcome.partitions)} partitions.")


def describe_cost(cost: JobCost) -> str:
    """What a warehouse's jobs cost, in one line."""
    return (
        f"{cost.jobs} jobs, {cost.bytes_uploaded / 1e6:,.1f} MB sent, "
        f"{cost.bytes_billed / 1e6:,.1f} MB billed, {cost.slot_ms / 1e3:,.1f} s of slot time."
    )


def show_checks(results: Sequence[CheckResult]) -> None:
    """Checks by table, with the partitions that did not hold."""
    groups: dict[tuple[str, str, str], list[CheckResult]] = {}
    for result in results:
        key = (result.table_id, result.check.name, result.check.severity)
        groups.setdefault(key, []).append(result)
    rows = []
    for (table_id, name, severity), group in groups.items():
        failed = [result for result in group if not result.passed]
        partitions = sum(1 for result in group if result.partition) or None
        verdict = "holds" if not failed else ("warns" if severity == "WARN" else "FAILS")
        where = ", ".join(f"{r.partition} ({r.actual})".strip() for r in failed[:3])
        if len(failed) > 3:
            where += f" … and {len(failed) - 3} more"
        rows.append((table_id.partition(".")[2], name, verdict, partitions, where))
    table(
        "Checks", ["table", "check", "verdict", "partitions", "where not, and what was found"], rows
    )


def show_staging(outcome: StagingOutcome) -> None:
    """What was judged of staging: a line a source of a file, with what became of it."""
    for trouble in outcome.troubles:
        say(f"not read: {trouble}")
    if not outcome.entries:
        return
    columns = ("path", "source", "verdict", *STAGING_COUNTS, "reason")
    rows = [[getattr(entry, name) for name in columns] for entry in outcome.entries]
    table("Staging", columns, rows)


def show_build(outcome: BuildOutcome) -> None:
    """What a build wrote."""
    for root, reasons in outcome.barred.items():
        say(f"not rebuilt: {root}: {'; '.join(reasons)}")
    if outcome.preview is not None:
        _show_preview(outcome.preview)
        return
    total = sum(outcome.rows.values())
    span = f", {outcome.first} to {outcome.last}" if outcome.first else ""
    say(f"{total:,} rows of {len(outcome.rows)} roots in features.daily_ml_matrix{span}.")


def _show_preview(rows: pl.DataFrame) -> None:
    """A table a row: field and value, struct fields one by one."""
    for row in rows.to_dicts():
        cells: list[tuple[str, Any]] = []
        for name, value in row.items():
            fields = value.items() if isinstance(value, dict) else [("", value)]
            cells += [(f"{name}.{field}".rstrip("."), inner) for field, inner in fields]
        title = f"{row['symbol']} {row['data_date']} (not published)"
        table(title, ["column", "value"], [(name, _cell(value)) for name, value in cells])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
