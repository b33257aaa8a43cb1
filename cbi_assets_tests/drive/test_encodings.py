from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import zstandard

from cbi_assets.demo.encoder import mappings
from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import (
    MAPPED,
    dbn_variants,
    mixed,
    mixed_rows,
    parquet_variants,
    text_variants,
    zip_of,
)
from cbi_assets_tests.helpers import (
    JOB,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    landed_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    take_inventory,
    text_file,
)

DBN = dict(dbn_variants())
NAMED = {name: data for name, data, named in text_variants() if named}
UNRESOLVED = {name: data for name, data, named in text_variants() if not named}


def test_variants_have_the_format_in_their_names() -> None:
    assert (len(DBN), len(NAMED), len(UNRESOLVED)) == (12, 16, 16)
    for name, data in DBN.items():
        header = zstandard.decompress(data) if name.endswith(".zst") else data
        assert header[:3] == b"DBN"
        assert f"-v{header[3]}-" in name
    texts = NAMED | UNRESOLVED
    plain = {name: data for name, data in texts.items() if not name.endswith(".zst")}
    assert len(set(plain.values())) == 16
    for name, data in plain.items():
        assert (b"45.010000000" in data) == ("px1" in name)
        assert (b"2025-01-06T15:00:00.000000000Z" in data) == ("ts1" in name)
        assert (b"ZLZ5" in data) == ("map1" in name)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("sidecars", [(), ("manifest", "metadata", "symbology", "condition")])
@pytest.mark.parametrize("name", DBN)
def test_dbn_lands_all_rows(
    project: Project, drive: Path, name: str, sidecars: tuple[str, ...]
) -> None:
    put_job(drive, {name: DBN[name]}, mapped=MAPPED, sidecars=sidecars)
    assert refusals(take_inventory(project)) == {}
    assert landed_rows(project, f"{JOB}/{name}") == mixed_rows()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", NAMED)
def test_text_with_symbols_lands_without_sidecars(project: Project, drive: Path, name: str) -> None:
    (drive / name).write_bytes(NAMED[name])
    assert refusals(take_inventory(project)) == {}
    assert landed_rows(project, name) == mixed_rows()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", UNRESOLVED)
def test_text_symbols_are_resolved_by_symbology_json(
    project: Project, drive: Path, name: str
) -> None:
    put_job(drive, {name: UNRESOLVED[name]}, mapped=MAPPED)
    assert refusals(take_inventory(project)) == {}
    assert landed_rows(project, f"{JOB}/{name}") == mixed_rows()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("zstd", [True, False])
@pytest.mark.parametrize("name", UNRESOLVED)
def test_text_symbols_are_resolved_by_a_sibling_dbn_file(
    project: Project, drive: Path, name: str, zstd: bool
) -> None:
    sibling = f"{NAME}.ohlcv-1h.dbn{'.zst' if zstd else ''}"
    (drive / sibling).write_bytes(dbn_file(mixed(), mapped=MAPPED, zstd=zstd))
    (drive / name).write_bytes(UNRESOLVED[name])
    assert refusals(take_inventory(project)) == {}
    assert landed_rows(project, name) == mixed_rows()
    assert landed_rows(project, sibling) == mixed_rows()


def test_parquet_of_databentos_client_lands_all_rows(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    variants = list(parquet_variants(tmp_path))
    assert len(variants) == 12
    for name, data, named in variants:
        # Parquet without symbols gets them from symbology.json, as text does.
        put_job(drive, {name: data}, mapped=MAPPED, sidecars=() if named else ("symbology",))
        (drive / JOB).rename(drive / name.removesuffix(".ohlcv-1h.parquet"))
    assert refusals(take_inventory(project)) == {}
    for name, _, _ in variants:
        path = f"{name.removesuffix('.ohlcv-1h.parquet')}/{name}"
        assert landed_rows(project, path) == mixed_rows(), name


def test_parquet_symbols_are_resolved_by_a_sibling_dbn_file(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    name, data = next((n, d) for n, d, named in parquet_variants(tmp_path) if not named)
    (drive / name).write_bytes(data)
    (drive / f"{NAME}.ohlcv-1h.dbn.zst").write_bytes(dbn_file(mixed(), mapped=MAPPED))
    take_inventory(project)
    assert landed_rows(project, name) == mixed_rows()


@pytest.mark.parametrize("inside", ["", f"{JOB}/", f"{JOB}/{JOB}/"])
@pytest.mark.parametrize("encoding", ["dbn", "json"])
def test_zipped_job_lands_all_rows(
    project: Project, drive: Path, tmp_path: Path, inside: str, encoding: str
) -> None:
    data = (
        dbn_file(mixed(), mapped=MAPPED)
        if encoding == "dbn"
        else text_file(mixed(), "json", mapped=(), zstd=True)
    )
    name = f"{NAME}.ohlcv-1h.{encoding}.zst"
    folder = put_job(tmp_path / "elsewhere", {name: data}, mapped=MAPPED)
    zipped = zip_of({f"{inside}{file.name}": file.read_bytes() for file in folder.iterdir()})
    (drive / f"{JOB}.zip").write_bytes(zipped)
    found = take_inventory(project)
    assert refusals(found) == {}
    assert landed_rows(project, f"{JOB}.zip!/{inside}{name}") == mixed_rows()
    assert {content.job_id for content in found.contents.values()} == {JOB}


def test_job_lands_if_its_folder_is_nested_in_itself(project: Project, drive: Path) -> None:
    name = f"{NAME}.ohlcv-1h.dbn.zst"
    put_job(drive / JOB, {name: dbn_file(mixed(), mapped=MAPPED)}, mapped=MAPPED)
    found = take_inventory(project)
    assert refusals(found) == {}
    assert landed_rows(project, f"{JOB}/{JOB}/{name}") == mixed_rows()
    assert {content.job_id for content in found.contents.values()} == {JOB}


@pytest.mark.full
def test_each_bar_is_published_once_if_landed_in_every_format(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    """Of each bar in 56 files of 56 formats, one is published and 55 are duplicates."""
    files = DBN | NAMED | UNRESOLVED | {name: data for name, data, _ in parquet_variants(tmp_path)}
    assert len(files) == 56
    put_job(drive, files, mapped=MAPPED)
    outcome = load_once(project)
    assert refusals(outcome) == {}
    assert published(project) == mixed_rows()
    [part] = outcome.partitions
    assert (part.records, part.published, part.duplicates) == (56 * 72, 72, 55 * 72)
    assert (part.quarantined, part.conflicts, outcome.unresolved) == (0, 0, 0)
    books = query(project, "SELECT COUNT(*) AS files, SUM(records) AS records FROM `ops.loads`")
    assert books.row(0) == (56, 56 * 72)


@pytest.mark.full
def test_dbn_lands_if_its_header_exceeds_one_chunk(project: Project, drive: Path) -> None:
    """A job by parent symbol maps thousands of spreads in its header."""
    names = mappings(
        {f"ZLH5-ZL{n}": [(n, dt.date(2025, 1, 1), dt.date(2025, 2, 1))] for n in range(100, 12_000)}
    )
    for zstd in (False, True):
        records = bars(3, instrument_id=11_999)
        data = dbn_file(records, mapped=names, zstd=zstd)
        assert zstd or len(data) > 1 << 20
        (drive / f"{NAME}-{zstd}.dbn").write_bytes(data)
    assert refusals(take_inventory(project)) == {}
    expected = expected_rows(records, "ZLH5-ZL11999", kind="spread")
    assert landed_rows(project, f"{NAME}-False.dbn") == expected
    assert landed_rows(project, f"{NAME}-True.dbn") == expected


def test_daily_text_is_resolved_by_each_days_sibling_dbn_header(
    project: Project, drive: Path
) -> None:
    """In a job split by day, each DBN header maps only its own day."""
    days = {}
    for day in (6, 7):
        start = dt.datetime(2025, 1, day, 15, tzinfo=dt.UTC)
        mapped = mappings({"ZL.v.0": [(day, start.date(), start.date() + dt.timedelta(days=1))]})
        days[day] = bars(3, start=start, instrument_id=day)
        name = f"glbx-mdp3-2025010{day}.ohlcv-1h"
        (drive / f"{name}.dbn.zst").write_bytes(dbn_file(days[day], mapped=mapped))
        (drive / f"{name}.json").write_bytes(text_file(days[day], "json", mapped=()))
    assert refusals(take_inventory(project)) == {}
    for day, records in days.items():
        path = f"glbx-mdp3-2025010{day}.ohlcv-1h.json"
        assert landed_rows(project, path) == expected_rows(records)
