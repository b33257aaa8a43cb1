"""Compare `cbi build` with a pandas version of only the pivots and the volatility.

    python benchmarks/matrix.py [--roots 32] [--years 15] [--runs 3] [--work DIR] [--stages]

Makes a home whose 1h table contains the continuous symbol by volume (`ROOT.v.0`) of each root, a
random walk in the sector's hours with a new contract each quarter, and one value per business day
of each macro series. Then times, each in a separate process and without its imports:

  plain pandas    reads the bars, sessions by trade date, the five pivots, 20-day volatility, its
                  rank and its median over 252 days; writes nothing
  full build      into empty tables: 4h bars, sessions, rolls, continuous series, all of
                  daily_ml_matrix, the transaction and the checks
  one more day    a build after one more day of bars of every root
  nothing new     the same build again

and prints the median seconds and CPU seconds, their ratios, and the peak memory of one process.
Only ratios of CPU seconds compare on a machine that does other work at the same time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DAY = "day.parquet"
NOW = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
FIRST = dt.date(2010, 6, 7)

# the functions timed with --stages, as module:function; each includes the functions it calls
STAGES = (
    "build.build:failed_upstream",
    "build.build:read_inventory",
    "build.build:derive",
    "build.build:assemble",
    "build.assemble:build_sessions",
    "build.session_rows:read_hours",
    "build.session_rows:session_bars",
    "build.assemble:front_month_chain",
    "build.assemble:choose_active",
    "build.assemble:continuous_series",
    "build.assemble:zone_rows",
    "build.assemble:build_matrix",
    "features.matrix:_trade_dates_of",
    "features.matrix:pivots",
    "features.matrix:log_returns",
    "features.matrix:fibonacci",
    "features.matrix:catalogue_columns",
    "features.matrix:crush",
    "features.matrix:volatility",
    "features.matrix:name_regimes",
    "features.matrix:_session_closes",
    "features.matrix:macro_as_of",
    "build.build:replace_rows",
    "warehouse.duckdb:DuckDBWarehouse.transact",
    "verbs:run_checks",
    "verbs:record_results",
)


class Clock:
    """Wall and CPU seconds (of all threads) since the object was created."""

    def __init__(self) -> None:
        self.started, self.started_cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both by name."""
        seconds = time.perf_counter() - self.started
        return {"seconds": seconds, "cpu": time.process_time() - self.started_cpu}


def open_project(work: Path) -> Any:
    """Return a project with its home under `work`."""
    from cbi_assets.config.settings import Settings
    from cbi_assets.session import Project

    return Project(Settings(_env_file=None, cbi_home=work / "home", cbi_warehouse="duckdb"))  # type: ignore[call-arg]


def make_home(work: Path, roots: int, years: int) -> None:
    """Fill the 1h table and the macro observations, and write the last trade date's bars to DAY."""
    import polars as pl

    from cbi_assets.market.sessions import trade_dates
    from cbi_assets.tables import LOADS, MACRO_OBSERVATIONS, RAW
    from cbi_assets.warehouse.base import Statement

    project = open_project(work)
    last = trade_dates(None, FIRST, FIRST.replace(year=FIRST.year + years))[-1]
    days = []
    from cbi_assets.session import open_session

    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse

        def fill(table: str, rows: pl.DataFrame) -> None:
            staged = warehouse.stage_frame("rows", rows)
            columns = ", ".join(rows.columns)
            sql = f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM `{staged}`"
            warehouse.transact([Statement(sql)])

        for place, root in enumerate(list(project.universe.roots)[:roots]):
            bars = make_bars(project, root, place, last)
            fill(RAW["1h"].id, bars.filter(pl.col("trade_date") < last))
            days.append(bars.filter(pl.col("trade_date") == last))
            fill(LOADS.id, make_books(f"load-{root}", bars.filter(pl.col("trade_date") < last)))
        fill(MACRO_OBSERVATIONS.id, make_observations(project, last))
    pl.concat(days).with_columns(load_id=pl.lit("load-day")).write_parquet(work / DAY)


def make_bars(project: Any, root: str, place: int, last: dt.date) -> Any:
    """Return rows of the raw 1h table: a random walk of `ROOT.v.0`."""
    import polars as pl

    from cbi_assets.demo.synthetic_bars import bar_starts, random_walk
    from cbi_assets.market.sessions import trade_date_of
    from cbi_assets.tables import RAW

    spec = project.universe.roots[root]
    starts = bar_starts(spec.calendar, FIRST, last, 60)
    records = random_walk("ohlcv-1h", 0, starts, 20_000 * spec.tick, spec.tick, seed=place)
    ts = pl.Series("ts_event", records["ts_event"].astype("int64") // 1_000).cast(
        pl.Datetime("us", "UTC")
    )
    prices = {name: records[name] / 1e9 for name in ("open", "high", "low", "close")}
    bars = pl.DataFrame(
        {
            "ts_event": ts,
            "trade_date": trade_date_of(ts, spec.calendar),
            **prices,
            "volume": records["volume"].astype("int64"),
        }
    )
    day = pl.col("ts_event").dt
    return bars.with_columns(
        pl.lit(root).alias("root"),
        pl.lit(f"{root}.v.0").alias("symbol"),
        pl.lit("continuous").alias("kind"),
        pl.lit(None, pl.String).alias("contract"),
        # the vendor changes instrument IDs at midnight UTC
        (place * 1_000 + (day.year() - FIRST.year) * 4 + day.quarter())
        .cast(pl.Int64)
        .alias("instrument_id"),
        pl.lit(1, pl.Int64).alias("publisher_id"),
        pl.lit("GLBX.MDP3").alias("dataset"),
        pl.lit(f"file-{root}").alias("source_file_id"),
        pl.lit(f"load-{root}").alias("load_id"),
        pl.lit(NOW).alias("loaded_at"),
    ).select(RAW["1h"].column_names)


def make_books(load_id: str, bars: Any) -> Any:
    """Return the rows of ops.loads of these bars: a build looks at what the ledger says."""
    import polars as pl

    empty = ("duplicates", "quarantined", "conflicts", "reopened")
    return bars.group_by("root").agg(
        pl.lit(load_id).alias("load_id"),
        pl.format("file of {} in {}", "root", pl.lit(load_id)).first().alias("source_file_id"),
        pl.lit("1h").alias("timeframe"),
        pl.len().cast(pl.Int64).alias("records"),
        pl.len().cast(pl.Int64).alias("published"),
        *(pl.lit(0, pl.Int64).alias(name) for name in empty),
        pl.col("ts_event").min().alias("first_ts_event"),
        pl.col("ts_event").max().alias("last_ts_event"),
        pl.lit(NOW).alias("loaded_at"),
    )


def make_observations(project: Any, last: dt.date) -> Any:
    """Return one value per series and business day, available at 22:00 UTC on the next day."""
    import polars as pl

    days = pl.select(
        pl.date_range(FIRST, last, "1d").alias("reference_date"),
    ).filter(pl.col("reference_date").dt.weekday() <= 5)
    known = pl.col("reference_date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=46)
    return pl.concat(
        days.select(
            pl.lit("fred").alias("source"),
            pl.lit(series_id).alias("series_id"),
            "reference_date",
            known.alias("available_at"),
            pl.int_range(pl.len()).cast(pl.Float64).alias("value"),
            pl.lit("file-macro").alias("source_file_id"),
            pl.lit("load-macro").alias("load_id"),
        )
        for series_id in project.macro.series
    )


def plain(work: Path) -> dict[str, Any]:
    """Compute the pivots and the volatility with pandas, one root at a time."""
    import duckdb
    import numpy as np
    import pandas as pd

    clock = Clock()
    with duckdb.connect(str(work / "home" / "warehouse.duckdb"), read_only=True) as connection:
        bars = connection.execute(
            "SELECT root, ts_event, trade_date, open, high, low, close, volume "
            "FROM market_data.databento_futures_ohlcv_1h ORDER BY root, ts_event"
        ).df()
    frames = []
    for root, own in bars.groupby("root"):
        days = own.groupby("trade_date").agg(
            open=("open", "first"),
            high=("high", "max"),
            low=("low", "min"),
            close=("close", "last"),
            volume=("volume", "sum"),
        )
        high, low, close = days["high"].shift(), days["low"].shift(), days["close"].shift()
        days["P"] = (high + low + close) / 3
        days["R1"], days["S1"] = 2 * days["P"] - low, 2 * days["P"] - high
        days["R2"], days["S2"] = days["P"] + (high - low), days["P"] - (high - low)
        days["vol20"] = np.log(days["close"] / days["close"].shift()).rolling(20).std()
        year = days["vol20"].rolling(252)
        days["vol_percentile"] = year.apply(lambda values: (values <= values[-1]).mean(), raw=True)
        days["k_vol"] = (days["vol20"] / year.median()).clip(0.5, 3)
        frames.append(days.assign(root=root))
    rows = len(pd.concat(frames))
    return {**clock.read(), "rows": rows}


def build(work: Path) -> dict[str, Any]:
    """Time one build and each of its STAGES."""
    from cbi_assets.verbs import build

    stages = watch_stages()
    project = open_project(work)
    from cbi_assets.session import open_session

    with open_session(project, now=NOW) as session:
        clock = Clock()
        outcome = build(session)
        took = clock.read()
    return {
        **took,
        "rows": sum(outcome.rows.values()),
        "sessions": outcome.sessions_built,
        "written": {item.spec.name: item.written for item in outcome.replaced},
        "stages": stages,
    }


def watch_stages() -> dict[str, dict[str, float]]:
    """Time each of STAGES from now on; return what Clock reads, updated as they run."""
    took: dict[str, dict[str, float]] = {}

    def watched(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*given: Any, **named: Any) -> Any:
            clock = Clock()
            try:
                return call(*given, **named)
            finally:
                before = took.get(stage, {})
                took[stage] = {k: v + before.get(k, 0.0) for k, v in clock.read().items()}

        return timed

    for stage in STAGES:
        module, _, path = stage.partition(":")
        owner = importlib.import_module(f"cbi_assets.{module}")
        *outer, name = path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        setattr(owner, name, watched(stage, getattr(owner, name)))
    return took


def add_day(work: Path) -> dict[str, Any]:
    """Insert the bars of DAY into the 1h table."""
    import polars as pl

    from cbi_assets.tables import LOADS, RAW
    from cbi_assets.warehouse.base import Statement

    project = open_project(work)
    from cbi_assets.session import open_session

    bars = pl.read_parquet(work / DAY)
    with open_session(project, now=NOW) as session:
        for spec, rows in ((RAW["1h"], bars), (LOADS, make_books("load-day", bars))):
            staged = session.warehouse.stage_frame("day", rows)
            columns = ", ".join(rows.columns)
            sql = f"INSERT INTO `{spec.id}` ({columns}) SELECT {columns} FROM `{staged}`"
            session.warehouse.transact([Statement(sql)])
    return {}


STEPS = {"plain": plain, "build": build, "add": add_day}


def run(step: str, work: Path) -> dict[str, Any]:
    """Run a step in a separate process; return its output and its peak memory in MiB."""
    command = [sys.executable, __file__, "--step", step, "--work", str(work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the step {step} failed")
    return {**json.loads(output), "peak": usage.ru_maxrss / 1024}


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roots", type=int, default=32)
    parser.add_argument("--years", type=int, default=15)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument(
        "--stages", action="store_true", help="print the CPU seconds of each stage, too"
    )
    parser.add_argument("--step", choices=("make", *STEPS), help="run only this step, in --work")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="cbi-bench-"))
    if options.step == "make":
        make_home(work, options.roots, options.years)
        return
    if options.step:
        print(json.dumps(STEPS[options.step](work)))
        return
    made = work / "made"
    if not (made / DAY).exists():
        print(f"making {options.years} years of 1h bars of {options.roots} roots …", flush=True)
        size = ["--roots", str(options.roots), "--years", str(options.years)]
        making = [sys.executable, __file__, "--step", "make", "--work", str(made), *size]
        subprocess.run(making, check=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.runs):
        own = work / "run"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(made, own)
        found.setdefault("plain pandas", []).append(run("plain", own))
        found.setdefault("full build", []).append(run("build", own))
        run("add", own)
        found.setdefault("one more day", []).append(run("build", own))
        found.setdefault("nothing new", []).append(run("build", own))
    median = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(r["cpu"] for r in runs) for name, runs in found.items()}
    head = f"{'median s':>10}{'min':>8}{'max':>8}{'CPU s':>8}{'peak MiB':>10}{'rows':>10}"
    print(f"{'':16}{head}")
    for name, runs in found.items():
        seconds = [r["seconds"] for r in runs]
        peak = max(r["peak"] for r in runs)
        print(
            f"{name:16}{median[name]:10.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{cpu[name]:8.2f}{peak:10.0f}{runs[-1]['rows']:10,}"
        )
    for unit, of in {"": median, ", CPU": cpu}.items():
        key = "cpu" if unit else "seconds"
        derive = [run["stages"]["build.build:derive"][key] for run in found["full build"]]
        without = (of["full build"] - statistics.median(derive)) / of["plain pandas"]
        ratio = of["full build"] / of["plain pandas"]
        print(f"without the 4h bars / plain pandas{unit} (aim < 1): {without:.2f}")
        print(f"full build / plain pandas{unit} (aim < 1.5): {ratio:.2f}")
    print(f"one more day: {median['one more day']:.2f} s, CPU {cpu['one more day']:.2f}")
    if options.stages:
        names = list(found)[1:]
        print(f"\n{'CPU seconds by stage, last run':44}" + "".join(f"{name:>14}" for name in names))
        for stage in STAGES:
            took = [found[name][-1]["stages"].get(stage, {"cpu": 0.0}) for name in names]
            print(f"{stage:44}" + "".join(f"{each['cpu']:14.3f}" for each in took))
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
