"""Drives with one trouble each: the lights say the same in JSON, page, Markdown and terminal."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.cli import show_lights
from cbi_assets.config.downloads import load_policy
from cbi_assets.downloads.missing_ranges import Range
from cbi_assets.downloads.wanted import Coverage, Wanted
from cbi_assets.report.audit_model import Audit, Drive, PlanStatus
from cbi_assets.report.compose import compose
from cbi_assets.report.html import write_html
from cbi_assets.report.light_rules import SeriesEnd, State, lights_of
from cbi_assets.report.lights import Lights, results_of
from cbi_assets.report.markdown import write_markdown
from cbi_assets.report.read_lights import read_lights
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import document_of
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DAILY_ML_MATRIX, RAW
from cbi_assets_tests.helpers import JOB, NOW, START, bars, copy_home, dbn_file, load_once, put_job
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record
from cbi_assets_tests.report.read_documents import read_html

RAW_1H = RAW["1h"].id
FILE = "glbx-mdp3-20250106-20250109.ohlcv-1h.dbn.zst"
THURSDAY = dt.date(2025, 1, 9)
"""The newest complete trade date of the tests' clock."""

NO_TROUBLES = pl.DataFrame(schema={"kind": pl.String, "path": pl.String, "why": pl.String})
DRIVE = Drive(
    path="/drive",
    mounted=True,
    free_bytes=10**9,
    files=3,
    bytes=1_000,
    bar_files=1,
    listing=pl.DataFrame(),
    folders=pl.DataFrame(),
    troubles=NO_TROUBLES,
    trusts={},
    jobs=pl.DataFrame(schema={"job": pl.String, "manifest_damaged": pl.Boolean}),
    waiting_files=0,
    waiting_records=0,
)
BOOK = {
    "path": "job/a.dbn", "source_file_id": "0123456789abcdef", "trust": "verified", "records": 8,
    "published": 8, "duplicates": 0, "quarantined": 0, "conflicts": 0, "reopened": 0,
    "not_loaded": 0, "outside_universe": 0, "difference": 0,
}  # fmt: skip
PLAN = PlanStatus(
    plan_hash="0123456789abcdef", made_at=NOW, through=THURSDAY, requests=1, current=1,
    cost_usd=12.5, bytes=2 * 10**9, basis="quoted", approval="none",
)  # fmt: skip


def check_row(table: str, name: str, *offenders: dict[str, str], **change: Any) -> Any:
    state = "fails" if offenders else "passes"
    return {"table": table, "name": name, "severity": "ERROR", "state": state, "stale": False,
            "offenders": list(offenders)} | change  # fmt: skip


def checks(*rows: Any) -> pl.DataFrame:
    offender = pl.Struct({"partition": pl.String, "expected": pl.String, "actual": pl.String})
    return pl.DataFrame(list(rows), schema_overrides={"offenders": pl.List(offender)})


def wanted(missing: int) -> Wanted:
    dates = tuple(THURSDAY - dt.timedelta(days=n) for n in range(missing))
    ranges = (Range(THURSDAY, THURSDAY, dates, "tail"),) if missing else ()
    series = load_policy().series_of("ZL", "1h")
    return Wanted(THURSDAY, (Coverage("ZL", "1h", series, 9, 9 - missing, (), (), ranges),), ())


OK = State(
    today=THURSDAY,
    drive=DRIVE,
    staging_waiting=0,
    books=pl.DataFrame([BOOK]),
    checks=checks(check_row(RAW_1H, "no_duplicate_bars"),
                  check_row(DAILY_ML_MATRIX.id, "one_row_per_trade_date")),
    ends=(SeriesEnd("ZL", "1h", THURSDAY, 0), SeriesEnd("MES", "1h", THURSDAY, 0)),
    built=pl.DataFrame(
        {"root": ["ZL", "MES"], "last_date": [THURSDAY] * 2, "row_count": [5, 4]}
    ),
    wanted=wanted(0),
    plan=None,
    has_key=True,
)  # fmt: skip


def drive_with(kind: str, path: str, why: str, **change: Any) -> Drive:
    troubles = pl.DataFrame([{"kind": kind, "path": path, "why": why}])
    return replace(DRIVE, troubles=troubles, **change)


def book(**change: int) -> pl.DataFrame:
    return pl.DataFrame([BOOK | change])


Expected = tuple[str, str, str]
"""Color, text and command of a light; a state's other lights are those of OK."""

GREEN: dict[str, Expected] = {
    "load": ("green", "8 bars of 1 file loaded, every record accounted for", "cbi load"),
    "download": (
        "green", "every wanted trade date is published, or a gap at Databento",
        "cbi plan --verify",
    ),
    "train": (
        "green", "9 rows of 2 roots, data through 2025-01-09 (ZL 1h), up to date", "cbi build",
    ),
}  # fmt: skip

NOT_BUILT = {"partition": "ZL|1h", "expected": "none", "actual": "2 inconsistent bars"}
DIFFERS = {"partition": "ZL", "expected": "none", "actual": "1 mismatched row"}
FAILING_BARS = ("red", "ohlc_is_consistent fails on ZL|1h: 2 inconsistent bars, expected none",
                "cbi check")  # fmt: skip

TROUBLES: dict[str, tuple[State, dict[str, Expected], str]] = {
    "none": (OK, {}, "cbi load"),
    "unmounted": (
        replace(OK, drive=replace(DRIVE, mounted=False)),
        {"load": ("amber", "/drive is not there: mount it, or correct CBI_DRIVE",
                  "cbi config --check")},
        "cbi config --check",
    ),
    "refused": (
        replace(OK, drive=drive_with("refused", "job/b.dbn", "damaged DBN: record 3 is cut off")),
        {"load": ("red", "1 file is refused: job/b.dbn (damaged DBN: record 3 is cut off)",
                  "cbi inventory")},
        "cbi inventory",
    ),
    "damaged manifest": (
        replace(OK, drive=drive_with(
            "refused", "job/b.dbn", "its manifest is damaged",
            jobs=pl.DataFrame({"job": ["GLBX-1"], "manifest_damaged": [True]}))),
        {"load": ("red", "1 file is refused: job/b.dbn (its manifest is damaged)",
                  "cbi accept --job GLBX-1 --by NAME --why TEXT")},
        "cbi accept --job GLBX-1 --by NAME --why TEXT",
    ),
    "absent file": (
        replace(OK, drive=drive_with("missing", "job/b.dbn", "the manifest lists it")),
        {"load": ("red", "1 file that a manifest lists is not on the drive: job/b.dbn "
                  "(the manifest lists it)", "cbi inventory")},
        "cbi inventory",
    ),
    "new file": (
        replace(OK, drive=replace(DRIVE, waiting_files=1, waiting_records=1_200)),
        {"load": ("amber", "1 file with 1,200 records on the drive not loaded", "cbi load")},
        "cbi load",
    ),
    "quarantine": (
        replace(OK, books=book(records=10, quarantined=2)),
        {"load": ("red", "2 records of job/a.dbn quarantined", "cbi audit")},
        "cbi audit",
    ),
    "conflict": (
        replace(OK, books=book(records=9, conflicts=1)),
        {"load": ("red", "1 record of job/a.dbn in conflict with published bars",
                  "cbi unload --file 0123456789ab")},
        "cbi unload --file 0123456789ab",
    ),
    "failing bars": (
        replace(OK, checks=checks(check_row(RAW_1H, "ohlc_is_consistent", NOT_BUILT),
                                  check_row(DAILY_ML_MATRIX.id, "one_row_per_trade_date"))),
        {"load": FAILING_BARS, "train": FAILING_BARS},
        "cbi check",
    ),
    "failing matrix": (
        replace(OK, checks=checks(
            check_row(DAILY_ML_MATRIX.id, "matrix_is_point_in_time", DIFFERS))),
        {"train": ("red", "matrix_is_point_in_time fails on ZL: 1 mismatched row, expected none",
                   "cbi check")},
        "cbi check",
    ),
    # a WARN that has not run leaves the light green
    "check due": (
        replace(OK, checks=checks(
            check_row(RAW_1H, "no_duplicate_bars", stale=True),
            check_row(DAILY_ML_MATRIX.id, "one_row_per_trade_date", state="not run"),
            check_row(RAW_1H, "bars_are_fresh", stale=True, severity="WARN"))),
        {"train": ("amber", "2 checks not run since the newest load", "cbi check")},
        "cbi check",
    ),
    "matrix behind": (
        replace(OK, built=OK.built.filter(pl.col("root") == "MES")),
        {"train": ("amber", "the matrix is behind the bars of ZL", "cbi build")},
        "cbi build",
    ),
    # from 31 March 2025 to 25 November 2026: 604 days, 19.8 months of 30.44 days
    "old data": (
        replace(OK, today=dt.date(2026, 11, 25), ends=(
            SeriesEnd("ZL", "1h", dt.date(2025, 3, 31), 417),
            SeriesEnd("MES", "1h", dt.date(2026, 11, 25), 0),
            SeriesEnd("MES", "1d", dt.date(2020, 1, 2), 1_700)),
            built=OK.built.with_columns(last_date=pl.lit(dt.date(2026, 11, 25)))),
        {"train": ("amber", "data through 2025-03-31 (ZL 1h), 20 months behind", "cbi plan")},
        "cbi plan",
    ),
    "unplanned": (
        replace(OK, wanted=wanted(3)),
        {"download": ("amber", "3 wanted trade dates missing, and no plan covers them",
                      "cbi plan")},
        "cbi plan",
    ),
    "unapproved": (
        replace(OK, wanted=wanted(1), plan=replace(PLAN, bytes=5)),
        {"download": ("amber", "1 wanted trade date missing; plan 0123456789ab for 12.50 USD "
                      "(quoted), not approved",
                      "cbi approve 0123456789ab --by NAME --max-usd N")},
        "cbi approve 0123456789ab --by NAME --max-usd N",
    ),
    "no key": (
        replace(OK, wanted=wanted(1), plan=replace(PLAN, bytes=5, approval="valid"), has_key=False),
        {"download": ("red", "DATABENTO_API_KEY is not set: nothing can be bought; 1 wanted trade "
                      "date missing; plan 0123456789ab for 12.50 USD is approved",
                      "cbi download 0123456789ab")},
        "cbi download 0123456789ab",
    ),
    "full drive": (
        replace(OK, wanted=wanted(1), plan=replace(PLAN, approval="valid")),
        {"download": ("red", "plan 0123456789ab needs up to 2.0 GB, and 1.0 GB are free",
                      "cbi doctor")},
        "cbi doctor",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def empty(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of an empty home, to show lights in."""
    project, _ = copy_home(new_home, tmp_path_factory.mktemp("empty"))
    with open_session(project, now=NOW) as session:
        return take_audit(session)


def assert_shown(lights: Lights, audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that JSON, page, Markdown and terminal have every light and the next command."""
    audit = replace(audit, lights=lights)
    document = json.loads(json.dumps(document_of(audit), default=str))["lights"]
    page = read_html(write_html(compose(audit))).text()
    markdown = write_markdown(compose(audit)).replace("\\", "")
    capsys.readouterr()
    show_lights.show_lights(lights)
    terminal = capsys.readouterr().err.splitlines()
    for light in lights.all:
        shown = document[light.name]
        assert (shown["color"], shown["reason"], shown["command"]) == (
            light.color, light.text, light.command,
        )  # fmt: skip
        assert re.search(rf"{light.name}\W{{0,3}}{light.color}", page, re.I)
        assert light.text in page
        assert light.command in page
        assert f"**{light.name}: {light.color}.** {light.text}. Next: `{light.command}`" in markdown
        assert f"{light.name:<10}{light.color:<7}{light.text}" in terminal
    assert terminal[-1] == f"Next: {document['next']['command']}"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_changes_its_light_everywhere(
    trouble: str, empty: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    state, changed, command = TROUBLES[trouble]
    lights = lights_of(state)
    found = {light.name: (light.color, light.text, light.command) for light in lights.all}
    assert found == GREEN | changed
    assert lights.next.command == command
    assert_shown(lights, empty, capsys)


def test_reasons_are_worst_first_and_results_pass_only_if_green() -> None:
    state = replace(
        OK,
        drive=drive_with("refused", "b", "damaged", waiting_files=2, waiting_records=5),
        books=book(records=9, quarantined=1),
        staging_waiting=1,
    )
    lights = lights_of(state)
    assert [reason.color for reason in lights.load.reasons] == ["red", "red", "amber", "amber"]
    assert [(r.name, r.passed, r.severity, r.offenders) for r in results_of(lights)] == [
        ("may_load", False, "WARN", 4),
        ("may_download", True, "WARN", 0),
        ("may_train", True, "WARN", 0),
    ]


def test_age_is_in_trade_dates_up_to_sixty_days() -> None:
    ends = (SeriesEnd("ZL", "1d", THURSDAY - dt.timedelta(days=60), 41),)
    assert lights_of(replace(OK, ends=ends)).through.text == (  # type: ignore[union-attr]
        "data through 2024-11-10 (ZL 1d), 41 trade dates behind"
    )


@pytest.fixture(scope="module")
def trained(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home and its drive: ZL on Monday and Thursday, verified, loaded, built and checked."""
    root = tmp_path_factory.mktemp("trained")
    project, drive = copy_home(new_home, root)
    records = np.concatenate([bars(4), bars(4, start=START + dt.timedelta(days=3))])
    put_job(drive, {FILE: dbn_file(records)})
    load_once(project)
    with open_session(project, now=NOW) as session:
        verbs.build(session)
        verbs.check(session)
    return root


@dataclass(frozen=True)
class Spoiled:
    """A drive with one trouble: how it is made, and the colors of load, download and train."""

    spoil: Callable[[Path], object]
    colors: str
    command: str
    load: bool = True
    now: dt.datetime = NOW


def _cut(drive: Path) -> None:
    file = drive / JOB / FILE
    file.write_bytes(file.read_bytes()[:-20])


SPOILED = {
    "nothing": Spoiled(lambda drive: None, "green red green", "cbi plan"),
    "cut off": Spoiled(_cut, "red red red", "cbi check"),
    "deleted": Spoiled(lambda drive: (drive / JOB / FILE).unlink(), "red red green",
                       "cbi inventory"),
    "damaged manifest": Spoiled(lambda drive: (drive / JOB / "manifest.json").write_bytes(b"{"),
                                "red red red", "cbi check"),
    "moved away": Spoiled(lambda drive: drive.rename(drive.with_name("gone")), "amber red green",
                          "cbi config --check", load=False),
    "new bars": Spoiled(lambda drive: put_lines(drive, [record(24)], job=LATER_JOB),
                        "amber red green", "cbi load", load=False),
    "new bars loaded": Spoiled(lambda drive: put_lines(drive, [record(0, "MES.v.0")],
                                                       job=LATER_JOB),
                               "green red amber", "cbi build"),
    "invalid record": Spoiled(lambda drive: put_lines(drive, [record(24, volume="-1")],
                                                      job=LATER_JOB),
                              "red red green", "cbi audit"),
    "unreadable": Spoiled(lambda drive: (drive / f"b-{FILE}").write_bytes(b"no bars"),
                          "red red green", "cbi inventory"),
    "conflict": Spoiled(lambda drive: put_lines(drive, [record(0)], job=LATER_JOB),
                        "red red red", "cbi unload --file"),
    "old": Spoiled(lambda drive: None, "green red amber", "cbi plan",
                   now=dt.datetime(2025, 2, 10, 12, tzinfo=dt.UTC)),
}  # fmt: skip
"""Without a key every download is red. If a published file has other bytes or a damaged manifest,
`source_is_databento` fails on the bars of it, and nothing may be built of them."""


@pytest.mark.full
@pytest.mark.parametrize("trouble", SPOILED)
def test_drive_with_one_trouble_has_the_same_lights_everywhere(
    trouble: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = SPOILED[trouble]
    project, drive = copy_home(trained / "home", tmp_path)
    drive.rmdir()
    _copy_drive(trained / "drive", drive)
    spoiled.spoil(drive)
    if spoiled.load:
        load_once(project, now=spoiled.now)
    audit = _audit(project, spoiled.now)
    assert " ".join(light.color for light in audit.lights.all) == spoiled.colors
    assert audit.lights.next.command.startswith(spoiled.command)
    with open_session(project, now=spoiled.now) as session:
        assert read_lights(session) == audit.lights  # as load, check and build show them
    assert_shown(audit.lights, audit, capsys)


def _copy_drive(source: Path, drive: Path) -> None:
    """Copy a drive with its files' times, so that they count as known."""
    shutil.copytree(source, drive, copy_function=shutil.copy2)


def _audit(project: Project, now: dt.datetime) -> Audit:
    with open_session(project, now=now) as session:
        return take_audit(session)
