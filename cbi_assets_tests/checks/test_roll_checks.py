"""Our front months against the vendor's, and the vendor's sessions on dead contracts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.checks.built_checks import MATCH_PERCENT
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project, open_session
from cbi_assets.tables import RAW, SESSIONS
from cbi_assets.tables.derived_tables import ROLL_CALENDAR
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets_tests.helpers import NOW, paste, run_check

DAYS = trade_dates("equity", dt.date(2024, 3, 1), dt.date(2024, 3, 28))
"""Twenty trade dates, of which the first has no front month."""

H, M, U = "ESH2024", "ESM2024", "ESU2024"
IDS = {H: 1, M: 2, U: 3}
ROLL_DATE = DAYS[10]


def bar(date: dt.date, symbol: str, number: int, hour: int = 0) -> dict[str, Any]:
    """A bar of one UTC day; its instrument id differs by day, as the vendor's may."""
    is_outright = "." not in symbol
    instant = dt.datetime.combine(date, dt.time(hour), dt.UTC)
    words = {"dataset": "GLBX.MDP3", "source_file_id": "f", "load_id": "l"}
    prices = dict.fromkeys(("open", "high", "low", "close"), 5000.0)
    return {
        "ts_event": instant,
        "trade_date": date,
        "root": symbol[:2],
        "symbol": symbol[:3] + symbol[-1] if is_outright else symbol,
        "kind": "outright" if is_outright else "continuous",
        "contract": symbol if is_outright else None,
        "instrument_id": number + 10 * date.day,
        "publisher_id": 1,
        **prices,
        "volume": 1,
        **words,
        "loaded_at": instant,
    }


def outrights() -> list[dict[str, Any]]:
    return [bar(date, name, number) for date in DAYS for name, number in IDS.items()]


def roll(date: dt.date, left: str, entered: str, deadline: dt.date) -> dict[str, Any]:
    return {
        "roll_date": date,
        "root": "ES",
        "from_contract": left,
        "to_contract": entered,
        "method": "volume",
        "decided_on": date - dt.timedelta(days=1),
        "deadline": deadline,
        **dict.fromkeys(("from_close", "to_close"), 5000.0),
        **dict.fromkeys(("from_volume", "to_volume"), 1),
    }


def insert(warehouse: Warehouse, table: str, rows: list[dict[str, Any]], schema: Any) -> None:
    if rows:
        staged = warehouse.stage_frame("rows", pl.DataFrame(rows, schema=schema))
        names = ", ".join(rows[0])
        warehouse.transact(
            [Statement(f"INSERT INTO `{table}` ({names}) SELECT {names} FROM `{staged}`")]
        )


BARS: dict[str, Any] = dict.fromkeys(bar(DAYS[0], H, 1)) | {
    "ts_event": pl.Datetime("us", "UTC"),
    "loaded_at": pl.Datetime("us", "UTC"),
    "contract": pl.String,
}


def check(
    project: Project,
    vendor: dict[dt.date, str],
    rolls: list[dict[str, Any]],
    hourly: list[dict[str, Any]] | None = None,
) -> CheckResult:
    """`vendor` names the contract behind ES.v.0 in the 1d table, by date."""
    daily = [*outrights(), *(bar(date, "ES.v.0", IDS[name]) for date, name in vendor.items())]
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        insert(warehouse, RAW["1d"].id, daily, BARS)
        insert(warehouse, RAW["1h"].id, hourly or [], BARS)
        insert(warehouse, ROLL_CALENDAR.id, rolls, ROLL_CALENDAR.polars_schema)
        result, other = run_check(session, "own_rolls_match_vendor", ["ES", "NQ"])
    assert (other.root, other.passed, other.offenders) == ("NQ", True, 0)
    assert (result.root, result.severity, result.partition) == ("ES", "WARN", "ES")
    return result


def vendor_rolls_on(date: dt.date) -> dict[dt.date, str]:
    return {day: H if day < date else M for day in DAYS}


ONE_ROLL = [roll(ROLL_DATE, H, M, dt.date(2024, 3, 15))]


@pytest.mark.both_warehouses
def test_check_passes_if_all_dates_match(project: Project) -> None:
    result = check(project, vendor_rolls_on(ROLL_DATE), ONE_ROLL)
    assert result.passed
    assert result.expected == "at least 95%"
    assert result.actual == "19 of 19 trade dates match"


@pytest.mark.both_warehouses
def test_check_warns_if_the_vendor_rolled_on_another_day(project: Project) -> None:
    result = check(project, vendor_rolls_on(DAYS[8]), ONE_ROLL)
    assert not result.passed
    assert not result.failed
    assert result.offenders == 2
    assert result.actual == "17 of 19 trade dates match"
    assert [row["trade_date"] for row in result.sample] == DAYS[8:10]
    assert paste(project, result.sql).drop("offenders").to_dicts() == result.sample
    assert (result.sample[0]["own_contract"], result.sample[0]["vendor_contract"]) == (H, M)


def test_check_warns_if_18_of_19_dates_match(project: Project) -> None:
    assert MATCH_PERCENT == 95
    vendor_a_day_early = vendor_rolls_on(DAYS[9])  # ours is DAYS[10]: 18 of 19 dates are 94.7%
    assert not check(project, vendor_a_day_early, ONE_ROLL).passed


def test_check_passes_if_exactly_95_percent_of_dates_match(project: Project) -> None:
    vendor_a_day_early = vendor_rolls_on(DAYS[9])  # ours is DAYS[10]: 18 of 19 dates match
    april_1 = dt.date(2024, 4, 1)  # the 20th compared date, and it matches: 19 of 20
    twentieth = [bar(april_1, M, 2), bar(april_1, "ES.v.0", 2)]
    result = check(project, vendor_a_day_early, ONE_ROLL, hourly=twentieth)
    assert result.actual == "19 of 20 trade dates match"
    assert result.passed
    assert result.sample == []


def test_vendors_contract_is_that_of_the_sessions_last_bar(project: Project) -> None:
    # in the 1d bars the vendor is a day late; its 1h bars of that day know better
    late = vendor_rolls_on(DAYS[11])
    hourly = [bar(ROLL_DATE, "ES.v.0", IDS[M], hour) for hour in (9, 15)]
    hourly += [bar(ROLL_DATE, "ES.v.0", IDS[H], 3)]
    result = check(project, late, ONE_ROLL, hourly)
    assert result.actual == "19 of 19 trade dates match"


def test_every_holding_period_is_compared(project: Project) -> None:
    rolls = [*ONE_ROLL, roll(DAYS[15], M, U, dt.date(2024, 6, 21))]
    result = check(project, vendor_rolls_on(ROLL_DATE), rolls)
    assert result.actual == "14 of 19 trade dates match"
    assert [row["own_contract"] for row in result.sample] == [U] * 5


@pytest.mark.parametrize("first", [True, False])
def test_dates_between_a_deadline_and_a_late_roll_are_not_compared(
    project: Project, first: bool
) -> None:
    # there is no front month on the three dates from the deadline on
    rolls = [roll(DAYS[13], H, M, DAYS[10])]
    if not first:
        rolls = [roll(DAYS[2], U, H, dt.date(2024, 9, 20)), *rolls]
    result = check(project, vendor_rolls_on(DAYS[10]), rolls)
    agreed = 16 if first else 15
    assert result.actual == f"{agreed} of 16 trade dates match"


def test_check_passes_without_bars_of_the_vendors_symbol(project: Project) -> None:
    result = check(project, {}, ONE_ROLL)
    assert (result.passed, result.actual) == (True, "0 mismatched trade dates")


def test_the_vendors_other_symbols_are_not_compared(project: Project) -> None:
    others = [bar(date, "ES.c.0", IDS[U]) for date in DAYS]
    result = check(project, vendor_rolls_on(ROLL_DATE), ONE_ROLL, hourly=others)
    assert result.passed


def session_row(date: dt.date, symbol: str, volume: int) -> dict[str, Any]:
    return {
        "trade_date": date,
        "root": symbol[:2],
        "symbol": symbol,
        "contract_key": f"{symbol}#1",
        "is_pure": True,
        **dict.fromkeys(("open", "high", "low", "close"), 5000.0),
        "volume": volume,
        "built_from": "1h",
        "bars": 1,
    }


def test_liquidity_check_reports_sessions_below_a_twentieth_of_the_usual_volume(
    project: Project,
) -> None:
    dates = trade_dates("equity", dt.date(2024, 3, 1), dt.date(2024, 4, 2))
    # 20 sessions of 100, of which 5 is a twentieth; then (19 * 100 + 5) / 20 = 95.25 is usual,
    # and 4 is less than its twentieth, 4.7625
    volumes = [100] * 20 + [5, 4]
    rows = [session_row(date, "ES.v.0", n) for date, n in zip(dates, volumes, strict=True)]
    # too few sessions before it, and another symbol
    rows += [
        session_row(date, "NQ.v.0", n) for date, n in zip(dates, [100] * 19 + [1], strict=False)
    ]
    rows += [session_row(date, "ES.n.0", n) for date, n in zip(dates, volumes, strict=True)]
    with open_session(project, now=NOW) as session:
        insert(session.warehouse, SESSIONS.id, rows, SESSIONS.schema_of(*rows[0]))
        result, other = run_check(session, "continuous_is_liquid", ["ES", "NQ"])
    assert (other.root, other.passed) == ("NQ", True)
    assert (result.severity, result.passed, result.actual) == ("WARN", False, "1 thin session")
    assert [(row["trade_date"], row["volume"]) for row in result.sample] == [(dates[21], 4)]
    assert result.sample[0]["usual_volume"] == 95.25
    assert paste(project, result.sql)["offenders"].to_list() == [1]
