"""Compare what `cbi load` uploads to BigQuery with simpler ways, in bytes and seconds.

    python benchmarks/bigquery.py [--bars 500000] [--runs 3] [--work DIR]

Makes a drive of one-minute bars as DBN+zstd and starts the BigQuery emulator, then compares

  bytes    what a load uploads (the landing zone's Parquet and the small staged frames) with the
           newline-delimited JSON of the rows it publishes, which `bq load` would upload, plain
           and gzipped
  seconds  staging the landed packs, and a complete load (landing, canary, audit, publication,
           checks), with the client's `load_table_from_dataframe` of the same rows

and prints medians and ratios. The emulator is another process on the same cores, so its seconds do
not predict those of BigQuery.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from cbi_assets.config.settings import Settings
from cbi_assets.demo.encoder import encode_dbn, mappings, write_job
from cbi_assets.demo.synthetic_bars import bar_starts, random_walk
from cbi_assets.drive.landing import pack_path
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project, open_session
from cbi_assets.tables import RAW
from cbi_assets.verbs import load
from cbi_assets_tests.bigquery.emulator import Emulator, run_emulator

NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
PROJECT = "benchmark"


def make_drive(drive: Path, bars: int) -> None:
    """Write one job of `bars` one-minute bars of MES, one file per month."""
    import numpy as np

    schema, dataset = "ohlcv-1m", "GLBX.MDP3"
    dates = trade_dates("equity", dt.date(2020, 1, 2))[: -(-bars // (23 * 60))]
    starts = bar_starts("equity", dates[0], dates[-1], 1)[:bars]
    mapped = mappings({"MES.v.0": [(100, dt.date(2010, 1, 1), dt.date(2040, 1, 1))]})
    records = random_walk(schema, 100, starts, 5000.0, 0.25, seed=1)
    month = records["ts_event"].astype("datetime64[ns]").astype("datetime64[M]")
    files = {
        f"glbx-mdp3-{str(each).replace('-', '')}.ohlcv-1m.dbn.zst": encode_dbn(
            records[month == each], dataset, schema, mapped
        )
        for each in np.unique(month)
    }
    write_job(drive / "GLBX-20260105-AAAAAAAAAA", files, dataset, schema, mapped)


def seconds(work: Callable[[], object]) -> float:
    """Run `work` and return how long it took, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def empty_project(emulator: Emulator, home: Path, drive: Path) -> Project:
    """Return a project with an empty home and an empty warehouse."""
    shutil.rmtree(home, ignore_errors=True)
    settings = emulator.empty_project(PROJECT) | {"cbi_home": home, "cbi_drive": drive}
    return Project(Settings(_env_file=None, **settings))  # type: ignore[call-arg]


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bars", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="cbi-bench-"))
    drive = work / "drive"
    if not drive.exists():
        make_drive(drive, options.bars)

    loads, stagings, clients, uploaded = [], [], [], 0
    rows = pl.DataFrame()
    with run_emulator(work / "emulator") as emulator:
        for _ in range(options.runs):
            project = empty_project(emulator, work / "home", drive)
            with open_session(project, now=NOW) as session:
                started = time.perf_counter()
                outcome = load(session)
                loads.append(time.perf_counter() - started)
                assert outcome.cost is not None
                uploaded = outcome.cost.bytes_uploaded
                warehouse, catalog = session.warehouse, session.catalog
                landing = project.home.landing
                packs = [pack_path(landing, p.timeframe, p.pack) for p in catalog.packs()]
                stagings.append(seconds(lambda: warehouse.stage_parquet("bench", packs)))  # noqa: B023
                rows = warehouse.query(f"SELECT * FROM `{RAW['1m'].id}`")
            frame = rows.to_pandas()
            with emulator.client(PROJECT) as client:
                target = "ops_staging.plain"
                client.delete_table(target, not_found_ok=True)
                clients.append(
                    seconds(lambda: client.load_table_from_dataframe(frame, target).result())  # noqa: B023
                )
    text = io.BytesIO()
    rows.write_ndjson(text)
    ndjson, zipped = len(text.getvalue()), len(gzip.compress(text.getvalue(), 6))

    print(f"{rows.height:,} bars, medians of {options.runs}")
    print(f"{'':42}{'bytes':>14}{'per row':>8}{'ratio':>8}")
    for name, size in (
        ("uploaded by a load", uploaded),
        ("NDJSON of the published rows", ndjson),
        ("NDJSON, gzipped", zipped),
    ):
        print(f"{name:42}{size:14,}{size / rows.height:8.1f}{uploaded / size:8.3f}")
    base = statistics.median(clients)
    print(f"{'':42}{'seconds':>14}{'':>8}{'ratio':>8}")
    for name, times in (
        ("client's load_table_from_dataframe", clients),
        ("staging the landed packs", stagings),
        ("complete load", loads),
    ):
        median = statistics.median(times)
        print(f"{name:42}{median:14.2f}{'':>8}{median / base:8.2f}")
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
