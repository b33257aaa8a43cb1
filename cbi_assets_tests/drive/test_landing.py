"""The landing zone has few packs, in bounded pieces; only what the catalog lists counts."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import zstandard

from cbi_assets.demo.encoder import mappings
from cbi_assets.drive import landing, pieces, reader, streams
from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import MAPPED, mixed, mixed_rows, parquet_variants
from cbi_assets_tests.helpers import (
    JOB,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    landed,
    landed_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    take_inventory,
    text_file,
)
from cbi_assets_tests.load.lines import put_lines, record


def in_frames(text: bytes) -> bytes:
    """Compress a text in zstd frames that end in the middle of lines."""
    return b"".join(zstandard.compress(text[i : i + 333]) for i in range(0, len(text), 333))


def packs(project: Project) -> set[Path]:
    return set(project.home.landing.glob("*/*.parquet"))


@pytest.mark.full
def test_many_small_files_land_in_few_packs(project: Project, drive: Path) -> None:
    """Land 60 files of one bar each: 30 of text, 30 of DBN."""
    records = bars(60, schema="ohlcv-1m")
    for n in range(60):
        one = records[n : n + 1]
        data = dbn_file(one, "ohlcv-1m") if n % 2 else text_file(one, schema="ohlcv-1m")
        (drive / f"{n:03}.{'dbn.zst' if n % 2 else 'json'}").write_bytes(data)
    found = take_inventory(project)
    assert refusals(found) == {}
    assert len(found.contents) == 60
    assert len(packs(project)) <= 2
    assert landed(project).height == 60
    load_once(project)
    assert published(project, "1m") == expected_rows(records)


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", ["json", "csv.zst", "dbn", "dbn.zst", "parquet"])
def test_file_keeps_rows_and_record_numbers_across_pieces_and_packs(
    project: Project, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    data = {
        "json": lambda: text_file(mixed(), "json", mapped=MAPPED),
        "csv.zst": lambda: in_frames(text_file(mixed(), "csv", mapped=MAPPED)),
        "dbn": lambda: dbn_file(mixed(), mapped=MAPPED, zstd=False),
        "dbn.zst": lambda: dbn_file(mixed(), mapped=MAPPED, frame_records=4),
        "parquet": lambda: next(data for _, data, _ in parquet_variants(tmp_path)),
    }[form]()
    monkeypatch.setattr(streams, "CHUNK", 700)
    monkeypatch.setattr(pieces, "BLOCK_BYTES", 300)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 300)
    monkeypatch.setattr(pieces, "_RECORDS", 5)
    monkeypatch.setattr(landing, "BATCH_BYTES", 600)
    monkeypatch.setattr(landing, "PACK_RECORDS", 10)
    name = f"{NAME}.{form}"
    (drive / name).write_bytes(data)
    load_once(project)
    assert len(packs(project)) >= 4
    assert landed_rows(project, name) == mixed_rows()
    first = 2 if form == "csv.zst" else 1
    assert landed(project)["record_no"].to_list() == list(range(first, first + 72))
    assert published(project) == mixed_rows()


@pytest.mark.full
def test_large_file_leaves_no_rows_if_its_end_is_damaged(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first pieces were landed before its end was read."""
    monkeypatch.setattr(pieces, "_RECORDS", 2)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 100)
    monkeypatch.setattr(landing, "BATCH_BYTES", 200)
    monkeypatch.setattr(landing, "PACK_RECORDS", 6)
    good = bars(7, symbol="ZS.v.0")
    (drive / "a.dbn").write_bytes(dbn_file(good, zstd=False))
    (drive / "b.dbn").write_bytes(dbn_file(bars(24), zstd=False)[:-9])
    (drive / "c.dbn").write_bytes(dbn_file(bars(3), zstd=False))
    outcome = load_once(project)
    assert refusals(outcome).keys() == {"b.dbn"}
    assert published(project) == expected_rows(bars(3)) + expected_rows(good, "ZS.v.0", "ZS")
    load_once(project)  # removes the packs of the bad file
    assert landed(project).height == 10
    assert published(project) == expected_rows(bars(3)) + expected_rows(good, "ZS.v.0", "ZS")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("pack_records", [500_000, 2])
@pytest.mark.parametrize(
    ("limit", "symbols"),
    [
        ("MAX_ROOTS", ("ZL.v.0", "AA.v.0", "BB.v.0", "CC.v.0")),
        ("MAX_SYMBOLS", ("ZL.v.0", "ZLF5", "ZLH5", "ZLK5")),
    ],
)
def test_file_of_too_many_roots_or_symbols_is_refused(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    pack_records: int,
    limit: str,
    symbols: tuple[str, ...],
) -> None:
    """They are counted in each pack, and over all of its packs."""
    monkeypatch.setattr(landing, limit, 3)
    monkeypatch.setattr(landing, "PACK_RECORDS", pack_records)
    monkeypatch.setattr(landing, "BATCH_BYTES", 300)
    monkeypatch.setattr(pieces, "BLOCK_BYTES", 300)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 300)
    four = [record(n, symbol) for n, symbol in enumerate(symbols)]
    put_lines(drive, four, "a.json")
    put_lines(drive, four[:3], "b.json")
    outcome = load_once(project)
    roots, most = landing.MAX_ROOTS, landing.MAX_SYMBOLS
    why = f"bars of more than {roots:,} roots or {most:,} symbols. Download the file again."
    assert refusals(outcome) == {f"{JOB}/a.json": why}
    assert outcome.published == (1 if limit == "MAX_ROOTS" else 3)


def test_orphaned_packs_are_removed_after_a_killed_run(project: Project, drive: Path) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(bars(24)))
    take_inventory(project)
    [pack] = packs(project)
    orphan = pack.with_name("0" * 64 + ".parquet")
    orphan.write_bytes(pack.read_bytes())
    half = pack.with_name(".140000.part")
    half.write_bytes(pack.read_bytes()[:100])
    assert take_inventory(project).read == 0
    assert packs(project) == {pack}
    assert not half.exists()


@pytest.mark.full
def test_files_are_read_again_if_their_pack_is_missing(project: Project, drive: Path) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(bars(24)))
    (drive / "b.dbn").write_bytes(dbn_file(bars(24, schema="ohlcv-1m"), "ohlcv-1m"))
    load_once(project)
    [hourly] = project.home.landing.glob("ohlcv-1h/*.parquet")
    hourly.unlink()
    found = take_inventory(project)
    assert found.read == 1
    assert landed_rows(project, "a.dbn") == expected_rows(bars(24))
    assert load_once(project).published == 0
    assert published(project) == expected_rows(bars(24))


@pytest.mark.full
def test_everything_is_read_again_if_the_catalog_is_missing(project: Project, drive: Path) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(bars(24)))
    load_once(project)
    for file in project.home.root.glob("catalog.sqlite*"):
        file.unlink()
    outcome = load_once(project)
    assert (outcome.survey.read, outcome.published) == (1, 0)
    assert published(project) == expected_rows(bars(24))


@pytest.mark.full
def test_a_file_landed_under_earlier_trade_dates_is_read_again(
    project: Project, drive: Path
) -> None:
    """On Good Friday, 2021-04-02, FX had a trade date of its own; equities traded for Monday."""
    friday = dt.datetime(2021, 4, 2, 12, tzinfo=dt.UTC)
    symbols = {"6E.v.0": 50, "ES.v.0": 40}
    span = (friday.date(), friday.date() + dt.timedelta(days=1))
    mapped = mappings({symbol: [(number, *span)] for symbol, number in symbols.items()})
    hours = [bars(1, symbol, friday, instrument_id=number) for symbol, number in symbols.items()]
    put_job(drive, {"a.dbn": dbn_file(np.concatenate(hours), mapped=mapped)}, mapped=mapped)
    load_once(project)
    dates = query(project, "SELECT root, trade_date FROM `market_data.databento_futures_ohlcv_1h`")
    assert dict(dates.iter_rows()) == {"6E": friday.date(), "ES": dt.date(2021, 4, 5)}
    assert load_once(project).survey.read == 0
    with sqlite3.connect(project.home.catalog) as catalog:
        catalog.execute("UPDATE slices SET calendar = 'fx' WHERE root = '6E'")
    outcome = load_once(project)
    assert (outcome.survey.read, outcome.published) == (1, 0)
    assert load_once(project).survey.read == 0


def test_a_file_landed_under_earlier_years_of_contracts_is_read_again(
    project: Project, drive: Path
) -> None:
    """SR3H5 traded until June 2025, three months past its own."""
    put_lines(drive, [record(0, "SR3H5")])
    load_once(project)
    with sqlite3.connect(project.home.catalog) as catalog:
        (calendar,) = catalog.execute("SELECT calendar FROM slices").fetchone()
        catalog.execute("UPDATE slices SET calendar = ?", [calendar.removesuffix("+3")])
    assert load_once(project).survey.read == 1
    assert load_once(project).survey.read == 0


@pytest.mark.full
def test_file_loads_after_a_run_that_died_before_its_commit(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(bars(24)))

    def die(self: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(landing.Lander, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            take_inventory(project)
    assert load_once(project).published == 24
    assert published(project) == expected_rows(bars(24))
