"""Continuous bars have the contract that a file names, whenever the file arrives."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.demo.encoder import mappings
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.load.instruments import CLAIMS, changes_between, resolve_names
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.tables import INSTRUMENT_CONFLICTS, INSTRUMENTS, RAW
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import (
    NOW,
    bars,
    dbn_file,
    load_once,
    open_warehouse,
    put_job,
    query,
    run_check,
)
from cbi_assets_tests.load.lines import PARENT, put_lines, put_symbology, record

JAN = [dt.date(2025, 1, day) for day in (1, 7, 10, 20)]
CONTRACTS = (
    "SELECT DATE(ts_event) AS day, contract, COUNT(*) AS bars "
    f"FROM `{RAW['1h'].id}` WHERE symbol = 'ZL.v.0' GROUP BY day, contract ORDER BY day, contract"
)


def hours(days: int = 2) -> list[str]:
    """Two hours of ZL.v.0 on each day from Monday, 2025-01-06; its id is 10."""
    return [record(24 * day + hour) for day in range(days) for hour in range(2)]


def contracts(project: Project) -> list[tuple[Any, ...]]:
    return [(day.day, *rest) for day, *rest in query(project, CONTRACTS).iter_rows()]


@pytest.mark.both_warehouses
def test_a_late_symbology_names_published_bars_and_a_wrong_one_unnames_them(
    project: Project, drive: Path
) -> None:
    put_lines(drive, hours())
    published = load_once(project).load_id
    assert contracts(project) == [(6, None, 2), (7, None, 2)]
    put_symbology(drive, {"ZLH5": [(10, JAN[0], JAN[1])], "ZLK5": [(10, JAN[1], JAN[3])]})
    outcome = load_once(project)
    assert outcome.renamed == {("ZL", "1h"): 4}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, "ZLK2025", 2)]
    loads = query(project, "SELECT load_id, named_by, published FROM `ops.loads`")
    assert loads.rows() == [(published, outcome.load_id, 4)]  # published by the same load as before
    assert ("ZL", "1h") in PendingEvents(project.home).partitions()
    with open_session(project, now=NOW) as session:
        for full in (False, True):
            (result,) = run_check(session, "source_is_databento", ["ZL"], "1h", full=full)
            assert result.passed
    assert load_once(project).load_id is None

    other = put_symbology(drive, {"ZLN5": [(10, JAN[1], JAN[2])]}, "GLBX-20250110-QQQQQQQQQQ")
    assert load_once(project).renamed == {("ZL", "1h"): 2}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, None, 2)]
    disputed = query(project, f"SELECT * FROM `{INSTRUMENT_CONFLICTS.id}` ORDER BY raw_symbol")
    assert disputed.select(
        "instrument_id", "from_date", "to_date", "raw_symbol", "path"
    ).rows() == [
        (10, JAN[1], JAN[2], "ZLK5", f"{PARENT}/symbology.json"),
        (10, JAN[1], JAN[2], "ZLN5", "GLBX-20250110-QQQQQQQQQQ/symbology.json"),
    ]
    other.unlink()
    assert load_once(project).renamed == {("ZL", "1h"): 2}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, "ZLK2025", 2)]
    assert query(project, f"SELECT * FROM `{INSTRUMENT_CONFLICTS.id}`").is_empty()


@pytest.mark.full
def test_a_dbn_header_names_bars_at_their_publication_also_after_an_unload(
    project: Project, drive: Path
) -> None:
    """The parent's job has no bar of the days in question: its header alone names the id."""
    mapped = mappings({"ZLH5": [(10, JAN[0], JAN[1])], "ZLH5-ZLK5": [(77, JAN[0], JAN[3])]})
    header = dbn_file(bars(0, schema="ohlcv-1d"), "ohlcv-1d", mapped=mapped, stype_in="parent")
    put_job(
        drive, {"a.ohlcv-1d.dbn.zst": header}, PARENT, "ohlcv-1d", mapped, sidecars=["manifest"]
    )
    file_id = put_lines(drive, hours())
    outcome = load_once(project)
    assert outcome.renamed == {}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, None, 2)]
    found = query(project, f"SELECT * FROM `{INSTRUMENTS.id}`").rows()
    assert found == [("GLBX.MDP3", 10, JAN[0], JAN[1], "ZLH5", "ZL", "ZLH2025", "dbn")]
    with open_session(project, now=NOW) as session:
        verbs.unload(session, plan_unload(session, "file", file_id))
    assert contracts(project) == []
    assert load_once(project).published == 4
    assert contracts(project) == [(6, "ZLH2025", 2), (7, None, 2)]
    put_symbology(drive, {"ZLN5": [(10, JAN[0], JAN[1])]}, "GLBX-20250110-QQQQQQQQQQ")
    assert load_once(project).renamed == {("ZL", "1h"): 2}
    assert query(project, f"SELECT * FROM `{INSTRUMENTS.id}`").is_empty()


@pytest.mark.full
def test_a_csv_symbology_without_a_dataset_has_that_of_its_folders_bars(
    project: Project, drive: Path
) -> None:
    put_lines(drive, hours(1), job=PARENT)
    rows = "raw_symbol,instrument_id,date\nZLH5,10,2025-01-06\nZLH5,10,2025-01-07\n"
    (drive / PARENT / "symbology.csv").write_text(rows)
    (drive / "elsewhere").mkdir()
    (drive / "elsewhere" / "symbology.csv").write_text(rows.replace("ZLH5", "ZLN5"))
    load_once(project)
    assert contracts(project) == [(6, "ZLH2025", 2)]
    assert query(project, f"SELECT source, to_date FROM `{INSTRUMENTS.id}`").rows() == [
        ("symbology.csv", dt.date(2025, 1, 8))
    ]


@pytest.mark.full
def test_a_catalog_of_an_earlier_version_names_bars_once_its_files_are_read_again(
    project: Project, drive: Path
) -> None:
    mapped = mappings({"ZLH5": [(10, JAN[0], JAN[3])]})
    days = dbn_file(bars(1, schema="ohlcv-1d", instrument_id=10), "ohlcv-1d", mapped=mapped)
    put_job(drive, {"a.dbn.zst": days}, PARENT, "ohlcv-1d", mapped, sidecars=["manifest"])
    put_lines(drive, hours())
    load_once(project)
    with sqlite3.connect(project.home.catalog) as catalog:
        catalog.execute("DROP TABLE names")
    with open_warehouse(project) as warehouse:
        warehouse.transact(
            [
                Statement(f"DELETE FROM `{INSTRUMENTS.id}` WHERE TRUE"),
                Statement(f"UPDATE `{RAW['1h'].id}` SET contract = NULL WHERE kind = 'continuous'"),
            ]
        )
    outcome = load_once(project)
    assert (outcome.published, outcome.renamed) == (0, {("ZL", "1h"): 4})
    assert load_once(project).survey.read == 0


@pytest.mark.full
def test_a_contract_that_trades_past_its_month_has_that_months_year(
    project: Project, drive: Path
) -> None:
    """SR3H5 of March 2025 trades to 2025-06-17: its bars, and those of SR3.v.0, are not of 2035."""
    may = dt.datetime(2025, 5, 6, tzinfo=dt.UTC)
    span = (dt.date(2025, 5, 1), dt.date(2025, 6, 1))
    for symbol, stype in (("SR3H5", "raw_symbol"), ("SR3.v.0", "continuous")):
        mapped = mappings({symbol: [(77, *span)]})
        hour = bars(1, symbol, may, instrument_id=77)
        file = dbn_file(hour, mapped=mapped, stype_in=stype)
        put_job(
            drive, {f"{symbol}.dbn.zst": file}, f"GLBX-20250601-{symbol:X<10.10}", mapped=mapped
        )
    load_once(project)
    found = query(project, f"SELECT symbol, contract FROM `{RAW['1h'].id}` ORDER BY symbol")
    assert found.rows() == [("SR3.v.0", "SR3H2025"), ("SR3H5", "SR3H2025")]


@pytest.mark.full
def test_names_stay_while_their_drive_is_away(project: Project, drive: Path) -> None:
    put_lines(drive, hours())
    put_symbology(drive, {"ZLH5": [(10, JAN[0], JAN[3])]})
    load_once(project)
    shutil.rmtree(drive / PARENT)
    assert load_once(project).renamed == {}
    assert contracts(project) == [(6, "ZLH2025", 2), (7, "ZLH2025", 2)]


Claim = tuple[int, int, int, str, str]
"""Instrument id, first and last day of January 2025 (the last exclusive), symbol, path."""


def claims(*rows: Claim) -> pl.DataFrame:
    found = [
        ("D", n, JAN[0].replace(day=a), JAN[0].replace(day=b), symbol, "dbn", path)
        for n, a, b, symbol, path in rows
    ]
    return pl.DataFrame(found, schema=CLAIMS, orient="row")


NONE = pl.DataFrame(schema=INSTRUMENTS.polars_schema)


def named(*rows: Claim, before: pl.DataFrame = NONE) -> list[tuple[Any, ...]]:
    found = resolve_names(claims(*rows), before, {}).instruments
    return [
        (n, a.day, b.day, contract)
        for n, a, b, contract in found.select(
            "instrument_id", "from_date", "to_date", "contract"
        ).iter_rows()
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # adjoining and overlapping intervals are one
        (
            [(1, 2, 5, "ZLH5", "a"), (1, 5, 7, "ZLH5", "b"), (1, 6, 9, "ZLH5", "c")],
            [(1, 2, 9, "ZLH2025")],
        ),
        # an id that another contract has after a gap
        (
            [(1, 2, 5, "ZLH5", "a"), (1, 6, 9, "ZLK5", "a")],
            [(1, 2, 5, "ZLH2025"), (1, 6, 9, "ZLK2025")],
        ),
        # two sources disagree on the 4th: it has no name, the days around it do
        (
            [(1, 2, 9, "ZLH5", "a"), (1, 4, 5, "ZLK5", "b")],
            [(1, 2, 4, "ZLH2025"), (1, 5, 9, "ZLH2025")],
        ),
        # a spread names nothing, and disputes an outright
        ([(1, 2, 5, "ZLH5-ZLK5", "a")], []),
        ([(1, 2, 5, "ZLH5-ZLK5", "a"), (1, 2, 6, "ZLH5", "b")], [(1, 5, 6, "ZLH2025")]),
        ([(1, 2, 2, "ZLH5", "a")], []),  # an empty interval
    ],
)
def test_names_are_what_all_sources_agree_on(
    rows: list[Claim], expected: list[tuple[Any, ...]]
) -> None:
    assert named(*(row for row in rows if row[1] < row[2])) == expected


def test_what_the_warehouse_knew_stays_where_no_source_says_otherwise() -> None:
    before = resolve_names(claims((1, 2, 9, "ZLH5", "a")), NONE, {}).instruments
    assert named(before=before) == [(1, 2, 9, "ZLH2025")]
    # a file says that it was ZLK5 on two of the days, and none on the drive says ZLH5
    later = [(1, 4, 6, "ZLK5", "b")]
    assert named(*later, before=before) == [  # type: ignore[arg-type]
        (1, 2, 4, "ZLH2025"),
        (1, 4, 6, "ZLK2025"),
        (1, 6, 9, "ZLH2025"),
    ]


def test_changes_are_the_dates_with_another_contract() -> None:
    before = resolve_names(claims((1, 2, 6, "ZLH5", "a"), (2, 2, 6, "ZLN5", "a")), NONE, {})
    after = resolve_names(
        claims((1, 4, 5, "ZLK5", "b"), (1, 2, 8, "ZLH5", "a"), (2, 2, 6, "ZLN5", "a")), NONE, {}
    )
    found = changes_between(before.instruments, after.instruments)
    assert [(n, a.day, b.day, contract) for _, n, _, a, b, contract in found.iter_rows()] == [
        (1, 4, 5, None),
        (1, 6, 8, "ZLH2025"),
    ]
