"""Measure the CPU seconds that load, build and check of one more day take, by existing bars.

    python benchmarks/daily.py [--sizes 2.2 22.5] [--runs 3] [--work DIR] [--plot FILE.svg]

For each size (2.2, 22.5 or 45 million 1m bars) makes a drive of DBN+zstd files, one a month and
root: 1.5 or 15.5 years of six roots, or 15.5 years of twelve. Loads, builds and checks it once in a
home of its own (the first columns). Then, in copies of that home, which has translated a day's SQL
once, adds a file of 280 bars of each of the six roots, and runs `cbi load`, `cbi build` and `cbi
check` as processes. Prints the medians of their CPU seconds, which vary less than seconds on a busy
machine, their peak memory, and the ratios of each size to the one before.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOTS = ("ZL", "ZS", "ZM", "MES", "CL", "6E")
MORE_ROOTS = ("ZC", "ZW", "KE", "ES", "GC", "6B")
SHARE = 0.765
"""Of all minutes in the exchange's hours, those with a bar."""

LAST = dt.date(2025, 11, 21)
DAY = dt.date(2025, 11, 24)
NEW_JOB = "20251125"
SIZES: dict[str, tuple[tuple[str, ...], dt.date]] = {
    "2.2": (ROOTS, dt.date(2024, 5, 20)),
    "22.5": (ROOTS, dt.date(2010, 6, 7)),
    "45": (ROOTS + MORE_ROOTS, dt.date(2010, 6, 7)),
}
"""By millions of bars: the roots, and the first trade date."""

VERBS = ("load", "build", "check")
AIM = 2.5
"""CPU seconds of one more day, of each verb."""


def put_files(drive: Path, root: str, number: int, starts: Any, name: str) -> None:
    """Write the bars of a root that start then, a job of one file a month."""
    from cbi_assets.config.universe import load_universe
    from cbi_assets.demo.encoder import encode_dbn, mappings, write_job
    from cbi_assets.demo.synthetic_bars import random_walk

    tick = load_universe().roots[root].tick
    records = random_walk("ohlcv-1m", number, starts, 20_000 * tick, tick, seed=number)
    stamps = records["ts_event"].astype("datetime64[ns]")
    months = stamps.astype("datetime64[M]")
    files = {}
    for month in np.unique(months):
        own = stamps[months == month]
        first, last = (own[place].astype("datetime64[D]").item() for place in (0, -1))
        mapped = mappings({f"{root}.v.0": [(number, first, last + dt.timedelta(days=1))]})
        file = encode_dbn(records[months == month], "GLBX.MDP3", "ohlcv-1m", mapped)
        files[f"glbx-mdp3-{first:%Y%m%d}-{last:%Y%m%d}.ohlcv-1m.dbn.zst"] = file
    every = (stamps[0].astype("datetime64[D]").item(), LAST + dt.timedelta(days=30))
    mapped = mappings({f"{root}.v.0": [(number, *every)]})
    job = drive / "TrainingData" / "raw" / f"GLBX-{name}-{root:A<10}"
    write_job(job, files, "GLBX.MDP3", "ohlcv-1m", mapped)


def make_drive(drive: Path, size: str) -> None:
    """Write all bars of a size, up to LAST."""
    from cbi_assets.config.universe import load_universe
    from cbi_assets.demo.synthetic_bars import bar_starts

    roots, first = SIZES[size]
    for number, root in enumerate(roots, 1000):
        calendar = load_universe().roots[root].calendar
        starts = np.array(bar_starts(calendar, first, LAST, 1))
        kept = np.random.default_rng(number).random(len(starts)) < SHARE
        put_files(drive, root, number, starts[kept], "20251122")


def add_day(drive: Path) -> None:
    """Write 280 bars of DAY of each of the six roots."""
    from cbi_assets.config.universe import load_universe
    from cbi_assets.demo.synthetic_bars import bar_starts

    for number, root in enumerate(ROOTS, 1000):
        starts = bar_starts(load_universe().roots[root].calendar, DAY, DAY, 1)
        put_files(drive, root, number, starts[-280:], NEW_JOB)


def separately(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process of its own: the peak memory of a child starts from its parent's.

    Raises SystemExit if it fails.
    """
    process = multiprocessing.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} failed")


def run(verb: str, home: Path, drive: Path) -> dict[str, float]:
    """Run a command; return its CPU seconds, its seconds on the clock and its peak MiB."""
    command = [sys.executable, "-m", "cbi_assets.cli", verb]
    environment = os.environ | {"CBI_HOME": str(home), "CBI_DRIVE": str(drive)}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"cbi {verb} failed: {said[-500:]}")
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "clock": time.perf_counter() - started,
        "peak": usage.ru_maxrss / 1024,
    }


def make(work: Path, size: str) -> None:
    """Make the drive of a size without the new day, and load, build and check it in a home.

    A home made by an earlier version is brought up to date, so that its upgrade is not measured as
    part of the new day.
    """
    drive, made, costs = work / size / "drive", work / size / "made", work / size / "first.json"
    for job in drive.rglob(f"GLBX-{NEW_JOB}-*"):
        shutil.rmtree(job)
    if not costs.exists():
        print(f"making {size} million bars …", flush=True)
        shutil.rmtree(work / size, ignore_errors=True)
        separately(make_drive, drive, size)
        costs.write_text(json.dumps({verb: run(verb, made, drive) for verb in VERBS}))
    else:
        for verb in VERBS:
            run(verb, made, drive)


def translate(work: Path, size: str) -> None:
    """Let the home of a size remember the translations of a day's SQL, as any but the first has.

    A home translates each text of a version once.
    """
    measure(work, size, keep=True)
    home = work / size / "run"
    shutil.copy(home / "translations.txt", work / size / "made")
    shutil.rmtree(home)


def measure(work: Path, size: str, *, keep: bool = False) -> dict[str, dict[str, float]]:
    """Return the costs of one more day by verb, in a copy of the home of a size."""
    home = work / size / "run"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(work / size / "made", home)
    os.sync()  # else the system writes the copy to the disk while the commands run
    costs = {verb: run(verb, home, work / size / "drive") for verb in VERBS}
    if not keep:
        shutil.rmtree(home)
    shown = ", ".join(f"{verb} {cost['cpu']:.1f}" for verb, cost in costs.items())
    print(f"{size} million bars, CPU seconds of one more day: {shown}", flush=True)
    return costs


def summarize(work: Path, size: str, runs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the costs of the first run, and of one more day the medians and the peak memory."""
    day = {
        verb: {
            "cpu": statistics.median(each[verb]["cpu"] for each in runs),
            "clock": statistics.median(each[verb]["clock"] for each in runs),
            "peak": max(each[verb]["peak"] for each in runs),
        }
        for verb in VERBS
    }
    first = json.loads((work / size / "first.json").read_text())
    return {"size": float(size), "first": first, "day": day}


def plot(results: list[dict[str, Any]], file: Path) -> None:
    """Draw the cost of a day by the number of existing bars, and the aim."""
    import vl_convert

    values = [
        {"bars": found["size"], "verb": f"cbi {verb}", "seconds": found["day"][verb]["cpu"]}
        for found in results
        for verb in VERBS
    ]
    verbs = [f"cbi {verb}" for verb in VERBS]
    axis = {"type": "quantitative", "scale": {"zero": True}}
    lines = {
        "data": {"values": values},
        "mark": {"type": "line", "point": {"size": 60}, "strokeWidth": 2.5},
        "encoding": {
            "x": {"field": "bars", "title": "million existing 1m bars", **axis},
            "y": {"field": "seconds", "title": "CPU seconds", **axis},
            "color": {
                "field": "verb",
                "type": "nominal",
                "sort": verbs,
                "scale": {"range": ["#0072b2", "#d55e00", "#009e73"]},
                "legend": {"orient": "top", "title": None, "symbolStrokeWidth": 3},
            },
        },
    }
    aim: dict[str, Any] = {
        "data": {"values": [{"seconds": AIM, "label": f"aim: {AIM}"}]},
        "encoding": {"y": {"field": "seconds", "type": "quantitative"}},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [5, 4], "color": "#666"}},
            {
                "mark": {"type": "text", "align": "left", "x": 6, "dy": 10, "color": "#666"},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "One more day of six roots",
        "width": 440,
        "height": 250,
        "background": "white",
        "layer": [lines, aim],
        "config": {"axis": {"labelFontSize": 13, "titleFontSize": 13},
                   "legend": {"labelFontSize": 13}, "text": {"fontSize": 13},
                   "title": {"fontSize": 14}},
    }  # fmt: skip
    file.write_text(vl_convert.vegalite_to_svg(json.dumps(spec)))


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["2.2", "22.5"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep drives and homes there, and reuse them")
    parser.add_argument("--make", action="store_true", help="only make them in --work")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="cbi-daily-"))
    for size in options.sizes:
        make(work, size)
    if options.make:
        return
    for size in options.sizes:
        separately(add_day, work / size / "drive")
        translate(work, size)
    # One of each size in turn, so that a busy minute does not fall on one of them alone.
    found_runs: dict[str, list[dict[str, dict[str, float]]]] = {size: [] for size in options.sizes}
    for _ in range(options.runs):
        for size, runs in found_runs.items():
            runs.append(measure(work, size))
    results = [summarize(work, size, runs) for size, runs in found_runs.items()]
    print("CPU seconds (seconds on the clock)")
    print(f"| million bars | | {' | '.join(VERBS)} | peak MiB |")
    print(f"| ---: | --- |{' ---: |' * (len(VERBS) + 1)}")
    for found in results:
        for key, name in (("first", "everything"), ("day", "one more day")):
            costs = found[key]
            cells = [f"{costs[verb]['cpu']:.1f} ({costs[verb]['clock']:.1f})" for verb in VERBS]
            peak = max(costs[verb]["peak"] for verb in VERBS)
            print(f"| {found['size']} | {name} | {' | '.join(cells)} | {peak:.0f} |")
    for small, large in pairwise(results):
        ratios = [
            f"{verb} {large['day'][verb]['cpu'] / small['day'][verb]['cpu']:.2f}" for verb in VERBS
        ]
        print(f"{large['size']} ÷ {small['size']} million bars, a day: {', '.join(ratios)}")
    if options.plot:
        plot(results, options.plot)
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
