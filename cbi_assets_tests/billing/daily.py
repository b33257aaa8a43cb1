"""One day of six roots on BigQuery, at 50 million existing bars: what each verb is billed.

The statements are those of a small home on DuckDB; the sizes of the tables are computed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cbi_assets.config.settings import Settings
from cbi_assets.demo.encoder import bar_records, encode_dbn, mappings, write_job
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.session import Project, Session, open_session
from cbi_assets.tables import ALL_TABLES, CONTINUOUS, DAILY_ML_MATRIX, DERIVED, RAW, SESSIONS
from cbi_assets.verbs import build, check, load
from cbi_assets_tests.billing.cost_model import TableSize
from cbi_assets_tests.billing.recorded import Asked, RecordedProject, Total, bill_all, evenly

PRICES = {"ZL": "30", "ZS": "1000", "ZM": "300", "MES": "3000", "CL": "70", "6E": "1"}
"""Six roots, each with a price on its tick."""

BARS = 50_000_000
DAY_BARS = 280
FIRST = dt.date(2010, 6, 1)
STEPS = {"ohlcv-1m": 60, "ohlcv-1h": 3_600, "ohlcv-1d": 86_400}
DAYS = (dt.date(2025, 11, 19), dt.date(2025, 11, 20))
"""The day that exists, of each timeframe, and the day of 1m bars that is loaded."""

VERBS: Final[tuple[Callable[[Session], object], ...]] = (load, build, check)


def sizes(bars: int = BARS) -> dict[str, TableSize]:
    """Return the sizes of a warehouse of this many 1m bars, from 2010-06 to the day."""
    sessions = bars // 1_200  # of some 1,200 minutes
    rows = {
        RAW["1m"]: bars,
        RAW["1h"]: bars // 60,
        RAW["1d"]: sessions,
        DERIVED["5m"]: bars // 5,
        DERIVED["15m"]: bars // 15,
        DERIVED["30m"]: bars // 30,
        DERIVED["4h"]: bars // 240,
        SESSIONS: sessions,
        CONTINUOUS: 3 * sessions,
        DAILY_ML_MATRIX: sessions,
    }
    found = {}
    for spec in ALL_TABLES:
        count = rows.get(spec, 20_000)
        spread = evenly(count, FIRST, DAYS[-1]) if spec.partition_by else {None: count}
        found[spec.id] = TableSize.of(spec, spread)
    return found


def put_day(drive: Path, day: dt.date, schemas: Sequence[str] = ("ohlcv-1m",)) -> None:
    """Write one day of each root, a job of one file for each root and schema."""
    start = dt.datetime(day.year, day.month, day.day, 14, 30, tzinfo=dt.UTC)
    minutes = int(start.timestamp()) + 60 * np.arange(DAY_BARS)
    for schema in schemas:
        starts, counts = np.unique(minutes // STEPS[schema] * STEPS[schema], return_counts=True)
        for number, (root, price) in enumerate(PRICES.items(), 5000):
            flat = np.full(len(starts), int(price) * 10**9)
            prices = dict.fromkeys(("open", "high", "low", "close"), flat)
            records = bar_records(schema, number, starts * 10**9, prices, 10 * counts)
            mapped = mappings({f"{root}.v.0": [(number, day, day + dt.timedelta(days=1))]})
            file = encode_dbn(records, "GLBX.MDP3", schema, mapped)
            name = f"glbx-mdp3-{day:%Y%m%d}.{schema}.dbn.zst"
            job = drive / f"GLBX-{day:%Y%m%d}-{schema[-2:].upper()}{root:A<8}"
            write_job(job, {name: file}, "GLBX.MDP3", schema, mapped)


def bill_a_day(home: Path, drive: Path, bars: int = BARS) -> dict[str, Total]:
    """Load, build and check a day, and return what each is billed at this many existing bars."""
    settings = Settings(_env_file=None, cbi_home=home, cbi_drive=drive)  # type: ignore[call-arg]
    project = RecordedProject.of(Project(settings))
    asked: dict[str, list[Asked]] = {}
    for day in DAYS:
        put_day(drive, day, tuple(STEPS) if day == DAYS[0] else ("ohlcv-1m",))
        now = dt.datetime(day.year, day.month, day.day, 23, tzinfo=dt.UTC)
        for verb in VERBS:
            with open_session(project, now=now) as session:
                verb(session)
                pending = PendingEvents(session.home)
                pending.remove(pending.partitions())  # as if they were reported to Dagster
            asked[verb.__name__] = project.take()
    return {name: bill_all(statements, sizes(bars)) for name, statements in asked.items()}
