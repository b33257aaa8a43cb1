"""Sixty days of loads, corrections, unloads and late files end in the tables of a whole rebuild."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.tables import BUILD_SLICES, BUILT, DERIVED
from cbi_assets.verbs import build, load, unload
from cbi_assets_tests.helpers import NOW, query
from cbi_assets_tests.load.lines import put_lines, record

SYMBOLS = ("ZL.v.0", "ZM.v.0", "ZS.v.0", "ZLH5", "ZLK5", "MES.v.0")


def tables(project: Project) -> dict[str, pl.DataFrame]:
    specs = (*BUILT, *DERIVED.values(), BUILD_SLICES)
    return {
        spec.id: query(project, f"SELECT * FROM `{spec.id}`")
        .sort(spec.key)
        .drop("ingestion_ts", strict=False)
        for spec in specs
    }


@dataclass
class Drive:
    """The files of a drive that changes at random."""

    folder: Path
    draw: random.Random
    loaded: list[tuple[Path, str]] = field(default_factory=list)
    written: int = 0

    def put(self, day: int) -> None:
        """Write a file with some bars of a day, counted from 2025-01-06."""
        lines = []
        for symbol in self.draw.sample(SYMBOLS, self.draw.randint(1, len(SYMBOLS))):
            price = f"{self.draw.randint(10, 14)}.000000000"
            fields = {"open": price, "close": price, "high": "14.000000000"}
            fields |= {"volume": str(self.draw.randint(1, 9))}
            number = 100 + SYMBOLS.index(symbol)
            if self.draw.random() < 0.7:
                starts = sorted(self.draw.sample(range(300), 5))
                lines += [
                    record(day * 1_440 + n, symbol, "1m", instrument_id=number, **fields)
                    for n in starts
                ]
        self._write(lines or [record(day * 1_440, timeframe="1m", instrument_id=100)], "m")
        if self.draw.random() < 0.5:
            hours = range(self.draw.randint(1, 5))
            self._write([record(day * 24 + n, volume="20", instrument_id=100) for n in hours], "h")

    def _write(self, lines: list[str], kind: str) -> None:
        self.written += 1
        job = f"GLBX-20250110-{kind.upper()}{self.written:09}"
        name = f"{kind}{self.written}.json"
        self.loaded.append((self.folder / job / name, put_lines(self.folder, lines, name, job)))

    def take(self) -> str:
        """Delete one of the files, and return its id."""
        path, file_id = self.loaded.pop(self.draw.randrange(len(self.loaded)))
        path.unlink()
        return file_id


@pytest.mark.full
@pytest.mark.parametrize("seed", [1])
def test_tables_after_sixty_random_days_equal_a_whole_rebuild(
    project: Project, drive: Path, seed: int
) -> None:
    files, kept = Drive(drive, random.Random(seed)), 0
    for day in range(60):
        now = NOW + dt.timedelta(days=day)
        with open_session(project, now=now) as session:
            kind = files.draw.choice(["append", "append", "late", "correction", "unload"])
            if kind in ("correction", "unload") and files.loaded:
                unload(session, plan_unload(session, "file", files.take()))
            if kind != "unload" or not files.loaded:
                files.put(-10 - 3 * day if kind == "late" else day)
            load(session)
            build(session)
        if day % 20 == 19:
            found = tables(project)
            with open_session(project, now=now) as session:
                outcome = build(session, whole=True)
            assert outcome.skipped == {}
            assert {item.written + item.removed for item in outcome.replaced} == {0}
            rebuilt = tables(project)
            states = found.pop(BUILD_SLICES.id), rebuilt.pop(BUILD_SLICES.id)
            # a rebuild keeps the state after its last months, a build also those of earlier ones
            both = states[0].join(states[1], on=BUILD_SLICES.key, validate="1:1")
            assert both.height == states[0].height == states[1].height
            both = both.filter(pl.col("state").is_not_null(), pl.col("state_right").is_not_null())
            assert both["state"].to_list() == both["state_right"].to_list()
            assert states[0].drop("state").equals(states[1].drop("state"))
            for name, frame in rebuilt.items():
                assert found[name].equals(frame), (day, name)
            kept += both.height
    assert kept > 0
