"""Compare `cbi load` with DuckDB, Polars and databento reading the same files, as processes.

    python benchmarks/load.py [--bars 5000000] [--runs 3] [--work DIR] [--only json|dbn|mixed]

Makes a drive of daily JSON files (at the default size, over 1 GB in thousands of files), one of
the same bars as DBN+zstd, and a mixed one: 200 monthly DBN files of 1h bars of 28 symbols, and
4,008 daily and 356 weekly JSON files of bars that are among them. Then times in turn:

  cbi load             an empty home; inventory, landing, audit, publication, checks, Dagster events
  DuckDB               typed read_json of all files into a table of a new database file
  Polars               scan_ndjson of all files with the same columns, collected
  DBNStore.to_df       of each DBN file, alone, and inserted into a new DuckDB file
  cbi load, again      nothing new
  import dagster       the start of Python and Dagster

and prints the median seconds and CPU seconds, their ratios, and the peak memory of one process.
Only ratios of CPU seconds compare on a machine that does other work at the same time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOTS = ("ES", "NQ", "MES", "MNQ")
START = dt.date(2020, 1, 2)
MIXED_ROOTS = 28
DUCKDB_PLAIN = """
import sys, duckdb
files, target = sys.argv[1], sys.argv[2]
c = duckdb.connect(target)
c.execute(f'''
CREATE TABLE bars AS
SELECT hd.ts_event AS ts_event, hd.rtype AS rtype, hd.publisher_id AS publisher_id,
       hd.instrument_id AS instrument_id, open, high, low, close, volume, symbol
FROM read_json('{files}', format='newline_delimited', columns={{
  hd: 'STRUCT(ts_event TIMESTAMP, rtype SMALLINT, publisher_id SMALLINT, instrument_id BIGINT)',
  open: 'DOUBLE', high: 'DOUBLE', low: 'DOUBLE', close: 'DOUBLE', volume: 'BIGINT',
  symbol: 'VARCHAR'}})''')
print(c.execute('SELECT COUNT(*) FROM bars').fetchone()[0])
"""
POLARS_PLAIN = """
import sys, polars as pl
texts = ('open', 'high', 'low', 'close', 'volume', 'symbol')
hd = pl.Struct({'ts_event': pl.String, 'rtype': pl.Int16, 'publisher_id': pl.Int16,
                'instrument_id': pl.Int64})
frame = (
    pl.scan_ndjson(sys.argv[1], schema={'hd': hd} | dict.fromkeys(texts, pl.String))
    .unnest('hd')
    .with_columns(
        pl.col('ts_event').str.to_datetime('%Y-%m-%dT%H:%M:%S%.9fZ', time_unit='us'),
        pl.col('open', 'high', 'low', 'close').cast(pl.Float64),
        pl.col('volume').cast(pl.Int64),
    )
    .collect()
)
print(frame.height)
"""
TO_DF = """
import sys, glob, databento
total = 0
for path in sorted(glob.glob(sys.argv[1])):
    total += len(databento.DBNStore.from_file(path).to_df())
print(total)
"""
TO_DF_INSERT = """
import sys, glob, databento, duckdb
c = duckdb.connect(sys.argv[2])
total = 0
for number, path in enumerate(sorted(glob.glob(sys.argv[1]))):
    frame = databento.DBNStore.from_file(path).to_df().reset_index()
    c.execute('INSERT INTO bars FROM frame' if number else 'CREATE TABLE bars AS FROM frame')
    total += len(frame)
print(total)
"""


@dataclass
class Timed:
    """A process's wall and CPU seconds, and its peak memory in MiB."""

    seconds: float
    cpu: float
    peak: float


def run(command: list[str], environment: dict[str, str] | None = None) -> Timed:
    """Run a command to its end and time it from outside. Raises SystemExit if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{command[:4]} failed: {errors.decode()[-800:]}")
    return Timed(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def make_drives(work: Path, bars: int) -> None:
    """Write the JSON drive, one file per root and day, and the DBN drive, one file per month."""
    import numpy as np

    from cbi_assets.demo.encoder import encode_dbn, encode_text, mappings, write_job
    from cbi_assets.demo.synthetic_bars import bar_starts, random_walk
    from cbi_assets.market.sessions import trade_dates

    schema, dataset = "ohlcv-1m", "GLBX.MDP3"
    days = -(-bars // (len(ROOTS) * 23 * 60))
    dates = trade_dates("equity", START)[:days]
    starts = bar_starts("equity", dates[0], dates[-1], 1)
    span = (dt.date(2010, 1, 1), dt.date(2040, 1, 1))
    mapped = mappings({f"{root}.v.0": [(100 + i, *span)] for i, root in enumerate(ROOTS)})
    parts = []
    for place, root in enumerate(ROOTS):
        records = random_walk(schema, 100 + place, starts, 5000.0, 0.25, seed=place)
        parts.append(records)
        day = records["ts_event"] // (86_400 * 10**9)
        texts = {}
        for date in np.unique(day):
            dbn = encode_dbn(records[day == date], dataset, schema, mapped, zstd=False)
            name = f"glbx-mdp3-{np.datetime64(int(date), 'D')}.{schema}.json"
            texts[name] = encode_text(dbn, "json", schema, mapped)
        folder = f"databento_{root.lower()}/GLBX-20251118-{'ABCD'[place] * 10}"
        write_job(work / "json/TrainingData/raw" / folder, texts, dataset, schema, mapped)
    files = monthly_dbn(parts, dataset, schema, mapped)
    folder = "databento_all/GLBX-20251216-AAAAAAAAAA"
    write_job(work / "dbn/TrainingData/raw" / folder, files, dataset, schema, mapped)


def monthly_dbn(parts: list[Any], dataset: str, schema: str, mapped: list[Any]) -> dict[str, bytes]:
    """Encode the records of several roots as one DBN file per month."""
    import numpy as np

    from cbi_assets.demo.encoder import encode_dbn

    merged = np.concatenate(parts)
    merged = merged[np.argsort(merged["ts_event"], kind="stable")]
    month = (merged["ts_event"] // 10**9).astype("datetime64[s]").astype("datetime64[M]")
    return {
        f"glbx-mdp3-{value}.{schema}.dbn.zst": encode_dbn(
            merged[month == value], dataset, schema, mapped
        )
        for value in np.unique(month)
    }


def make_mixed(work: Path) -> None:
    """Write monthly DBN files of many symbols, and daily and weekly JSON files of two of them."""
    import numpy as np

    from cbi_assets.config.universe import load_universe
    from cbi_assets.demo.encoder import encode_dbn, encode_text, mappings, write_job
    from cbi_assets.demo.synthetic_bars import bar_starts, random_walk

    schema, dataset = "ohlcv-1h", "GLBX.MDP3"
    first, last = dt.date(2009, 5, 3), dt.date(2025, 12, 31)
    span = (dt.date(2009, 1, 1), dt.date(2026, 12, 31))
    roots = dict(list(load_universe().roots.items())[:MIXED_ROOTS])
    mapped = mappings({f"{root}.v.0": [(100 + i, *span)] for i, root in enumerate(roots)})
    records = {}
    for place, (root, spec) in enumerate(roots.items()):
        starts = bar_starts(spec.calendar, first, last, 60)
        price = 20_000 * spec.tick
        records[root] = random_walk(schema, 100 + place, starts, price, spec.tick, seed=place)
    files = monthly_dbn(list(records.values()), dataset, schema, mapped)
    raw = work / "mixed/TrainingData/raw"
    write_job(raw / "databento_all/GLBX-20251216-AAAAAAAAAA", files, dataset, schema, mapped)
    for root, count, days in (("ZL", 4_008, 1), ("MES", 356, 7)):
        own = records[root]
        of_root = [item for item in mapped if item.raw_symbol == f"{root}.v.0"]
        span_number = own["ts_event"] // (86_400 * 10**9) // days
        texts = {}
        for value in np.unique(span_number)[-count:]:
            dbn = encode_dbn(own[span_number == value], dataset, schema, of_root, zstd=False)
            name = f"glbx-mdp3-{np.datetime64(int(value) * days, 'D')}.{schema}.json"
            texts[name] = encode_text(dbn, "json", schema, of_root)
        folder = raw / f"databento_{root.lower()}/GLBX-20251118-{root:B<10}"
        write_job(folder, texts, dataset, schema, of_root)


def time_load(work: Path, drive: str, fresh: bool) -> Timed:
    """Time `cbi load` of a drive, into an empty home if `fresh`."""
    home = work / f"home_{drive}"
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    settings = {"CBI_HOME": str(home), "CBI_DRIVE": str(work / drive), "CBI_WAREHOUSE": "duckdb"}
    return run([sys.executable, "-m", "cbi_assets.cli", "load"], settings)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bars", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", choices=("json", "dbn", "mixed"))
    parser.add_argument("--make", action="store_true", help="only make the drives in --work")
    options = parser.parse_args()
    if options.make:
        make_drives(options.work, options.bars)
        make_mixed(options.work)
        return
    work = options.work or Path(tempfile.mkdtemp(prefix="cbi-bench-"))
    if not (work / "json").exists():
        print(f"making {options.bars:,} bars under {work} …", flush=True)
        # in a separate process, because a child's peak memory starts from its parent's
        making = [sys.executable, __file__, "--make", "--work", str(work)]
        subprocess.run([*making, "--bars", str(options.bars)], check=True)
    texts = sorted((work / "json").rglob("*.ohlcv-1m.json"))
    size = sum(path.stat().st_size for path in texts)
    dbns = sorted((work / "dbn").rglob("*.dbn.zst"))
    print(f"{len(texts):,} JSON files, {size / 1e9:.2f} GB; {len(dbns)} DBN+zstd files", flush=True)
    plain = [sys.executable, "-c"]
    target = work / "plain.duckdb"
    files = str(work / "json/TrainingData/raw/*/*/*.ohlcv-1m.json")
    times: dict[str, list[Timed]] = {}
    for _ in range(options.runs):
        if options.only in (None, "json"):
            times.setdefault("cbi load (JSON)", []).append(time_load(work, "json", fresh=True))
            times.setdefault("cbi load again", []).append(time_load(work, "json", fresh=False))
            target.unlink(missing_ok=True)
            times.setdefault("DuckDB read_json", []).append(
                run([*plain, DUCKDB_PLAIN, files, str(target)])
            )
            times.setdefault("Polars scan_ndjson", []).append(run([*plain, POLARS_PLAIN, files]))
        if options.only in (None, "dbn"):
            times.setdefault("cbi load (DBN)", []).append(time_load(work, "dbn", fresh=True))
            pattern = str(work / "dbn/TrainingData/raw/*/*/*.dbn.zst")
            target.unlink(missing_ok=True)
            times.setdefault("to_df and insert", []).append(
                run([*plain, TO_DF_INSERT, pattern, str(target)])
            )
            times.setdefault("DBNStore.to_df", []).append(run([*plain, TO_DF, pattern]))
        if options.only in (None, "mixed"):
            times.setdefault("cbi load (mixed)", []).append(time_load(work, "mixed", fresh=True))
            times.setdefault("mixed, again", []).append(time_load(work, "mixed", fresh=False))
        times.setdefault("import dagster", []).append(run([*plain, "import dagster"]))
    median = {name: statistics.median(t.seconds for t in found) for name, found in times.items()}
    cpu = {name: statistics.median(t.cpu for t in found) for name, found in times.items()}
    print(f"{'':22} {'median s':>9} {'min':>7} {'max':>7} {'CPU s':>7} {'peak MiB':>9}")
    for name, found in times.items():
        seconds = [t.seconds for t in found]
        peak = max(t.peak for t in found)
        print(
            f"{name:22} {median[name]:9.2f} {min(seconds):7.2f} {max(seconds):7.2f} "
            f"{cpu[name]:7.2f} {peak:9.0f}"
        )
    ratios = {
        "JSON: cbi load / DuckDB (aim ≤ 2)": ("cbi load (JSON)", "DuckDB read_json"),
        "JSON: cbi load / Polars": ("cbi load (JSON)", "Polars scan_ndjson"),
        "DBN: cbi load / to_df and insert (aim ≤ 0.6)": ("cbi load (DBN)", "to_df and insert"),
        "DBN: cbi load / to_df": ("cbi load (DBN)", "DBNStore.to_df"),
    }
    for label, (ours, other) in ratios.items():
        if ours in median:
            print(f"{label}: {median[ours] / median[other]:.2f}, CPU {cpu[ours] / cpu[other]:.2f}")
    for name, limit in {"cbi load (mixed)": 10, "cbi load again": 0.9, "mixed, again": 0.9}.items():
        if name in median:
            print(f"{name} (aim ≤ {limit} s): {median[name]:.2f} s, CPU {cpu[name]:.2f}")
    print(json.dumps({"bars": options.bars, "medians": median}))
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
