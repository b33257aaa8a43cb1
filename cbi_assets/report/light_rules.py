"""Decide the three lights from what is known of drive, books, checks, matrix and plan."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from cbi_assets.checks import CHECKS, FRESH_TRADE_DATES, SPEC_CHECK
from cbi_assets.downloads.wanted import Wanted
from cbi_assets.formatting import dollars, number, plural, size
from cbi_assets.ledger.books import BOOK_COLUMNS
from cbi_assets.market.bars import Timeframe
from cbi_assets.report.audit_model import Drive, PlanStatus, TroubleKind
from cbi_assets.report.lights import Color, DataThrough, Lights, Reason, light_of
from cbi_assets.tables import DAILY_ML_MATRIX, MACRO_OBSERVATIONS, RAW

SETTLE: Final = "cbi audit"
"""The command that lists what needs action, each with the command that settles it."""

_LOADED_IDS: Final = (*(spec.id for spec in RAW.values()), MACRO_OBSERVATIONS.id)
_BUILT_IDS: Final = tuple(
    {check.table.id: None for check in CHECKS if check.table.id not in _LOADED_IDS}
)
_FILE_PROBLEMS: Final[dict[TroubleKind, str]] = {
    "missing": "{} that a manifest lists {} not on the drive",
    "refused": "{} {} refused",
    "unlisted": "{} {} unreadable",
}
_COMPLETE: Final = Reason(
    "green", "every wanted trade date is published, or a gap at Databento", "cbi plan --verify"
)
_MONTH_DAYS: Final = 30.44
_FEW_DAYS: Final = 60
"""Days up to which an age is given in trade dates; months beyond."""


@dataclass(frozen=True)
class SeriesEnd:
    """The newest trade date of a root's bars that has a session, and those that closed since.

    `is_planned` says whether the root's bars are ever requested.
    """

    root: str
    timeframe: Timeframe
    last: dt.date
    trade_dates_behind: int
    is_planned: bool = True


@dataclass(frozen=True, eq=False)
class State:
    """What the lights depend on.

    `books` has one row per file, `checks` is `checks_of`'s frame, `built` the result of
    report/built_roots.sql, and `ends` the end of each root and timeframe in the universe's order.
    `today` is the newest trade date that has closed. `failed_requests` counts requests whose
    download failed.
    """

    today: dt.date
    drive: Drive
    staging_waiting: int
    books: pl.DataFrame
    checks: pl.DataFrame
    ends: tuple[SeriesEnd, ...]
    built: pl.DataFrame
    wanted: Wanted
    plan: PlanStatus | None
    has_key: bool
    failed_requests: int = 0

    @property
    def totals(self) -> dict[str, int]:
        """The sums of the books' columns."""
        return {name: int(self.books[name].sum()) for name in BOOK_COLUMNS}

    @property
    def missing_dates(self) -> int:
        """Trade dates that are wanted, not published, and not missing at the vendor."""
        return sum(coverage.missing for coverage in self.wanted.coverages)

    @property
    def newest_by_root(self) -> dict[str, SeriesEnd]:
        """The timeframe that reaches furthest, by root."""
        newest: dict[str, SeriesEnd] = {}
        for end in self.ends:
            if end.root not in newest or end.last > newest[end.root].last:
                newest[end.root] = end
        return newest

    @property
    def matrix_rows(self) -> int:
        """Rows of the matrix."""
        return int(self.built["row_count"].sum())

    @property
    def roots_behind(self) -> list[str]:
        """The roots whose matrix rows are missing or end before their sessions."""
        built = dict(self.built.select("root", "last_date").iter_rows())
        newest = self.newest_by_root.items()
        return [root for root, end in newest if root not in built or built[root] < end.last]

    def failing(self, table_ids: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
        """Return the name of each ERROR check that fails on these tables, per failing partition."""
        checks = self.checks.filter(pl.col("table").is_in(table_ids), state="fails")
        return [
            (row["name"], {"table": row["table"], **offender})
            for row in checks.iter_rows(named=True)
            for offender in row["offenders"]
        ]

    def due(self, table_ids: Collection[str]) -> int:
        """Return how many ERROR checks of these tables have not run since the newest load."""
        return self.checks.filter(
            pl.col("table").is_in(table_ids),
            pl.col("stale") | (pl.col("state") == "not run"),
            pl.col("name") != SPEC_CHECK,
            severity="ERROR",
        ).height


def lights_of(state: State) -> Lights:
    """Return the lights of a state."""
    return Lights(
        light_of("load", list(_load(state)), _loaded(state)),
        light_of("download", list(_download(state)), _COMPLETE),
        light_of("train", list(_train(state)), _trainable(state)),
        data_through(state),
    )


def data_through(state: State) -> DataThrough | None:
    """Return through when every planned root has bars, as "data through 2025-03-31 (ZL 1h), …".

    Roots that were only found on the drive count if there are no others.
    """
    ends = state.newest_by_root.values()
    if not ends:
        return None
    oldest = min(ends, key=lambda end: (not end.is_planned, end.last))
    return DataThrough(
        oldest.last,
        oldest.root,
        oldest.timeframe,
        oldest.trade_dates_behind,
        f"data through {oldest.last} ({oldest.root} {oldest.timeframe}), "
        f"{_age(oldest, state.today)}",
    )


def _age(end: SeriesEnd, today: dt.date) -> str:
    days = (today - end.last).days
    if end.trade_dates_behind == 0:
        return "up to date"
    if days <= _FEW_DAYS:
        return f"{plural(end.trade_dates_behind, 'trade date')} behind"
    return f"{plural(round(days / _MONTH_DAYS), 'month')} behind"


def _load(state: State) -> Iterator[Reason]:
    yield from _drive(state)
    yield from _books(state)
    yield from _failing_checks(state, _LOADED_IDS)
    yield from _files(state.drive)
    drive = state.drive
    if drive.waiting_files:
        files, records = plural(drive.waiting_files, "file"), number(drive.waiting_records)
        text = f"{files} with {records} records on the drive not loaded"
        yield Reason("amber", text, "cbi load")
    if drive.count("changing"):
        files = plural(drive.count("changing"), "file")
        yield Reason("amber", f"{files} still being written: load when complete", "cbi load")
    if state.staging_waiting:
        files = plural(state.staging_waiting, "staging file")
        yield Reason("amber", f"{files} not validated yet", "cbi load")


def _drive(state: State) -> Iterator[Reason]:
    path = state.drive.path
    if state.drive.mounted:
        return
    why = (
        f"{path} is not there: mount it, or correct CBI_DRIVE"
        if path
        else "CBI_DRIVE is not set: name the drive's root, in the environment or in .env"
    )
    yield Reason("amber" if state.ends else "red", why, "cbi config --check")


def _files(drive: Drive) -> Iterator[Reason]:
    for kind, problem in _FILE_PROBLEMS.items():
        found = drive.troubles.filter(kind=kind)
        if found.is_empty():
            continue
        first = found.row(0, named=True)
        what = problem.format(plural(found.height, "file"), "is" if found.height == 1 else "are")
        text = f"{what}: {first['path']}"
        yield Reason("red", f"{text} ({first['why']})", _command_for(drive, kind))


def _command_for(drive: Drive, kind: TroubleKind) -> str:
    damaged = drive.jobs.filter("manifest_damaged")["job"]
    if kind == "refused" and not damaged.is_empty():
        return f"cbi accept --job {shlex.quote(damaged[0])} --by NAME --why TEXT"
    return "cbi inventory"


def _books(state: State) -> Iterator[Reason]:
    for column, what in (
        ("difference", "not accounted for"),
        ("conflicts", "in conflict with published bars"),
        ("quarantined", "quarantined"),
    ):
        files = state.books.filter(pl.col(column) != 0)
        if files.is_empty():
            continue
        records = plural(abs(int(files[column].sum())), "record")
        path, file_id = files.row(0, named=True)["path"], files["source_file_id"][0]
        more = f" and {plural(files.height - 1, 'other file')}" if files.height > 1 else ""
        command = f"cbi unload --file {file_id[:12]}" if column == "conflicts" else SETTLE
        yield Reason("red", f"{records} of {path}{more} {what}", command)


def _failing_checks(state: State, table_ids: Collection[str]) -> Iterator[Reason]:
    failing = state.failing(table_ids)
    if failing:
        name, first = failing[0]
        where = first["partition"] or first["table"]
        more = f" (and {plural(len(failing) - 1, 'more result')})" if len(failing) > 1 else ""
        text = f"{name} fails on {where}: {first['actual']}, expected {first['expected']}{more}"
        yield Reason("red", text, "cbi check")


def _loaded(state: State) -> Reason:
    if state.books.is_empty():
        return Reason("green", "no bars on the drive, and none loaded", "cbi load")
    bars = plural(state.totals["published"], "bar")
    text = f"{bars} of {plural(state.books.height, 'file')} loaded, every record accounted for"
    unverified = state.books.filter(trust="unverified").height
    note = f"; no manifest lists {plural(unverified, 'of the files', 'of them')}"
    return Reason("green", text + (note if unverified else ""), "cbi load")


def _download(state: State) -> Iterator[Reason]:
    if not state.missing_dates:
        return
    if not state.drive.mounted:
        text = f"{_wanted(state)}, and no drive to download to"
        yield Reason("red", text, "cbi config --check")
    color, text, command = _plan(state)
    if not state.has_key:
        color, text = "red", f"DATABENTO_API_KEY is not set: nothing can be bought; {text}"
    yield Reason(color, text, command)
    if state.drive.waiting_files:
        text = f"{plural(state.drive.waiting_files, 'file')} on the drive not loaded: load first"
        yield Reason("amber", text, "cbi load")
    plan, free = state.plan, state.drive.free_bytes
    if plan is None:
        return
    name = plan.plan_hash[:12]
    if state.failed_requests:
        text = f"{plural(state.failed_requests, 'request')} of an earlier download failed"
        yield Reason("red", text, f"cbi download {name}")
    if free is not None and plan.current and plan.bytes is not None and plan.bytes > free:
        text = f"plan {name} needs up to {size(plan.bytes)}, and {size(free)} are free"
        yield Reason("red", text, "cbi doctor")


def _plan(state: State) -> tuple[Color, str, str]:
    """Return how far the missing dates are planned and approved, and the next command."""
    plan = state.plan
    if plan is not None and plan.current and plan.approval in ("valid", "begun"):
        name = plan.plan_hash[:12]
        text = f"{_wanted(state)}; plan {name} for {dollars(plan.cost_usd)} is approved"
        return "green", text, f"cbi download {name}"
    if plan is None or plan.current < plan.requests or plan.approval == "used up":
        return "amber", f"{_wanted(state)}, and no plan covers them", "cbi plan"
    name = plan.plan_hash[:12]
    approval = "not approved" if plan.approval == "none" else f"its approval is {plan.approval}"
    text = f"{_wanted(state)}; plan {name} for {dollars(plan.cost_usd)} ({plan.basis}), {approval}"
    return "amber", text, f"cbi approve {name} --by NAME --max-usd N"


def _wanted(state: State) -> str:
    return f"{plural(state.missing_dates, 'wanted trade date')} missing"


def _train(state: State) -> Iterator[Reason]:
    if not state.ends:
        command = "cbi load" if state.drive.waiting_files else "cbi plan"
        yield Reason("red", "no bars are loaded", command)
        return
    yield from _failing_checks(state, [*_LOADED_IDS, *_BUILT_IDS])
    if not state.matrix_rows:
        yield Reason("red", f"{DAILY_ML_MATRIX.id} has no rows", "cbi build")
        return
    failing = {found["partition"].partition("|")[0] for _, found in state.failing(_LOADED_IDS)}
    if behind := [root for root in state.roots_behind if root not in failing]:
        more = f" and {len(behind) - 6} more" if len(behind) > 6 else ""
        text = f"the matrix is behind the bars of {', '.join(behind[:6])}{more}"
        yield Reason("amber", text, "cbi build")
    with_bars = {RAW[end.timeframe].id for end in state.ends}
    if due := state.due([*with_bars, DAILY_ML_MATRIX.id]):
        text = f"{plural(due, 'check')} not run since the newest load"
        yield Reason("amber", text, "cbi check")
    through = data_through(state)
    if through is not None and through.trade_dates_behind >= FRESH_TRADE_DATES:
        yield Reason("amber", through.text, "cbi plan")


def _trainable(state: State) -> Reason:
    through = data_through(state)
    rows = f"{plural(state.matrix_rows, 'row')} of {plural(state.built.height, 'root')}"
    text = f"{rows}, {through.text}" if through else rows
    return Reason("green", text, "cbi build")
