"""A survey lists every file once, with the reason if it does not load, and reads none twice."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.drive.streams import SourceStream
from cbi_assets.errors import UsageError
from cbi_assets.session import Project
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.drive.jobs import zip_of
from cbi_assets_tests.helpers import (
    MAPPED,
    NAME,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    take_inventory,
    text_file,
)

GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
ODD = 'it\'s "x"; DROP TABLE bars;-- \n %s {0} $table é'


def verdicts(project: Project) -> dict[str, tuple[str, str]]:
    found = take_inventory(project)
    return {file.path: (file.verdict, file.reason) for file in found.files}


@pytest.mark.full
def test_file_loads_if_its_name_has_quotes_newlines_and_sql(project: Project, drive: Path) -> None:
    put_job(drive / ODD, {f"{ODD}.dbn.zst": dbn_file(bars(24))}, job=ODD)
    bad = dbn_file(GOOD)[:-3]
    put_job(drive / ODD, {f"{ODD}.dbn.zst": bad}, job="bad", sidecars=())
    outcome = load_once(project)
    assert refusals(outcome).keys() == {f"{ODD}/bad/{ODD}.dbn.zst"}
    assert published(project) == expected_rows(bars(24))
    [row] = query(project, "SELECT path, job_id FROM `ops.source_files`").rows()
    assert row == (f"{ODD}/{ODD}/{ODD}.dbn.zst", ODD)
    assert load_once(project).published == 0


@pytest.mark.full
def test_load_works_if_the_home_has_quotes_in_its_name(
    make_project: MakeProject, drive: Path
) -> None:
    (drive / "a.dbn.zst").write_bytes(dbn_file(bars(24)))
    project = make_project(home='o\'clock "home"; --')
    assert refusals(load_once(project)) == {}
    assert published(project) == expected_rows(bars(24))


@pytest.mark.full
def test_file_loads_if_its_name_is_not_utf8(project: Project, drive: Path) -> None:
    """Linux allows any bytes in a name, and drives of other systems have such names."""
    folder = os.fsencode(drive) + b"/caf\xe9"
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/\xff.dbn.zst")).write_bytes(dbn_file(bars(24)))
    os.mkdir(os.fsencode(drive) + b"/empty\xe9")
    outcome = load_once(project)
    assert [file.path for file in outcome.survey.files] == [r"caf\xe9/\xff.dbn.zst"]
    assert [item.path for item in outcome.survey.unlisted] == [r"empty\xe9"]
    assert published(project) == expected_rows(bars(24))
    assert load_once(project).survey.read == 0


def test_file_is_foreign_if_its_schema_or_dataset_is_not_accepted(
    project: Project, drive: Path
) -> None:
    nasdaq, second, trade = bars(3), bars(3), bars(3)
    nasdaq["publisher_id"] = 2
    as_json = text_file(second).replace(b'"rtype":34', b'"rtype":32')
    as_csv = text_file(trade, "csv").replace(b",34,", b",0,")
    files = {
        "nasdaq.dbn": dbn_file(nasdaq, dataset="XNAS.ITCH"),
        "nasdaq.json": text_file(nasdaq),
        "nasdaq.csv": text_file(nasdaq, "csv"),
        "trades.dbn": dbn_file(trade[:0], "trades"),
        "second.dbn.zst": dbn_file(second[:0], "ohlcv-1s"),
        "second.json": as_json,
        "trades.csv": as_csv,
        "good.dbn": dbn_file(GOOD),
    }
    for name, data in files.items():
        (drive / name).write_bytes(data)
    only = "; only ohlcv-1d, ohlcv-1h and ohlcv-1m load"
    other = "dataset XNAS.ITCH; this home takes only GLBX.MDP3, XCBF.PITCH"
    assert verdicts(project) == {
        "nasdaq.dbn": ("foreign", other),
        "nasdaq.json": ("foreign", other),
        "nasdaq.csv": ("foreign", other),
        "trades.dbn": ("foreign", f"schema trades{only}"),
        "second.dbn.zst": ("foreign", f"schema ohlcv-1s{only}"),
        "second.json": ("foreign", f"schema ohlcv-1s{only}"),
        "trades.csv": ("foreign", f"schema mbp-0{only}"),
        "good.dbn": ("bars", ""),
    }
    outcome = load_once(project)
    assert published(project) == GOOD_ROWS
    assert refusals(outcome) == {}


def test_files_not_from_databento_are_listed_and_not_loaded(project: Project, drive: Path) -> None:
    (drive / ".DS_Store").write_bytes(b"x")
    (drive / ".Trash").mkdir()
    (drive / ".Trash" / "a.dbn.zst").write_bytes(dbn_file(GOOD))
    (drive / "empty").mkdir()
    (drive / "hidden only").mkdir()
    (drive / "hidden only" / "._a.dbn.zst").write_bytes(b"x")
    frame = pl.DataFrame({"date": ["2025-01-06"], "close": [45.0]})
    frame.write_parquet(drive / "yahoo.parquet")
    staging = drive / "TrainingData" / "staging"
    staging.mkdir(parents=True)
    frame.write_parquet(staging / "macro.parquet")
    (staging / "bars.dbn.zst").write_bytes(dbn_file(GOOD))
    (drive / "notes.txt").write_text("ts_event, once more")
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    found = take_inventory(project)
    never = "staging is not Databento: its prices are never loaded"
    assert {(file.area, file.path): (file.verdict, file.reason) for file in found.files} == {
        ("drive", "yahoo.parquet"): ("other", "Parquet of another source (1 rows: date, close …)"),
        ("drive", "notes.txt"): ("other", "not a format of Databento's"),
        ("drive", "good.dbn"): ("bars", ""),
        ("staging", "macro.parquet"): ("staging", never),
        ("staging", "bars.dbn.zst"): ("staging", f"{never}; not Parquet"),
    }
    assert [(item.path, item.reason) for item in found.unlisted] == [
        (".Trash", "hidden folder, not read"),
        ("empty", "empty folder"),
        ("hidden only", "empty folder"),
    ]
    assert found.unreadable == []
    assert load_once(project).published == 5


def test_home_loads_only_real_or_only_synthetic_bars(
    make_project: MakeProject, drive: Path
) -> None:
    (drive / "real.dbn").write_bytes(dbn_file(GOOD))
    (drive / "demo.dbn").write_bytes(dbn_file(GOOD, dataset="DEMO.SYNTH"))
    put_job(drive, {"demo.json": text_file(GOOD)}, job="text", dataset="DEMO.SYNTH")
    real, demo = make_project("real"), make_project("demo", demo=True)
    refused = "dataset {}; this home takes only {}"
    found = verdicts(real)
    assert found["real.dbn"] == ("bars", "")
    synthetic = ("foreign", refused.format("DEMO.SYNTH", "GLBX.MDP3, XCBF.PITCH"))
    assert found["demo.dbn"] == found["text/demo.json"] == synthetic
    found = verdicts(demo)
    assert found["real.dbn"] == ("foreign", refused.format("GLBX.MDP3", "DEMO.SYNTH"))
    assert found["demo.dbn"] == found["text/demo.json"] == ("bars", "")
    load_once(real)
    load_once(demo)
    assert published(real) == GOOD_ROWS
    assert published(demo) == expected_rows(GOOD, "ZS.v.0", "ZS", dataset="DEMO.SYNTH")


@pytest.mark.full
def test_unchanged_files_are_not_opened_again(project: Project, drive: Path) -> None:
    """Bytes replaced under the same size and time prove that no file was opened."""
    put_job(drive, {"good.dbn.zst": dbn_file(GOOD), "text.json": text_file(bars(24))})
    (drive / "cut.dbn.zst").write_bytes(dbn_file(GOOD)[:-3])
    (drive / "job.zip").write_bytes(zip_of({"a/b.json": text_file(bars(3))}))
    (drive / "TrainingData" / "staging").mkdir(parents=True)
    pl.DataFrame({"a": [1]}).write_parquet(drive / "TrainingData" / "staging" / "a.parquet")
    first = take_inventory(project)
    assert first.read == 9
    for file in drive.rglob("*.*"):
        if file.is_file():
            stat = file.stat()
            file.write_bytes(b"\0" * stat.st_size)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = take_inventory(project)
    assert second.read == 0
    assert second.files == first.files
    assert second.contents == first.contents
    assert load_once(project).survey.read == 0


@pytest.mark.full
def test_copies_of_a_file_land_once(project: Project, drive: Path) -> None:
    data = dbn_file(bars(24))
    for folder in ("a", "b", "c"):
        put_job(drive, {f"{NAME}.dbn.zst": data}, job=folder)
    (drive / "job.zip").write_bytes(zip_of({"same.dbn.zst": data}))
    outcome = load_once(project)
    copies = {f.path for f in outcome.survey.files if f.verdict == "bars"}
    assert copies == {f"{f}/{NAME}.dbn.zst" for f in "abc"} | {"job.zip!/same.dbn.zst"}
    assert len(outcome.survey.contents) == 1
    packs = project.home.landing.glob("*/*.parquet")
    assert sum(pl.read_parquet(pack).height for pack in packs) == 24
    [part] = outcome.partitions
    assert (part.files, part.records, part.published, part.duplicates) == (1, 24, 24, 0)


@pytest.mark.full
def test_files_of_one_name_load_if_their_content_differs(project: Project, drive: Path) -> None:
    """Two jobs use one file name for overlapping days, with equal bars where they overlap."""
    records = bars(24)
    put_job(drive, {f"{NAME}.dbn.zst": dbn_file(records[:15])}, job="GLBX-20250108-AAAAAAAAAA")
    put_job(drive, {f"{NAME}.dbn.zst": dbn_file(records[10:])}, job="GLBX-20250109-BBBBBBBBBB")
    outcome = load_once(project)
    [part] = outcome.partitions
    assert (part.records, part.published, part.duplicates, part.conflicts) == (29, 24, 5, 0)
    assert published(project) == expected_rows(records)
    names = query(project, "SELECT path FROM `ops.source_files` ORDER BY path")["path"].to_list()
    assert names == [
        f"GLBX-20250108-AAAAAAAAAA/{NAME}.dbn.zst",
        f"GLBX-20250109-BBBBBBBBBB/{NAME}.dbn.zst",
    ]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("suffix", ["json", "csv", "dbn", "dbn.zst"])
def test_file_is_left_for_the_next_run_if_it_grows_while_read(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    intact = {
        "json": text_file(bars(24)),
        "csv": text_file(bars(24), "csv"),
        "dbn": dbn_file(bars(24), zstd=False),
        "dbn.zst": dbn_file(bars(24)),
    }[suffix]
    growing = drive / f"{NAME}.{suffix}"
    growing.write_bytes(intact[: len(intact) - 100])
    (drive / "zz.dbn.zst").write_bytes(dbn_file(GOOD))
    reading = SourceStream._read

    def read_and_grow(self: SourceStream) -> bytes:
        chunk = reading(self)
        if getattr(self.stream, "name", "") == str(growing) and growing.stat().st_size < len(
            intact
        ):
            with growing.open("ab") as file:
                file.write(intact[len(intact) - 100 :])
        return chunk

    with monkeypatch.context() as patch:
        patch.setattr(SourceStream, "_read", read_and_grow)
        outcome = load_once(project)
    why = "changed while it was read, perhaps still being copied. The next run reads it again."
    assert outcome.survey.changing == [(growing.name, why)]
    assert refusals(outcome) == {}
    assert published(project) == GOOD_ROWS
    assert query(project, "SELECT * FROM `ops.quarantined_bars`").is_empty()
    outcome = load_once(project)
    assert outcome.survey.changing == []
    assert published(project) == expected_rows(bars(24)) + GOOD_ROWS


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("change", ["touch", "remove"])
def test_file_is_left_for_the_next_run_if_touched_or_removed_while_read(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    moving = drive / f"{NAME}.dbn.zst"
    moving.write_bytes(dbn_file(bars(24)))
    (drive / "zz.dbn.zst").write_bytes(dbn_file(GOOD))
    reading = SourceStream._read

    def read_and_change(self: SourceStream) -> bytes:
        if getattr(self.stream, "name", "") == str(moving) and moving.exists():
            moving.unlink() if change == "remove" else os.utime(moving, ns=(1, 1))
        return reading(self)

    with monkeypatch.context() as patch:
        patch.setattr(SourceStream, "_read", read_and_change)
        outcome = load_once(project)
    assert [path for path, _ in outcome.survey.changing] == [moving.name]
    assert published(project) == GOOD_ROWS
    outcome = load_once(project)
    assert outcome.survey.changing == []
    assert published(project) == (expected_rows(bars(24)) if change == "touch" else []) + GOOD_ROWS


def test_usage_error_if_the_drive_is_unset_or_missing(
    make_project: MakeProject, drive: Path
) -> None:
    with pytest.raises(UsageError, match=r"no such folder\. Is the drive mounted\?"):
        take_inventory(make_project(cbi_drive=drive / "gone"))
    with pytest.raises(UsageError, match=r"CBI_DRIVE is not set"):
        take_inventory(make_project(cbi_drive=None))


def test_load_changes_nothing_on_the_drive(project: Project, drive: Path) -> None:
    put_job(drive, {"good.dbn.zst": dbn_file(GOOD), "text.json": text_file(bars(3), mapped=MAPPED)})
    (drive / "job.zip").write_bytes(zip_of({"a/b.json": text_file(bars(3))}))

    def state() -> dict[str, tuple[int, int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes())
            for path in drive.rglob("*")
            if path.is_file()
        } | {
            str(path): (path.stat().st_mtime_ns, 0, b"")
            for path in drive.rglob("*")
            if path.is_dir()
        }

    before = state()
    load_once(project)
    assert state() == before
