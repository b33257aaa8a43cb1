"""Which bars make a session, and which contract is the front month."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.assemble import front_month_chain, read_observations
from cbi_assets.build.bar_inventory import read_inventory
from cbi_assets.build.build_slices import NO_CUTOFF, all_dates
from cbi_assets.build.session_rows import HoursReader, build_sessions
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
        windows = all_dates([root], until)
        inventory = read_inventory(warehouse, windows)
        return build_sessions(HoursReader(warehouse), inventory, windows, [root]).frame


def test_front_month_follows_session_volumes_if_utc_days_disagree() -> None:
    """Monday's sessions make N the front month on Tuesday; its UTC days would make it K."""
    volumes = {"ZLK2024": (10, 90), "ZLN2024": (90, 10)}
    sessions = [outright(MON, contract, pair[0]) for contract, pair in volumes.items()]
    utc_days = [
        (*outright(MON, contract, pair[1])[:-1], "1d") for contract, pair in volumes.items()
    ]
    tuesday = [outright(TUE, "ZLK2024", 1), outright(TUE, "ZLN2024", 1)]
    for rows in (sessions + utc_days + tuesday, utc_days + sessions + tuesday):
        found = front_month_chain(session_frame(rows), load_universe()).front_months
        assert found.rows() == [("ZL", TUE, "ZLN2024")]


@pytest.mark.full
def test_build_sessions_uses_outrights_and_continuous_symbols_of_rank_0(
    project: Project, drive: Path
) -> None:
    symbols = ("ZL.v.0", "ZL.v.1", "ZLH5", "ZLH5-ZLK5")
    put_lines(drive, [record(0, symbol) for symbol in symbols])
    load_once(project)
    assert sessions(project, "ZL")["symbol"].to_list() == ["ZL.v.0", "ZLH5"]


@pytest.mark.full
def test_holiday_bars_are_part_of_the_next_session(project: Project, drive: Path) -> None:
    """Bars of Monday 2025-01-20, Martin Luther King Jr. Day, have Tuesday's trade date."""
    monday = 14 * 24
    holiday_bar = record(monday, "MES.v.0", open="5.000000000", low="5.000000000")
    put_lines(drive, [holiday_bar, record(monday + 24, "MES.v.0")])
    load_once(project)
    (row,) = sessions(project, "MES").to_dicts()
    assert row["trade_date"] == dt.date(2025, 1, 21)
    assert (row["open"], row["bars"], row["volume"]) == (5.0, 2, 5 + 5)


@pytest.mark.full
@pytest.mark.parametrize("timeframe", ["1h", "1m"])
def test_build_sessions_skips_an_evening_without_its_day(
    project: Project, drive: Path, timeframe: str
) -> None:
    """Files end at midnight UTC, 18:00 Chicago time: an hour into Tuesday's session of MES."""
    step = 60 if timeframe == "1m" else 1
    monday, evening, next_day = 0, 8 * step, 9 * step  # 15:00, 23:00 and 00:00 UTC
    put_lines(drive, [record(place, "MES.v.0", timeframe) for place in (monday, evening)])
    load_once(project)
    assert sessions(project, "MES")["trade_date"].to_list() == [dt.date(2025, 1, 6)]
    put_lines(drive, [record(next_day, "MES.v.0", timeframe)], "b.json")
    load_once(project)
    found = sessions(project, "MES")
    assert found["trade_date"].to_list() == [dt.date(2025, 1, 6), dt.date(2025, 1, 7)]
    assert found["bars"].to_list() == [1, 2]


@pytest.mark.full
def test_sessions_end_with_the_requested_date(project: Project, drive: Path) -> None:
    put_lines(drive, [record(24 * n) for n in range(3)])
    load_once(project)
    found = sessions(project, "ZL", until=dt.date(2025, 1, 7))
    assert found["trade_date"].to_list() == [dt.date(2025, 1, 6), dt.date(2025, 1, 7)]


def test_read_observations_leaves_out_what_was_published_after_the_last_close(
    project: Project,
) -> None:
    """The point-in-time check rebuilds from input up to a date, and would miss such a value."""
    until = dt.date(2025, 1, 7)  # its last close is 16:00 Chicago time, 22:00 UTC
    published = [dt.datetime(2025, 1, 7, 22, 0, second, tzinfo=dt.UTC) for second in (0, 1)]
    rows = [("FRED", "vix_index", until, at, 15.0, "f", "L") for at in published]
    frame = pl.DataFrame(rows, schema=list(MACRO_OBSERVATIONS.column_names), orient="row")
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        staged = warehouse.stage_frame("observed", frame)
        columns = ", ".join(MACRO_OBSERVATIONS.column_names)
        sql = f"INSERT INTO `{MACRO_OBSERVATIONS.id}` ({columns}) SELECT {columns} FROM `{staged}`"
        warehouse.transact([Statement(sql)])
        assert read_observations(session, until)["available_at"].to_list() == published[:1]
        assert read_observations(session, NO_CUTOFF).height == 2
