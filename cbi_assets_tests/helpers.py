"""Write jobs with Databento's encoder, load them, and compute the rows that tables must contain.

Expected rows are computed from the input arrays, one bar at a time, in Python's exact decimals:
never with the code under test.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from filelock import FileLock

from cbi_assets.checks import CHECKS, CheckContext, run_checks
from cbi_assets.config.settings import Settings
from cbi_assets.demo.encoder import (
    SymbolIntervals,
    bar_records,
    encode_dbn,
    encode_text,
    mappings,
    write_job,
)
from cbi_assets.drive.survey import Survey
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.load.load import LoadOutcome, inventory
from cbi_assets.session import Project, Session, open_session
from cbi_assets.verbs import load
from cbi_assets.warehouse.base import Warehouse

NOW = dt.datetime(2025, 1, 10, 12, tzinfo=dt.UTC)
"""The clock of every test."""

START = dt.datetime(2025, 1, 6, 15, tzinfo=dt.UTC)
"""Monday, 09:00 Chicago time: the default start of `bars`."""

DATASET = "GLBX.MDP3"
JOB = "GLBX-20250110-AAAAAAAAAA"
NAME = "glbx-mdp3-20250106-20250108"
IDS = {"ZL.v.0": 10, "ZS.v.0": 20, "MES.v.0": 30, "ES.v.0": 40}
MAPPED = mappings(
    {symbol: [(number, dt.date(2025, 1, 1), dt.date(2025, 2, 1))] for symbol, number in IDS.items()}
)
STEPS = {"ohlcv-1m": 60, "ohlcv-1h": 3_600, "ohlcv-1d": 86_400}
PRICE_COLUMNS = ("open", "high", "low", "close")

Records = npt.NDArray[Any]


def bars(
    count: int = 24,
    symbol: str = "ZL.v.0",
    start: dt.datetime = START,
    schema: str = "ohlcv-1h",
    price: str | None = None,
    instrument_id: int | None = None,
) -> Records:
    """Return `count` valid, consecutive bars.

    Bar i: open = price + i ticks, high = open + 5 ticks, low = open - 3 ticks, close = open + 2
    ticks, volume = 100 + i. The tick is 0.01 for ZL and 0.25 for the others; the price is by
    default 45.01 for ZL and 1001.25 for the others.
    """
    is_zl = symbol.startswith("ZL")
    tick = 10_000_000 if is_zl else 250_000_000
    first_open = Decimal(price or ("45.01" if is_zl else "1001.25"))
    opens = int(first_open * 10**9) + tick * np.arange(count, dtype=np.int64)
    first = int(start.timestamp()) * 10**9
    step = STEPS[schema] * 10**9
    return bar_records(
        schema,
        IDS[symbol] if instrument_id is None else instrument_id,
        first + step * np.arange(count, dtype=np.int64),
        {
            "open": opens,
            "high": opens + 5 * tick,
            "low": opens - 3 * tick,
            "close": opens + 2 * tick,
        },
        100 + np.arange(count, dtype=np.int64),
    )


def dbn_file(records: Records, schema: str = "ohlcv-1h", **options: Any) -> bytes:
    """Encode the records as a DBN file, by default of GLBX.MDP3 and compressed with zstd."""
    mapped = options.pop("mapped", MAPPED)
    return encode_dbn(records, options.pop("dataset", DATASET), schema, mapped, **options)


def text_file(
    records: Records,
    encoding: str = "json",
    schema: str = "ohlcv-1h",
    mapped: Sequence[SymbolIntervals] = MAPPED,
    **options: Any,
) -> bytes:
    """Encode the records as JSON lines or CSV, by default pretty and with symbols."""
    plain = dbn_file(records, schema, zstd=False, mapped=mapped or MAPPED)
    return encode_text(plain, encoding, schema, mapped, **options)  # type: ignore[arg-type]


def put_job(
    drive: Path,
    files: Mapping[str, bytes],
    job: str = JOB,
    schema: str = "ohlcv-1h",
    mapped: Sequence[SymbolIntervals] = MAPPED,
    **options: Any,
) -> Path:
    """Write a job's files and sidecars into `drive/job` and return the folder."""
    return write_job(drive / job, files, options.pop("dataset", DATASET), schema, mapped, **options)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name`, which `make` fills in the first of pytest-xdist's processes that
    asks for it; they only read it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made, root = base / f"{name}.made", base / name
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            make(root)
            made.touch()
    return root


def copy_home(home: Path, root: Path) -> tuple[Project, Path]:
    """Copy a home into a new folder of `root`; return its project and its drive, which is empty."""
    drive = root / "drive"
    drive.mkdir(parents=True)
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=drive)  # type: ignore[call-arg]
    shutil.copytree(home, root / "home")
    return Project(settings), drive


def load_once(project: Project, **options: Any) -> LoadOutcome:
    """Run `cbi load` without its terminal."""
    with open_session(project, now=options.pop("now", NOW)) as session:
        return load(session, **options)


def take_inventory(project: Project) -> Survey:
    """Run `cbi inventory` without its terminal."""
    with open_session(project, now=NOW) as session:
        return inventory(session)


def run_check(
    session: Session,
    name: str,
    roots: Sequence[str] | None = None,
    timeframe: str | None = None,
    **options: Any,
) -> list[CheckResult]:
    """Run the checks of this name and timeframe (default: all); `options` are CheckContext's."""
    checks = [c for c in CHECKS if c.name == name and timeframe in (None, c.timeframe)]
    assert checks
    return run_checks(CheckContext(session, roots, **options), checks)


@contextmanager
def open_warehouse(project: Project, now: dt.datetime = NOW) -> Iterator[Warehouse]:
    """Open a session and yield its warehouse."""
    with open_session(project, now=now) as session:
        yield session.warehouse


def query(project: Project, sql: str) -> pl.DataFrame:
    """Return the rows of a GoogleSQL query on the project's warehouse, whose tables exist."""
    with open_session(project, now=NOW, create_tables=False, for_readers=False) as session:
        return session.warehouse.query(sql)


def paste(project: Project, sql: str) -> pl.DataFrame:
    """Run a check's SQL as it would run if pasted into the warehouse's own tool."""
    return paste_all(project, [sql])[0]


def paste_all(project: Project, texts: Sequence[str]) -> list[pl.DataFrame]:
    """Run the SQL of several checks as `paste` does, with the warehouse opened once."""
    if project.settings.cbi_warehouse == "bigquery":
        with open_warehouse(project) as warehouse:
            return [warehouse.query(sql) for sql in texts]
    with duckdb.connect(str(project.home.warehouse)) as opened:
        opened.execute("SET TimeZone = 'UTC'")
        return [opened.sql(sql).pl() for sql in texts]


def table(project: Project, timeframe: str = "1h") -> pl.DataFrame:
    """Return a raw table sorted by key, without the load's ID and time."""
    frame = query(project, f"SELECT * FROM `market_data.databento_futures_ohlcv_{timeframe}`")
    return frame.drop("load_id", "loaded_at").sort("symbol", "ts_event")


def refusals(found: Survey | LoadOutcome) -> dict[str, str]:
    """Return the reason of each refused file, by path."""
    survey = found.survey if isinstance(found, LoadOutcome) else found
    return {file.path: file.reason for file in survey.files if file.verdict == "refused"}


def decimal_price(raw: int) -> float:
    """Return the float64 nearest to a raw price, by exact decimal arithmetic."""
    return float(Decimal(int(raw)) / 10**9)


def expected_rows(
    records: Records,
    symbol: str = "ZL.v.0",
    root: str = "ZL",
    kind: str = "continuous",
    contract: str | None = None,
    dataset: str = DATASET,
) -> list[dict[str, Any]]:
    """Return the rows that valid bars of one symbol must become, by ts_event.

    Trade dates are correct from 2025-01-05 to 2025-01-08 only: regular days in winter, when the
    next trade date starts at 23:00 UTC, 17:00 Chicago time.
    """
    rows = []
    for record in np.sort(records, order="ts_event"):
        start = dt.datetime.fromtimestamp(int(record["ts_event"]) // 10**9, dt.UTC)
        row = {
            "ts_event": start,
            "trade_date": (start + dt.timedelta(hours=1)).date(),
            "root": root,
            "symbol": symbol,
            "kind": kind,
            "contract": contract,
            "instrument_id": int(record["instrument_id"]),
            "publisher_id": int(record["publisher_id"]),
        }
        row |= {name: decimal_price(record[name]) for name in PRICE_COLUMNS}
        rows.append(row | {"volume": int(record["volume"]), "dataset": dataset})
    return rows


def landed(project: Project) -> pl.DataFrame:
    """Return the landed records of all files in the catalog, each with its file's `path`."""
    with open_session(project, now=NOW) as session:
        contents = session.catalog.contents().values()
        paths = {content.file_no: content.path for content in contents}
    packs = list(project.home.landing.glob("*/*.parquet"))
    frame = pl.concat([pl.read_parquet(pack) for pack in packs])
    named = frame.with_columns(
        path=pl.col("file_no").replace_strict(paths, default=None, return_dtype=pl.String)
    )
    return named.filter(pl.col("path").is_not_null()).sort("file_no", "record_no")


def landed_rows(project: Project, path: str) -> list[dict[str, Any]]:
    """Return the records landed from one file as `expected_rows` does; asserts they are valid."""
    frame = landed(project).filter(pl.col("path") == path).sort("symbol", "ts_event")
    faults = frame["fault"].drop_nulls().to_list()
    assert faults == []
    return frame.drop("file_no", "record_no", "rtype", "fault", "raw", "path").to_dicts()


def published(project: Project, timeframe: str = "1h") -> list[dict[str, Any]]:
    """Return a raw table's rows as `expected_rows` does."""
    return table(project, timeframe).drop("source_file_id").to_dicts()
