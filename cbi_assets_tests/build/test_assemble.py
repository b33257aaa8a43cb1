"""What sessions are made of, and which contract the chain holds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.assemble import front_month_chain, read_observations
from cbi_assets.build.bar_inventory import NO_CUTOFF, read_inventory
from cbi_assets.build.session_rows import build_sessions
from cbi_assets.config.universe import load_universe
from cbi_assets.session import Project, open_session
from cbi_assets.tables import MACRO_OBSERVATIONS
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.features.frames import outright, session_frame
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse
from cbi_assets_tests.load.lines import put_lines, record

MON, TUE, WED = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(3))


def sessions(project: Project, root: str, until: dt.date = dt.date(2200, 1, 1)) -> pl.DataFrame:
    with open_warehouse(project) as warehouse:
        return build_sessions(warehouse, read_inventory(warehouse, [root], until=until)).frame


def test_a_contracts_session_decides_before_its_utc_day() -> None:
    """By the sessions K leads on Tuesday, by the UTC days it does not."""
    volumes = {"ZLK2024": (10, 90), "ZLN2024": (90, 10)}
    fine = [outright(MON, contract, pair[0]) for contract, pair in volumes.items()]
    coarse = [(*outright(MON, contract, pair[1])[:-1], "1d") for contract, pair in volumes.items()]
    tuesday = [outright(TUE, "ZLK2024", 1), outright(TUE, "ZLN2024", 1)]
    for rows in (fine + coarse + tuesday, coarse + fine + tuesday):
        found = front_month_chain(session_frame(rows), load_universe()).front_months
        assert found.rows() == [("ZL", TUE, "ZLN2024")]


def test_only_outrights_and_continuous_symbols_of_rank_0_have_sessions(
    project: Project, drive: Path
) -> None:
    symbols = ("ZL.v.0", "ZL.v.1", "ZLH5", "ZLH5-ZLK5")
    put_lines(drive, [record(0, symbol) for symbol in symbols])
    load_once(project)
    assert sessions(project, "ZL")["symbol"].to_list() == ["ZL.v.0", "ZLH5"]


def test_a_holidays_stub_is_part_of_the_next_session(project: Project, drive: Path) -> None:
    """Monday 2025-01-20 is Martin Luther King's day: its bar trades for Tuesday."""
    monday = 14 * 24
    stub = record(monday, "MES.v.0", open="5.000000000", low="5.000000000")
    put_lines(drive, [stub, record(monday + 24, "MES.v.0")])
    load_once(project)
    (row,) = sessions(project, "MES").to_dicts()
    assert row["trade_date"] == dt.date(2025, 1, 21)
    assert (row["open"], row["bars"], row["volume"]) == (5.0, 2, 10)


@pytest.mark.parametrize("timeframe", ["1h", "1m"])
def test_an_evening_alone_is_no_session(project: Project, drive: Path, timeframe: str) -> None:
    """Files end at midnight UTC, 18:00 in Chicago: an hour into Tuesday's session of MES."""
    step = 60 if timeframe == "1m" else 1
    monday, evening, next_day = 0, 8 * step, 9 * step  # 15:00, 23:00 and 00:00 UTC
    cut = [record(place, "MES.v.0", timeframe) for place in (monday, evening)]
    put_lines(drive, cut)
    load_once(project)
    assert sessions(project, "MES")["trade_date"].to_list() == [dt.date(2025, 1, 6)]
    put_lines(drive, [record(next_day, "MES.v.0", timeframe)], "b.json")
    load_once(project)
    found = sessions(project, "MES")
    assert found["trade_date"].to_list() == [dt.date(2025, 1, 6), dt.date(2025, 1, 7)]
    assert found["bars"].to_list() == [1, 2]


def test_sessions_end_with_the_date_asked_for(project: Project, drive: Path) -> None:
    put_lines(drive, [record(24 * n) for n in range(3)])
    load_once(project)
    found = sessions(project, "ZL", until=dt.date(2025, 1, 7))
    assert found["trade_date"].to_list() == [dt.date(2025, 1, 6), dt.date(2025, 1, 7)]


def test_what_was_published_after_the_last_close_is_cut_off_too(project: Project) -> None:
    """The last close of 2025-01-07 is 16:00 at Chicago, 22:00 UTC: without the cut, no rebuild from
    less could ever show a value that is known too early."""
    cut = dt.date(2025, 1, 7)
    instants = [dt.datetime(2025, 1, 7, 22, 0, second, tzinfo=dt.UTC) for second in (0, 1)]
    rows = [("FRED", "vix_index", cut, at, 15.0, "f", "L") for at in instants]
    frame = pl.DataFrame(rows, schema=list(MACRO_OBSERVATIONS.column_names), orient="row")
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        staged = warehouse.stage_frame("observed", frame)
        columns = ", ".join(MACRO_OBSERVATIONS.column_names)
        sql = f"INSERT INTO `{MACRO_OBSERVATIONS.id}` ({columns}) SELECT {columns} FROM `{staged}`"
        warehouse.transact([Statement(sql)])
        assert read_observations(session, cut)["available_at"].to_list() == instants[:1]
        assert read_observations(session, NO_CUTOFF).height == 2
