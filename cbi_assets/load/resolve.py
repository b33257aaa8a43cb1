"""Ask Databento's symbology API which contracts anonymous continuous bars are of.

A person starts this; no load, build or check does. What an answer covers is not asked again, by
this home (its files) or by another one of the same warehouse (ops.symbology_requests).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any

import polars as pl

from cbi_assets.formatting import plural
from cbi_assets.ledger.append import append_rows
from cbi_assets.load.instruments import subtract_dates
from cbi_assets.load.symbology_answers import DATES, Answer, read_answers
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.session import Session
from cbi_assets.tables import RAW, SYMBOLOGY_REQUESTS
from cbi_assets.warehouse.sql_files import load_sql

if TYPE_CHECKING:
    from cbi_assets.databento_api.client import Clients

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """What was asked and answered: `anonymous` instruments had bars without a contract before.

    `asked_before` of them were not asked about again, whatever their answer was.
    """

    anonymous: int
    asked_before: int
    answers: tuple[Answer, ...]

    @property
    def instruments(self) -> int:
        """Instruments asked about now."""
        return len({(a.dataset, number) for a in self.answers for number in a.instrument_ids})

    @property
    def unknown(self) -> int:
        """Those of them that Databento does not name, either."""
        return len({(a.dataset, number) for a in self.answers for number in a.unknown_ids})


def ask_for_names(session: Session, clients: Clients, roots: Collection[str]) -> Resolved:
    """Ask about the anonymous bars of these roots, and record the answers. Names no bar yet.

    Raises ServiceError or UsageError if Databento does not answer; answers up to then are recorded.
    """
    from cbi_assets.databento_api.symbology import MAX_SYMBOLS, resolve_ids

    saved = read_answers(session.home)
    _record(session, saved)  # those of a run that was killed
    anonymous = find_anonymous(session, roots)
    open_dates = subtract_dates(anonymous, _dates_in_ledger(session))
    keys = ["dataset", "instrument_id"]
    answers = []
    for dataset, ids, start, end in _requests(open_dates, MAX_SYMBOLS):
        logger.info("resolving %s of %s", plural(len(ids), "instrument"), dataset)
        response = resolve_ids(clients, dataset, ids, start, end)
        answer = Answer(dataset, ids, start, end, session.now.astimezone(dt.UTC), response)
        answer.save(session.home)
        _record(session, [answer])
        answers.append(answer)
    return Resolved(
        anonymous=anonymous.select(keys).n_unique(),
        asked_before=anonymous.join(open_dates, on=keys, how="anti").select(keys).n_unique(),
        answers=tuple(answers),
    )


def find_anonymous(session: Session, roots: Collection[str]) -> pl.DataFrame:
    """Return each instrument with continuous bars of unknown contract: root and DATES.

    The dates are those of its first and last such bar, in any timeframe.
    """
    sql = " UNION ALL ".join(
        load_sql("load/anonymous_instruments", table=RAW[timeframe].id) for timeframe in TIMEFRAMES
    )
    rows = session.warehouse.query(sql, {"roots": sorted(roots)})
    return (
        rows.group_by("root", "dataset", "instrument_id")
        .agg(
            from_date=pl.col("first_ts").min().dt.date(),
            to_date=pl.col("last_ts").max().dt.date().dt.offset_by("1d"),
        )
        .select("root", *DATES)
        .sort("root", "dataset", "instrument_id")
    )


def _requests(
    open_dates: pl.DataFrame, most: int
) -> Iterator[tuple[str, tuple[int, ...], dt.date, dt.date]]:
    """Yield dataset, instrument IDs and UTC dates of each request: one per root, if it fits."""
    for part in open_dates.sort("root", "dataset").partition_by("root", "dataset"):
        dataset, start = part["dataset"][0], part["from_date"].to_list()
        end = part["to_date"].to_list()
        for ids in batched(sorted(set(part["instrument_id"])), most, strict=False):
            yield dataset, ids, min(start), max(end)


def _dates_in_ledger(session: Session) -> pl.DataFrame:
    rows = session.warehouse.query(
        f"SELECT dataset, instrument_ids, from_date, to_date FROM `{SYMBOLOGY_REQUESTS.id}`"
    )
    exploded = rows.explode("instrument_ids").rename({"instrument_ids": "instrument_id"})
    return exploded.select(pl.col(name).cast(kind) for name, kind in DATES.items())


def _record(session: Session, answers: Collection[Answer]) -> None:
    """Add the answers to the ledger that are not in it."""
    known: set[str] = set()
    if answers:
        sql = f"SELECT request_id FROM `{SYMBOLOGY_REQUESTS.id}`"
        known = set(session.warehouse.query(sql)["request_id"])
    new = [_row(answer) for answer in answers if answer.request_id not in known]
    if new:
        append_rows(session.warehouse, SYMBOLOGY_REQUESTS, new)


def _row(answer: Answer) -> dict[str, Any]:
    return {
        "request_id": answer.request_id,
        "dataset": answer.dataset,
        "instrument_ids": [str(number) for number in answer.instrument_ids],
        "from_date": answer.from_date,
        "to_date": answer.to_date,
        "names": answer.names.height,
        "unknown": len(answer.unknown_ids),
        "cost_usd": 0.0,
        "path": answer.path,
        "asked_at": answer.asked_at,
    }
