"""Generate the demo's drive, load it, build the matrix, write the audit."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cbi_assets.build.build import BuildOutcome
from cbi_assets.build.training import TrainingOutcome
from cbi_assets.config.settings import Settings
from cbi_assets.config.universe import load_universe
from cbi_assets.demo.encoder import encode_dbn, encode_text, mappings, write_job
from cbi_assets.demo.synthetic_bars import bar_starts, random_walk, to_hourly
from cbi_assets.drive.formats import DEMO_DATASET
from cbi_assets.drive.survey import Progress
from cbi_assets.ledger.books import books_by_file
from cbi_assets.load.load import LoadOutcome
from cbi_assets.pipeline.terminal import record_build, record_load
from cbi_assets.report.lights import Lights
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.session import Project, open_session
from cbi_assets.timestamps import EPOCH
from cbi_assets.verbs import build, load, train

logger = logging.getLogger(__name__)

DATASET: Final = DEMO_DATASET
FIRST, LAST = dt.date(2026, 1, 5), dt.date(2026, 3, 27)
NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
"""The demo's clock, UTC: a Monday. Its data end on the Friday before."""

_PRICES = {"ZL": 48.0, "ZS": 1050.0, "ZM": 300.0, "MES": 6000.0, "ES": 6000.0, "CL": 70.0}


@dataclass(frozen=True)
class DemoOutcome:
    """What a demo did, and where its home, its drive and its audit are.

    `by_file` has the books, one row per file.
    """

    home: Path
    drive: Path
    loaded: LoadOutcome
    built: BuildOutcome
    trained: TrainingOutcome
    by_file: pl.DataFrame
    audit: Path
    lights: Lights

    @property
    def has_failures(self) -> bool:
        """Whether the load or the build has failures."""
        return any(part.has_failures for part in (self.loaded, self.built, self.trained))


def make_drive(drive: Path) -> None:
    """Write three jobs: 1h of six roots as DBN, ZL again as daily JSON, and MES 1m as CSV.

    The JSON job repeats bars of the first one, so that there are duplicates to drop.
    """
    raw = drive / "TrainingData" / "raw"
    (drive / "TrainingData" / "staging").mkdir(parents=True, exist_ok=True)
    universe = load_universe()
    end = LAST + dt.timedelta(days=1)
    ids = {root: 100 + place for place, root in enumerate(_PRICES)}
    mapped = mappings({f"{root}.v.0": [(ids[root], FIRST.replace(day=1), end)] for root in _PRICES})

    def bars(root: str, schema: str, minutes: int) -> np.ndarray:
        spec = universe.roots[root]
        starts = bar_starts(spec.calendar, FIRST, LAST, minutes)
        return random_walk(schema, ids[root], starts, _PRICES[root], spec.tick, seed=ids[root])

    minutes = bars("MES", "ohlcv-1m", 1)
    hourly = np.concatenate(
        [
            to_hourly(minutes, ids["MES"]) if root == "MES" else bars(root, "ohlcv-1h", 60)
            for root in _PRICES
        ]
    )
    hourly = hourly[np.argsort(hourly["ts_event"], kind="stable")]
    name = f"demo-synth-{FIRST:%Y%m%d}-{LAST:%Y%m%d}"
    write_job(
        raw / "databento_all" / "DEMO-20260330-AAAAAAAAAA",
        {f"{name}.ohlcv-1h.dbn.zst": encode_dbn(hourly, DATASET, "ohlcv-1h", mapped)},
        DATASET, "ohlcv-1h", mapped,
    )  # fmt: skip

    soybean_oil = hourly[hourly["instrument_id"] == ids["ZL"]]
    days = soybean_oil["ts_event"] // (86_400 * 10**9)
    files = {}
    for day in np.unique(days):
        dbn = encode_dbn(soybean_oil[days == day], DATASET, "ohlcv-1h", mapped, zstd=False)
        date = EPOCH.date() + dt.timedelta(days=int(day))
        files[f"demo-synth-{date:%Y%m%d}.ohlcv-1h.json"] = encode_text(
            dbn, "json", "ohlcv-1h", mapped
        )
    write_job(raw / "databento_zl" / "DEMO-20260330-BBBBBBBBBB", files, DATASET, "ohlcv-1h", mapped)

    dbn = encode_dbn(minutes, DATASET, "ohlcv-1m", mapped, zstd=False)
    text = encode_text(dbn, "csv", "ohlcv-1m", mapped, pretty_px=False, pretty_ts=False, zstd=True)
    write_job(
        raw / "databento_mes" / "DEMO-20260330-CCCCCCCCCC",
        {f"{name}.ohlcv-1m.csv.zst": text}, DATASET, "ohlcv-1m", mapped,
    )  # fmt: skip


def run_demo(home: Path, progress: Progress | None = None) -> DemoOutcome:
    """Generate a drive and run every step on it, in `home`, which is emptied first."""
    home = home.expanduser().absolute()
    shutil.rmtree(home, ignore_errors=True)
    drive = home / "drive"
    settings = Settings(
        _env_file=None, cbi_home=home / "home", cbi_drive=drive, cbi_warehouse="duckdb"
    )  # type: ignore[call-arg]
    logger.info("Generating a small drive with Databento's encoder …")
    make_drive(drive)
    project = Project(settings)
    project.home.create()
    project.home.demo_mark.write_text("A demo's home: it accepts synthetic bars and no others.\n")
    with open_session(project, now=NOW, progress=progress) as session:
        loaded = load(session)
        built = build(session)
        trained = train(session)
        by_file = books_by_file(session.warehouse)
        written = write_audit(project.home, take_audit(session))
        logger.info("Recording it in Dagster …")
        record_load(session, loaded, written.audit.lights)
        record_build(session, built, trained, written.audit.lights)
    return DemoOutcome(project.home.root, drive, loaded, built, trained, by_file, written.html,
                       written.audit.lights)  # fmt: skip
