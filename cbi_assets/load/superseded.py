"""Records that an accepted later version of their days replaces.

A job's day is older than another job's if the vendor modified it before, or if it was pending.
`cbi accept --job` records that a person takes the later version; the audit then quarantines the
older records, whatever the order in which the files are loaded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

import polars as pl

from cbi_assets.drive.catalog import Content
from cbi_assets.drive.conditions import PENDING
from cbi_assets.ledger.vendor_days import (
    Conditions,
    conditions_by_job,
    date_of_job,
    version_of,
)
from cbi_assets.market.bars import Columns
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.session import Session
from cbi_assets.tables import ACCEPTANCES
from cbi_assets.timestamps import utc_from_micros
from cbi_assets.warehouse.base import Statement

REVISION: Final = "revision:"
"""How the `file_id` of an accepted job starts in ops.acceptances; a file's is its sha256."""

SUPERSEDED: Final[Columns] = {
    "file_no": pl.Int32,
    "source_file_id": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "job_id": pl.String,
}


ACCEPTED_JOBS: Final = Statement(
    f"SELECT DISTINCT file_id FROM `{ACCEPTANCES.id}` WHERE STARTS_WITH(file_id, @revision)",
    {"revision": REVISION},
)
"""What `accepted_jobs` asks."""


def accepted_jobs(session: Session) -> set[str]:
    """Return the jobs whose version of their days a person accepted."""
    found = session.warehouse.query(ACCEPTED_JOBS.sql, ACCEPTED_JOBS.params)
    return {file_id.removeprefix(REVISION) for file_id in found["file_id"]}


def superseded_records(session: Session, contents: Iterable[Content]) -> pl.DataFrame:
    """Return the days and symbols of files that an accepted job replaces, as SUPERSEDED."""
    accepted = accepted_jobs(session)
    if not accepted:
        return pl.DataFrame(schema=SUPERSEDED)
    conditions = conditions_by_job(session.catalog.files().values())
    everything = list(session.catalog.contents().values())
    chosen = list(contents)
    frames = [older_records(job, everything, chosen, conditions) for job in sorted(accepted)]
    return pl.concat(frames).unique(["file_no", "symbol", "day"], keep="last")


def older_records(
    job: str, everything: Iterable[Content], contents: Iterable[Content], conditions: Conditions
) -> pl.DataFrame:
    """Return the days and symbols of `contents` that `job` has a later version of."""
    own = [content for content in everything if content.job_id == job]
    symbols = {symbol for content in own for symbol in content.symbols}
    # A parent's job of one day does not name every contract that the older job has.
    roots = {parse_symbol(symbol).root for symbol in symbols if "." not in symbol}
    days = {
        day: version_of(found, date_of_job(job))
        for day, found in conditions.get(job, {}).items()
        if found.condition != PENDING
    }
    keys = {(content.dataset, content.schema) for content in own}
    rows = []
    for content in contents:
        if content.job_id == job or (content.dataset, content.schema) not in keys:
            continue
        older = _older_days(content, days, conditions)
        named = [
            symbol
            for symbol in content.symbols
            if symbol in symbols or ("." not in symbol and parse_symbol(symbol).root in roots)
        ]
        rows += [
            (content.file_no, content.source_file_id, symbol, day, job)
            for symbol in named
            for day in older
        ]
    return pl.DataFrame(rows, schema=SUPERSEDED, orient="row")


def _older_days(
    content: Content, days: dict[dt.date, dt.date], conditions: Conditions
) -> list[dt.date]:
    first, last = utc_from_micros(content.first_ts), utc_from_micros(content.last_ts)
    if first is None or last is None:
        return []
    known, job_date = conditions.get(content.job_id or "", {}), date_of_job(content.job_id)
    return [
        day
        for day, version in sorted(days.items())
        if first.date() <= day <= last.date() and version_of(known.get(day), job_date) < version
    ]
