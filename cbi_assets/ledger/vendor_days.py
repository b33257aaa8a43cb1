"""Which published days are not final: pending or degraded at the vendor, or modified since.

A series' day is as of its newest fetch: the date of modification that the job's condition.json
states, else the date in the job's id. A pending day is older than any other version of it. Days of
a file whose job is unknown count as final. A file that several jobs delivered was fetched by each.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import polars as pl

from cbi_assets.drive.catalog import Catalog
from cbi_assets.drive.conditions import AVAILABLE, MISSING, PENDING, DayCondition
from cbi_assets.drive.file_records import FileRecord, SidecarDetails
from cbi_assets.drive.inventory import dataset_differs
from cbi_assets.drive.sidecars import job_of
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.session import Session
from cbi_assets.warehouse.base import Statement, Warehouse

OUTRIGHTS: Final = "outright"
"""A root's outrights are one series; each continuous symbol is another."""

_JOB_DATE: Final = re.compile(r"-(\d{8})-")
_DAY: Final = dt.timedelta(days=1)

Conditions = Mapping[str, Mapping[dt.date, DayCondition]]
"""What each job's condition.json says, by job and day."""

_Fetch = tuple[dt.date, dt.date, str]
"""First and last day of a file, and the job that delivered it, empty if that is unknown."""


@dataclass
class SeriesDays:
    """The fetched days of one series: `as_of` is the version, `conditions` what it was called."""

    as_of: dict[dt.date, dt.date] = field(default_factory=dict)
    conditions: dict[dt.date, str] = field(default_factory=dict)
    fetches: list[tuple[dt.date, dt.date, str]] = field(default_factory=list)

    def add(self, first: dt.date, last: dt.date, job: str | None, conditions: Conditions) -> None:
        """Add a loaded file of `job` whose bars start from `first` to `last`."""
        if job is not None:
            self.fetches.append((first, last, job))
        known = conditions.get(job or "", {})
        job_date = date_of_job(job)
        for n in range((last - first).days + 1):
            day = first + _DAY * n
            found = known.get(day)
            as_of = version_of(found, job_date)
            if as_of >= self.as_of.get(day, dt.date.min):
                self.as_of[day] = as_of
                self.conditions[day] = found.condition if found else AVAILABLE

    def jobs_of(self, days: Iterable[dt.date]) -> tuple[str, ...]:
        """Return the jobs whose files cover any of these days, in order."""
        chosen = list(days)
        return tuple(
            sorted(
                {
                    job
                    for first, last, job in self.fetches
                    if any(first <= day <= last for day in chosen)
                }
            )
        )

    @property
    def pending(self) -> set[dt.date]:
        """Days that were pending when they were last fetched."""
        return {day for day, condition in self.conditions.items() if condition == PENDING}

    def modified(self, newest: Mapping[dt.date, dt.date]) -> set[dt.date]:
        """Days that the vendor modified after they were fetched; `newest` are its latest dates."""
        return {
            day
            for day, as_of in self.as_of.items()
            if self.conditions[day] != PENDING and as_of < newest.get(day, dt.date.min)
        }


def version_of(found: DayCondition | None, job_date: dt.date | None) -> dt.date:
    """Return the version of a day's bars: the newer one is of the later date."""
    if found is not None and found.condition == PENDING:
        return dt.date.min
    if found is not None and found.modified is not None:
        return found.modified
    return job_date or dt.date.max


@cache
def date_of_job(job: str | None) -> dt.date | None:
    """Return the date in a job's id."""
    found = _JOB_DATE.search(job or "")
    try:
        return dt.datetime.strptime(found[1], "%Y%m%d").date() if found else None
    except ValueError:
        return None


def conditions_by_job(
    files: Iterable[FileRecord], dataset: str | None = None
) -> dict[str, dict[dt.date, DayCondition]]:
    """Return what the condition.json files on the drive say, by job and day.

    With `dataset`, of jobs of that one alone, and of those that do not say which.
    """
    found: dict[str, dict[dt.date, DayCondition]] = {}
    for file in files:
        details = file.details
        if not isinstance(details, SidecarDetails) or dataset_differs(details, dataset):
            continue
        if details.conditions:
            days = {day.day: day for run in details.conditions for day in run.days()}
            found.setdefault(details.job_id or job_of(file.path) or "", {}).update(days)
    return found


def jobs_by_file(catalog: Catalog) -> dict[str, set[str]]:
    """Return the jobs that delivered each file of bars, by the file's ID.

    A day that becomes final unchanged comes in the same bytes again.
    """
    found: dict[str, set[str]] = {}
    for file_id, path in catalog.paths_by_id():
        if job := job_of(path):
            found.setdefault(file_id, set()).add(job)
    return found


def newest_modifications(
    conditions: Conditions, current: Iterable[DayCondition] = ()
) -> dict[dt.date, dt.date]:
    """Return each day's latest date of modification, from the jobs and from what is `current`."""
    newest: dict[dt.date, dt.date] = {}
    for day in (*current, *(day for days in conditions.values() for day in days.values())):
        if day.modified is not None and day.condition not in (PENDING, MISSING):
            newest[day.day] = max(day.modified, newest.get(day.day, day.modified))
    return newest


FETCHES: Final = Statement(
    "SELECT loads.timeframe, loads.root, loads.source_file_id, loads.job_id, "
    "DATE(loads.first_ts_event) AS first_day, DATE(loads.last_ts_event) AS last_day, "
    "files.symbols "
    "FROM `ops.loads` AS loads JOIN `ops.source_files` AS files "
    "ON loads.source_file_id = files.id "
    "WHERE loads.root <> '' AND loads.first_ts_event IS NOT NULL"
)
"""What `read_fetches` asks."""


def read_fetches(warehouse: Warehouse) -> pl.DataFrame:
    """Return the files that were loaded, with days and symbols, from the books."""
    return warehouse.query(FETCHES.sql)


def series_days(
    session: Session, fetches: pl.DataFrame, timeframe: Timeframe, conditions: Conditions
) -> dict[tuple[str, str], SeriesDays]:
    """Return the fetched days of a timeframe by root and series; `fetches` is of all of them.

    Series that were fetched in the same files share theirs: there are many in a job.
    """
    deliveries = jobs_by_file(session.catalog)
    fetched: dict[tuple[str, str], list[_Fetch]] = defaultdict(list)
    rows = fetches.filter(timeframe=timeframe).drop("timeframe")
    for root, file_id, job, first, last, symbols in rows.iter_rows():
        jobs = sorted(deliveries.get(file_id, set()) | {job} - {None}) or [""]
        for series in _series_of(root, symbols or ()):
            fetched[root, series] += [(first, last, each) for each in jobs]
    known: dict[tuple[_Fetch, ...], SeriesDays] = {}
    found = {}
    for key, own in fetched.items():
        same = tuple(sorted(own))
        if same not in known:
            known[same] = _days_of(same, conditions)
        found[key] = known[same]
    return found


def _days_of(fetches: Iterable[_Fetch], conditions: Conditions) -> SeriesDays:
    days = SeriesDays()
    for first, last, job in fetches:
        days.add(first, last, job or None, conditions)
    return days


def unsettled_days(
    session: Session, timeframe: Timeframe, fetches: Callable[[], pl.DataFrame]
) -> list[tuple[str, str, dt.date, str]]:
    """Return root, series, day and condition of each day that is not final, in that order.

    `fetches` returns what `read_fetches` does; it is called only if a day may not be final.
    """
    files = session.catalog.files().values()
    conditions = conditions_by_job(files)
    if not conditions:
        return []
    datasets = session.project.datasets
    by_dataset = {
        dataset: newest_modifications(conditions_by_job(files, dataset))
        for dataset in set(datasets.values())
    }
    found: list[tuple[str, str, dt.date, str]] = []
    for (root, series), days in series_days(session, fetches(), timeframe, conditions).items():
        newest = by_dataset[datasets[root]] if root in datasets else {}
        found += [
            (root, series, day, condition)
            for day, condition in days.conditions.items()
            if condition not in (AVAILABLE, MISSING)
        ]
        found += [(root, series, d, f"modified {newest[d]}") for d in days.modified(newest)]
    return sorted(found)


def _series_of(root: str, symbols: Sequence[str]) -> set[str]:
    of_root = [symbol for symbol in symbols if parse_symbol(symbol).root == root]
    return {symbol if "." in symbol else OUTRIGHTS for symbol in of_root}
