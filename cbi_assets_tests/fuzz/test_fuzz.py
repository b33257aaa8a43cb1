"""The fuzz finds what a product does wrong; and finds nothing wrong with ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cbi_assets_tests.fuzz.byte_mutations import CUTS, FLIPS, REPEATS, SWAPS
from cbi_assets_tests.fuzz.cases import BYTES, NEUTRAL, REFUSED, Case, all_cases, sample
from cbi_assets_tests.fuzz.good_jobs import ENCODERS, KNOWN, RECORDS, STEM, encode, rows_of
from cbi_assets_tests.fuzz.oracle import Loaded, Verdict, judge
from cbi_assets_tests.fuzz.run_cases import outcome_table, run_case, run_cases
from cbi_assets_tests.fuzz.sandbox import Finished, Product, Sandbox
from cbi_assets_tests.fuzz.strict_reader import read

FIRST, SECOND, *_ = sorted(KNOWN)
OTHER_VOLUME = FIRST._replace(volume=FIRST.volume + 1)
WITH_OTHER_VOLUME = KNOWN - {FIRST} | {OTHER_VOLUME}
NAMED = f"refused: job/{STEM}.dbn.zst: damaged. Download the file again."


@pytest.mark.parametrize("suffix", [s for s in ENCODERS if s != "unnamed.json"])
def test_strict_reader_returns_the_known_rows_of_an_intact_file(suffix: str) -> None:
    found = read(encode(suffix))
    assert (len(found.rows), found.records) == (24, 24)
    assert frozenset(found.rows) == KNOWN


CSV = encode("csv")
LINE = CSV.splitlines()[3]


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b",45.", b",0x2d.", 1),
        LINE.replace(b"45.", b"45", 1),
        LINE.replace(b"Z,", b"+05:30,", 1),
        LINE.replace(b"ZL.v.0", b"ZL.v.0 "),
        LINE + b",1",
        LINE.replace(b"Z,34,1,", b"Z,34,2,", 1),
        LINE.replace(b".000000000Z", b".000000001Z"),
        LINE.replace(b"0000000,", b"0000001,", 1),
    ],
)
def test_strict_reader_leaves_out_a_record_that_breaks_the_grammar(line: bytes) -> None:
    assert line != LINE
    found = read(CSV.replace(LINE, line))
    assert (len(found.rows), found.records) == (23, 24)


def loaded(rows: frozenset = KNOWN, good: int = 5, unbalanced: tuple[str, ...] = ()) -> Loaded:
    return Loaded(rows, good, unbalanced, len(rows))


def finished(status: int = 0, output: str = "PASS", stopped: str = "", peak: int = 1) -> Finished:
    return Finished(status, stopped, peak, output)


LISTED = Case("flip, listed", "listed", lambda folder, rng: None, REFUSED)


@pytest.mark.parametrize(
    ("end", "left", "outcome"),
    [
        (finished(1, NAMED), loaded(frozenset()), "refused"),
        (finished(0), loaded(frozenset()), "silent"),
        (finished(0), loaded(KNOWN), "wrong"),
        (finished(1, NAMED), loaded(KNOWN - {FIRST}), "wrong"),
        (finished(1, NAMED), loaded(WITH_OTHER_VOLUME), "wrong"),
        (finished(1, "FAIL: 1 file refused"), loaded(frozenset()), "silent"),
        (finished(1, f"auditing {STEM}"), loaded(frozenset()), "silent"),
        (finished(1, NAMED), loaded(frozenset(), good=4), "silent"),
        (finished(1, NAMED), loaded(frozenset(), unbalanced=("a",)), "silent"),
        (finished(1, "Traceback (most recent call last):"), loaded(frozenset()), "crash"),
        (finished(2, NAMED), loaded(frozenset()), "crash"),
        (finished(-9, "", "time"), loaded(frozenset()), "hang"),
        (finished(-9, "", "memory"), loaded(frozenset()), "memory"),
        (finished(1, NAMED, peak=(1 << 30) + 1), loaded(frozenset()), "memory"),
    ],
)
def test_verdict_on_a_listed_file(
    tmp_path: Path, end: Finished, left: Loaded, outcome: str
) -> None:
    """The manifest lists other bytes: nothing but a refusal is right."""
    assert judge(LISTED, tmp_path, end, left).outcome == outcome


def changed_volume(folder: Path) -> None:
    changed = RECORDS.copy()
    at = next(n for n in range(24) if rows_of(changed[n : n + 1]) == {FIRST})
    changed["volume"][at] += 1
    (folder / f"{STEM}.dbn").write_bytes(ENCODERS["dbn"](changed))


def cut_price(folder: Path) -> None:
    """Write a CSV in which one price has lost its point."""
    row = f",{SECOND.close:.9f},".encode()
    assert row in CSV
    (folder / f"{STEM}.csv").write_bytes(CSV.replace(row, row.replace(b".", b""), 1))


UNLISTED = Case("flip", "unlisted", lambda folder, rng: None, BYTES, reads_bytes=True)
UNVERIFIED = "unverified: 1 loaded file with 24 bars\nPASS"


@pytest.mark.parametrize(
    ("write", "end", "left", "outcome"),
    [
        (changed_volume, finished(0, UNVERIFIED), loaded(WITH_OTHER_VOLUME), "other"),
        (changed_volume, finished(0), loaded(WITH_OTHER_VOLUME), "silent"),
        (changed_volume, finished(0), loaded(KNOWN), "wrong"),
        (changed_volume, finished(0, UNVERIFIED), loaded(WITH_OTHER_VOLUME - {SECOND}), "silent"),
        (changed_volume, finished(0), loaded(frozenset()), "silent"),
        (cut_price, finished(0), loaded(KNOWN), "wrong"),
        (cut_price, finished(1, NAMED), loaded(frozenset()), "refused"),
    ],
)
def test_verdict_on_a_file_without_manifest(
    tmp_path: Path, write: Callable[[Path], None], end: Finished, left: Loaded, outcome: str
) -> None:
    """Only what the bytes say may be published, and all of it or a line that names the file."""
    write(tmp_path)
    assert judge(UNLISTED, tmp_path, end, left).outcome == outcome


def test_file_whose_name_promises_nothing_may_be_ignored(tmp_path: Path) -> None:
    case = Case("neutral name", "x", lambda folder, rng: None, NEUTRAL, reads_bytes=True)
    assert judge(case, tmp_path, finished(), loaded(frozenset())) == Verdict("ignored")


def ignore_everything() -> int:
    print("PASS")
    return 0


def publish_a_wrong_price() -> int:
    with duckdb.connect(f"{os.environ['CBI_HOME']}/warehouse.duckdb") as warehouse:
        values = ("ZL.v.0", 0.000006, 0.000006, 0.000006, 0.000006, 1, 10, 1)
        warehouse.execute(
            "INSERT INTO market_data.databento_futures_ohlcv_1h (ts_event, trade_date, root, kind,"
            " dataset, source_file_id, load_id, loaded_at, symbol, open, high, low, close, volume,"
            " instrument_id, publisher_id) VALUES ('2025-01-06T15:00Z', '2025-01-06', 'ZL',"
            " 'continuous', 'GLBX.MDP3', 'x', 'x', now(), ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    return 0


def fail() -> int:
    raise RuntimeError("a bug")


def wait_forever() -> int:
    signal.pause()
    return 0


@pytest.mark.full
@pytest.mark.parametrize(
    ("product", "seconds", "seen"),
    [
        (ignore_everything, 60, "5 bars of the good job are missing"),
        (publish_a_wrong_price, 60, "1 rows that the bytes do not prove"),
        (fail, 60, "RuntimeError: a bug"),
        (wait_forever, 0.1, ""),
    ],
)
def test_faulty_product_is_caught(
    tmp_path: Path, new_home: Path, product: Product, seconds: float, seen: str
) -> None:
    case = next(c for c in all_cases(1) if c.name == "flip/middle byte/dbn/listed")
    with Sandbox(product, seconds) as sandbox:
        verdict, _ = run_case(case, 1, sandbox, new_home, tmp_path / "case")
    assert verdict.is_fault
    assert seen in verdict.detail


def test_memory_limit_is_enforced(tmp_path: Path) -> None:
    with Sandbox(wait_forever, nbytes=1) as sandbox:
        end = sandbox.run({}, tmp_path)
    assert (end.stopped, end.status) == ("memory", -signal.SIGKILL)
    assert end.peak > 1 << 20


def test_same_seed_mutates_the_same_bytes(tmp_path: Path) -> None:
    from random import Random

    for mutations in (FLIPS, CUTS, SWAPS, REPEATS):
        for name, mutate in mutations.items():
            data = encode("json")
            first, second = (mutate(data, Random(f"7 {name}")) for _ in range(2))
            assert first == second != data, name


def test_every_kind_is_sampled() -> None:
    cases = all_cases(3)
    chosen = sample(cases, 600, 3)
    assert 590 <= len(chosen) <= 640
    assert {case.kind for case in chosen} == {case.kind for case in cases}
    assert [case.name for case in chosen] == [case.name for case in sample(all_cases(3), 600, 3)]


def test_table_is_80_columns_wide(tmp_path: Path) -> None:
    cases = all_cases(1)
    lines = outcome_table([(case, Verdict("refused"), finished()) for case in cases]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].split()[:2] == ["all", f"{len(cases)}"]


QUICK = (
    "intact/dbn.zst",
    "intact, no manifest/unnamed.json",
    "flip/middle byte/dbn/listed",
    "flip/first byte/json",
    "cut/by a record/frames.dbn.zst/listed",
    "value/csv/close text 1e400",
    "layout/parquet/times without a zone",
    "special file/a named pipe",
)


def test_product_handles_a_few_cases(tmp_path: Path, new_home: Path) -> None:
    by_name = {case.name: case for case in all_cases(1)}
    results = list(run_cases([by_name[name] for name in QUICK], 1, tmp_path, home=new_home))
    assert [f"{case.name}: {verdict}" for case, verdict, _ in results if verdict.is_fault] == []


@pytest.mark.full
def test_product_handles_a_sample_of_all_cases(tmp_path: Path, new_home: Path) -> None:
    cases = sample(all_cases(1), 40, 1)
    results = list(run_cases(cases, 1, tmp_path, home=new_home))
    assert [f"{case.name}: {verdict}" for case, verdict, _ in results if verdict.is_fault] == []
