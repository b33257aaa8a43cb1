"""Judge a load by the warehouse's rows, the exit status and what was printed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from cbi_assets_tests.fuzz.cases import Case
from cbi_assets_tests.fuzz.good_jobs import IDS, JOB, STEM, Row
from cbi_assets_tests.fuzz.sandbox import NBYTES, Finished
from cbi_assets_tests.fuzz.strict_reader import Reading, read
from cbi_assets_tests.helpers import bars, dbn_file, expected_rows, put_job

GOOD_JOB: Final = "GLBX-20250109-GOODGOODGO"
_GOOD_SYMBOL: Final = "CL.v.0"
_GOOD_BARS: Final = bars(5, instrument_id=70, price="70.11")

OUTCOMES: Final = ("refused", "whole", "short", "other", "ignored")
FAULTS: Final = ("silent", "wrong", "crash", "hang", "memory")

_LOG_LINE = re.compile(r"canary for |auditing |checking |reading |Load |no staging folder")


@dataclass(frozen=True)
class Verdict:
    """One of OUTCOMES or FAULTS, and what shows it."""

    outcome: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.outcome in FAULTS


@dataclass(frozen=True)
class Loaded:
    """What a load left in the warehouse, the good job aside."""

    rows: frozenset[Row]
    good_rows: int
    unbalanced: tuple[str, ...]  # files whose records are not all accounted for
    records: int


def put_good_job(folder: Path) -> None:
    """Write an intact job, whose bars must be published whatever is next to it."""
    from cbi_assets.demo.encoder import mappings
    from cbi_assets_tests.fuzz.good_jobs import DAYS

    mapped = mappings({_GOOD_SYMBOL: [(70, *DAYS)]})
    put_job(
        folder, {f"{STEM}.dbn.zst": dbn_file(_GOOD_BARS, mapped=mapped)}, GOOD_JOB, mapped=mapped
    )


def read_warehouse(path: Path) -> Loaded:
    """Read the raw tables and the books, without the product."""
    columns = ", ".join(Row._fields)
    with duckdb.connect(str(path), read_only=True) as warehouse:
        warehouse.execute("SET TimeZone = 'UTC'")
        rows: list[Row] = []
        for timeframe in ("1d", "1h", "1m"):
            table = f"market_data.databento_futures_ohlcv_{timeframe}"
            found = warehouse.execute(f"SELECT {columns} FROM {table}").fetchall()
            assert len(found) == len(set(found))
            rows += [Row(*row) for row in found]
            if found and timeframe != "1h":
                rows.append(Row("a bar in the wrong table", *found[0][1:]))
        books = warehouse.execute(
            "SELECT path, files.records, any_value(outside_universe)"
            " + coalesce(sum(published + duplicates + quarantined + conflicts), 0)"
            " FROM ops.source_files AS files LEFT JOIN ops.loads ON source_file_id = id"
            " GROUP BY ALL"
        ).fetchall()
    good = {
        Row(**{n: row[n] for n in Row._fields}) for row in expected_rows(_GOOD_BARS, _GOOD_SYMBOL)
    }
    return Loaded(
        frozenset(rows) - good,
        len(good & set(rows)),
        tuple(path for path, records, counted in books if records != counted),
        sum(records for path, records, _ in books if GOOD_JOB not in path),
    )


def judge(case: Case, folder: Path, finished: Finished, loaded: Loaded) -> Verdict:
    """Return what became of a case. `folder` is the one that it was written to."""
    if finished.stopped == "time":
        return Verdict("hang")
    if finished.stopped == "memory" or finished.peak > NBYTES:
        return Verdict("memory", f"{finished.peak >> 20} MiB")
    if "Traceback" in finished.output or finished.status not in (0, 1):
        return Verdict("crash", _last_line(finished))
    known = Reading(list(case.known), len(case.known))
    reading = _read_folder(folder) if case.reads_bytes else known
    if extra := loaded.rows - frozenset(reading.rows):
        return Verdict("wrong", f"{len(extra)} rows that the bytes do not prove, as {min(extra)}")
    if missing := len(_GOOD_BARS) - loaded.good_rows:
        return Verdict("silent", f"{missing} bars of the good job are missing")
    if loaded.unbalanced:
        return Verdict("silent", f"the books of {loaded.unbalanced[0]} do not balance")
    verdict = _judge_status(case, finished, loaded.rows, reading)
    if not verdict.is_fault and verdict.outcome not in case.allowed:
        fault = "silent" if verdict.outcome == "ignored" else "wrong"
        return Verdict(
            fault, f"{verdict.outcome}, but only {', '.join(sorted(case.allowed))} is right"
        )
    return verdict


def _judge_status(
    case: Case, finished: Finished, rows: frozenset[Row], reading: Reading
) -> Verdict:
    if finished.status == 1:
        if not _named(finished.output):
            return Verdict("silent", f"no line names a file: {_last_line(finished)}")
        if rows == case.known:
            return Verdict("whole")
        return Verdict("short" if rows else "refused")
    if case.must_fail:
        return Verdict("silent", "exit status 0")
    if not rows:
        return Verdict("ignored")
    # A symbol that a flipped bit took out of the universe is counted there, not published.
    missing = {row for row in reading.rows if row not in rows and row.symbol in IDS}
    if missing or reading.records != len(reading.rows):
        lost = reading.records - len(rows)
        return Verdict(
            "silent", f"exit status 0, but {lost} of {reading.records} records are no bars"
        )
    if rows == case.known:
        return Verdict("whole")
    if "unverified" not in finished.output:
        return Verdict(
            "silent", "other bars than before, and nothing says that they are unverified"
        )
    return Verdict("other")


def _read_folder(folder: Path) -> Reading:
    found = Reading()
    for path in sorted(folder.iterdir()):
        if path.is_file() and (path.suffix != ".json" or path.name.startswith(STEM)):
            own = read(path.read_bytes())
            found.rows += own.rows
            found.records += own.records
    return found


def _named(output: str) -> bool:
    return any(name in line for line in _messages(output) for name in (STEM, JOB, "manifest.json"))


def _messages(output: str) -> Iterable[str]:
    return [line for line in output.splitlines() if not _LOG_LINE.match(line)]


def _last_line(finished: Finished) -> str:
    lines = [
        line for line in _messages(finished.output) if line.strip() and not line.startswith("Next:")
    ]
    return lines[-1][:200] if lines else f"exit status {finished.status}"
