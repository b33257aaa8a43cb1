"""One day of six roots on BigQuery, at 50 million existing bars: what each verb is billed.

The statements are those of a small home on DuckDB; the sizes of the tables are computed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from cbi_assets.config.settings import Settings
from cbi_assets.config.training import Folds, Training, load_training
from cbi_assets.demo.encoder import bar_records, encode_dbn, mappings, write_job
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.report.read_lights import read_lights, reading_lights_ahead
from cbi_assets.session import Project, Session, open_session
from cbi_assets.tables import (
    CONTINUOUS,
    DAILY_ML_MATRIX,
    DAILY_ML_MATRIX_FLAT,
    DERIVED,
    EVERY_TABLE,
    RAW,
    SESSIONS,
    TRAINING,
)
from cbi_assets.verbs import build, check, load, load_staging, train
from cbi_assets_tests.billing.cost_model import TableSize
from cbi_assets_tests.billing.recorded import Asked, RecordedProject, Total, bill_all, evenly

PRICES = {"ZL": "30", "ZS": "1000", "ZM": "300", "MES": "3000", "CL": "70", "6E": "1"}
"""Six roots, each with a price on its tick."""

BARS = 50_000_000
DAY_BARS = 280
FIRST = dt.date(2010, 6, 1)
STEPS = {"ohlcv-1m": 60, "ohlcv-1h": 3_600, "ohlcv-1d": 86_400}
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240}
FIRST_OF_MES = dt.date(2019, 5, 1)
EARLIEST = {dt.date(2010, 6, 7): ("ZL", "ZS", "ZM", "CL", "6E"), dt.date(2019, 5, 6): ("MES",)}
"""Where the roots' history starts, so that what reads all of it reads as many months."""

RECENT = (dt.date(2025, 11, 14), dt.date(2025, 11, 17), dt.date(2025, 11, 18))
DAYS = (dt.date(2025, 11, 19), dt.date(2025, 11, 20))
"""The newest day that exists, of each timeframe, and the day of 1m bars that is loaded."""


def _load(session: Session) -> None:
    load(session)
    load_staging(session)


def _build(session: Session) -> None:
    train(session, changed=build(session).changed_months)


COMMANDS: Final[dict[str, Callable[[Session], object]]] = {
    "load": _load,
    "build": _build,
    "check": check,
}
"""What the commands do before they read the lights."""


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
        DAILY_ML_MATRIX_FLAT: sessions,
        **{spec: _training_rows(name, bars) for name, spec in TRAINING.items()},
    }
    found = {}
    for spec in EVERY_TABLE:
        count = rows.get(spec, 20_000)
        # a filter on the view prunes the matrix
        month_of = "data_date" if spec == DAILY_ML_MATRIX_FLAT else spec.partition_by
        first = FIRST_OF_MES if spec.name.startswith("mes_") else FIRST
        spread = evenly(count, first, DAYS[-1]) if month_of else {None: count}
        found[spec.id] = replace(TableSize.of(spec, spread), partition_by=month_of)
    return found


def _training_rows(name: str, bars: int) -> int:
    """Return the rows of a training table, which is of one of the roots."""
    table = load_training().tables[name]
    own = bars // len(PRICES)
    return own // 1_200 if table.bar is None else own // MINUTES[table.bar]


def put_day(
    drive: Path,
    day: dt.date,
    schemas: Collection[str] = ("ohlcv-1m",),
    roots: Collection[str] = tuple(PRICES),
) -> None:
    """Write one day of these roots, a job of one file for each root and schema."""
    start = dt.datetime(day.year, day.month, day.day, 14, 30, tzinfo=dt.UTC)
    minutes = int(start.timestamp()) + 60 * np.arange(DAY_BARS)
    for schema in schemas:
        starts, counts = np.unique(minutes // STEPS[schema] * STEPS[schema], return_counts=True)
        for number, (root, price) in enumerate(PRICES.items(), 5000):
            if root not in roots:
                continue
            flat = np.full(len(starts), int(price) * 10**9)
            prices = dict.fromkeys(("open", "high", "low", "close"), flat)
            records = bar_records(schema, number, starts * 10**9, prices, 10 * counts)
            mapped = mappings({f"{root}.v.0": [(number, day, day + dt.timedelta(days=1))]})
            file = encode_dbn(records, "GLBX.MDP3", schema, mapped)
            name = f"glbx-mdp3-{day:%Y%m%d}.{schema}.dbn.zst"
            job = drive / f"GLBX-{day:%Y%m%d}-{schema[-2:].upper()}{root:A<8}"
            write_job(job, {name: file}, "GLBX.MDP3", schema, mapped)


def _with_folds() -> Training:
    """Return training.yaml with folds and horizons that six dates are enough for."""
    training = load_training()
    tables = {
        n: t.model_copy(update={"horizon": 1, "folds": None}) for n, t in training.tables.items()
    }
    return training.model_copy(update={"folds": Folds(train=1, valid=1, test=1), "tables": tables})


def bill_a_day(home: Path, drive: Path, bars: int = BARS) -> dict[str, Total]:
    """Load, build and check a day, and return what each is billed at this many existing bars."""
    settings = Settings(_env_file=None, cbi_home=home, cbi_drive=drive)  # type: ignore[call-arg]
    project = RecordedProject.of(replace(Project(settings), training=_with_folds()))
    asked: dict[str, list[Asked]] = {}
    for day, roots in EARLIEST.items():
        put_day(drive, day, STEPS, roots)
    for day in RECENT:
        put_day(drive, day, STEPS)
    for day in DAYS:
        put_day(drive, day, tuple(STEPS) if day == DAYS[0] else ("ohlcv-1m",))
        now = dt.datetime(day.year, day.month, day.day, 23, tzinfo=dt.UTC)
        for name, command in COMMANDS.items():
            with open_session(project, now=now) as session, reading_lights_ahead(session):
                command(session)
                read_lights(session)
                pending = PendingEvents(session.home)
                pending.remove(pending.partitions())  # as if they were reported to Dagster
            asked[name] = project.take()
    return {name: bill_all(statements, sizes(bars)) for name, statements in asked.items()}
