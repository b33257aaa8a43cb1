"""Accept a later version of published days: show the difference, and take the old bars out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from cbi_assets.drive.catalog import Content
from cbi_assets.drive.survey import Survey
from cbi_assets.errors import UsageError
from cbi_assets.formatting import span
from cbi_assets.ledger.append import append_rows
from cbi_assets.ledger.vendor_days import conditions_by_job
from cbi_assets.load.accept import require_signed
from cbi_assets.load.audit import reject, stage
from cbi_assets.load.landed import Landed
from cbi_assets.load.superseded import REVISION, accepted_jobs, older_records
from cbi_assets.load.unload import UnloadPlan, entries_of_files
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.session import Session
from cbi_assets.tables import ACCEPTANCES, RAW
from cbi_assets.warehouse.sql_files import load_sql


@dataclass(frozen=True)
class Revision:
    """What a job would change in published days.

    `differences` has one row per bar: timeframe, difference (added, removed or changed), root,
    symbol, ts_event, and each price, volume and instrument_id as `old_…` and `new_…`. `plan` takes
    out the files concerned, for the next load to publish them again.
    """

    job: str
    path: str
    days: tuple[dt.date, ...]
    differences: pl.DataFrame
    plan: UnloadPlan

    @property
    def summary(self) -> str:
        """`2 changed, 1 removed, 2025-01-07 to 2025-01-08`."""
        counts = self.differences.group_by("difference").len().sort("difference")
        counted = ", ".join(f"{count} {name}" for name, count in counts.iter_rows())
        return f"{counted or 'no bar differs'}, {span(self.days[0], self.days[-1])}"


def find_revision(session: Session, found: Survey, job: str) -> Revision | None:
    """Return what a landed job changes in days of older jobs; None if nothing, or it did already.

    Raises UsageError if a file concerned is not on the drive: it could not be loaded again.
    """
    contents = {content.file_no: content for content in session.catalog.contents().values()}
    conditions = conditions_by_job(session.catalog.files().values())
    own = {n: content for n, content in contents.items() if content.job_id == job}
    older = older_records(job, contents.values(), contents.values(), conditions)
    if not own or older.is_empty():
        return None
    ids = {*older["source_file_id"], *(content.source_file_id for content in own.values())}
    roots = {parse_symbol(symbol).root for symbol in older["symbol"]}
    plan = entries_of_files(session, job, ids, roots)
    if plan.entries.is_empty():
        return None
    on_drive = Landed(found, session.catalog.slices()).on_drive
    absent = [c.path for n, c in contents.items() if c.source_file_id in ids and n not in on_drive]
    if absent:
        raise UsageError(
            "not on the drive, so it could not be loaded again",
            subject=absent[0],
            remedy="Mount the drive that has it, then accept the job.",
        )
    differences = pl.concat(
        [_differences(session, contents, own, older, timeframe) for timeframe in TIMEFRAMES],
        how="vertical",
    )
    if job in accepted_jobs(session) and set(differences["difference"]) <= {"added"}:
        return None  # the older bars are out
    path = next(iter(own.values())).path.rpartition("/")[0]
    days = tuple(sorted(set(older["day"])))
    return Revision(job, path, days, differences, plan)


def record_revision(session: Session, revision: Revision, *, by: str, why: str) -> str:
    """Record that a person takes the later version, and return the acceptance's ID.

    Raises UsageError if name or reason is empty.
    """
    require_signed(by, why)
    acceptance = uuid.uuid4().hex[:12]
    row = {
        "acceptance_id": acceptance,
        "file_id": f"{REVISION}{revision.job}",
        "path": revision.path,
        "job_id": revision.job,
        "overruled": revision.summary,
        "accepted_by": by.strip(),
        "why": why.strip(),
        "accepted_at": session.now.astimezone(dt.UTC),
    }
    append_rows(session.warehouse, ACCEPTANCES, [row])
    return acceptance


def _differences(
    session: Session,
    contents: Mapping[int, Content],
    own: Mapping[int, Content],
    older: pl.DataFrame,
    timeframe: Timeframe,
) -> pl.DataFrame:
    slices = [
        piece
        for piece in session.catalog.slices()
        if piece.timeframe == timeframe and piece.file_no in own and piece.root
    ]
    if not slices:
        return pl.DataFrame(schema=_DIFFERENCES)
    staged = stage(session, contents, slices, "_revision")
    names = reject(session.warehouse, staged)
    rows = [
        (parse_symbol(symbol).root, file_id, symbol, day)
        for file_id, symbol, day in older.select("source_file_id", "symbol", "day").iter_rows()
    ]
    frame = pl.DataFrame(rows, schema=_DAYS, orient="row")
    names["days"] = session.warehouse.stage_frame(f"revised_{timeframe}", frame)
    first, last = older["day"].min(), older["day"].max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    bounds = {
        "first_ts": dt.datetime.combine(first, dt.time(), dt.UTC),
        "last_ts": dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), dt.UTC),
        "roots": sorted(set(frame["root"])),
    }
    sql = load_sql("load/revision", table=RAW[timeframe].id, **names)
    found = session.warehouse.query(sql, {**staged.params, **bounds})
    columns = _DIFFERENCES.names()[1:]
    return found.select(pl.lit(timeframe).alias("timeframe"), *columns).cast(_DIFFERENCES)


_DAYS = pl.Schema(
    {"root": pl.String(), "source_file_id": pl.String(), "symbol": pl.String(), "day": pl.Date()}
)
_VALUES = ("open", "high", "low", "close", "volume", "instrument_id")
_DIFFERENCES = pl.Schema(
    {
        **dict.fromkeys(("timeframe", "difference", "root", "symbol"), pl.String()),
        "ts_event": pl.Datetime("us", "UTC"),
        **{
            f"{side}_{name}": pl.Float64() if name in _VALUES[:4] else pl.Int64()
            for name in _VALUES
            for side in ("old", "new")
        },
    }
)
