"""The landing zone is believed only as far as its bytes still have the sha256 that was recorded."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from cbi_assets.errors import DamagedPackError, UsageError
from cbi_assets.load.unload import plan_unload, unload_bars
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import (
    NOW,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    take_inventory,
)

BARS = bars(24)
ROWS = expected_rows(BARS)


def flip(project: Project, share: float) -> Path:
    """Flip one bit of the landing zone's only pack, at this share of its length."""
    [pack] = project.home.landing.glob("*/*.parquet")
    data = bytearray(pack.read_bytes())
    data[int(share * len(data))] ^= 1
    pack.write_bytes(data)
    return pack


@pytest.mark.sampled(1)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_load_lands_files_again_if_their_pack_has_a_flipped_bit(
    project: Project, drive: Path, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(BARS))
    take_inventory(project)
    pack = flip(project, share)
    with caplog.at_level(logging.WARNING):
        outcome = load_once(project)
    assert not outcome.has_failures
    assert published(project) == ROWS
    logged = [r.getMessage() for r in caplog.records if r.name == "cbi_assets.load.load"]
    assert logged == [
        f"landing/ohlcv-1h/{pack.name}: its bytes are not those that were landed; "
        "reading its files again"
    ]
    [landed] = project.home.landing.glob("*/*.parquet")
    assert hashlib.sha256(landed.read_bytes()).hexdigest() == landed.stem


def test_load_of_what_is_landed_reads_only_the_files_of_a_damaged_pack_again(
    project: Project, drive: Path
) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(BARS))
    (drive / "b.ohlcv-1h.dbn").write_bytes(dbn_file(bars(24, "ZS.v.0")))
    take_inventory(project)
    flip(project, 0.3)
    (drive / "half.ohlcv-1h.dbn").write_bytes(dbn_file(bars(24, "ES.v.0")))
    with open(drive / "b.ohlcv-1h.dbn", "ab") as copied:  # it is being copied once more
        copied.write(b"more")
    outcome = load_once(project, landed_only=True)
    assert outcome.survey.read == 1
    assert published(project) == ROWS


@pytest.mark.full
def test_load_publishes_nothing_of_a_damaged_pack_if_the_drive_is_away(
    project: Project, drive: Path, tmp_path: Path
) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(BARS))
    take_inventory(project)
    flip(project, 0.3)
    drive.rename(tmp_path / "away")
    with pytest.raises(UsageError, match="no such folder"):
        load_once(project)
    (tmp_path / "away").rename(drive)
    load_once(project)
    assert published(project) == ROWS


@pytest.mark.full
def test_unload_stops_before_it_reads_a_damaged_pack(project: Project, drive: Path) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(BARS))
    (drive / "b.ohlcv-1h.dbn").write_bytes(dbn_file(BARS, version=1))  # the same bars
    load_once(project)
    pack = flip(project, 0.3)
    with open_session(project, now=NOW) as session:
        first = next(c for c in session.catalog.contents().values() if c.path.startswith("a."))
        plan = plan_unload(session, "file", first.source_file_id)
        message = (
            f"landing/ohlcv-1h/{pack.name}: its bytes are not those that were landed. "
            "Run `cbi inventory` with the drive mounted to land its files again; retry."
        )
        for _ in range(2):  # it is damaged at first, and then missing
            with pytest.raises(DamagedPackError) as error:
                unload_bars(session, plan)
            assert str(error.value) == message
    assert published(project) == ROWS
    take_inventory(project)
    with open_session(project, now=NOW) as session:
        outcome = unload_bars(session, plan)
    assert (outcome.removed, outcome.reopened) == (24, 24)


@pytest.mark.full
def test_packs_are_not_hashed_if_nothing_is_new(project: Project, drive: Path) -> None:
    (drive / "a.ohlcv-1h.dbn").write_bytes(dbn_file(BARS))
    load_once(project)
    flip(project, 0.3)
    assert load_once(project).load_id is None
    assert published(project) == ROWS
