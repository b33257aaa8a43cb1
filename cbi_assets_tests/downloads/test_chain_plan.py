"""1h and 1m bars planned contract by contract, from the published 1d bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.config.downloads import Intraday, load_policy
from cbi_assets.demo.encoder import mappings
from cbi_assets.downloads.contract_windows import DailyBars
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.wanted import Scope
from cbi_assets.session import Project, open_session
from cbi_assets_tests.databento_api.buying import clients_of
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import bars, dbn_file, load_once, put_job

MONDAY = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)
SATURDAY = dt.datetime(2025, 1, 11, 12, tzinfo=dt.UTC)
SCOPE = Scope(roots=("ZL",), timeframes=("1h",))
JANUARY = (dt.date(2025, 1, 1), dt.date(2025, 2, 1))
# The chain enters H on Tuesday, rolls to K on Thursday, by Wednesday, and never sees June's N lead.
VOLUMES = {
    "ZLH5": [200, 200, 200, 200, 200],
    "ZLK5": [100, 100, 300, 300, 300],
    "ZLN5": [10, 10, 10, 10, 10],
}


@pytest.fixture
def with_daily(project: Project, drive: Path) -> Project:
    """A home with a week of 1d bars of three contracts of ZL."""
    files = {}
    for number, (symbol, volumes) in enumerate(VOLUMES.items(), 10):
        records = bars(5, symbol, MONDAY, "ohlcv-1d", instrument_id=number)
        records["volume"] = volumes
        mapped = mappings({symbol: [(number, *JANUARY)]})
        files[f"{symbol}.ohlcv-1d.dbn.zst"] = dbn_file(records, "ohlcv-1d", mapped=mapped)
    put_job(drive, files, schema="ohlcv-1d")
    load_once(project)
    return project


def plan_of(project: Project, strategy: str, vendor: Vendor | None = None) -> Plan:
    policy = load_policy().model_copy(
        update={"intraday": Intraday.model_validate({"default": strategy})}
    )
    with open_session(project, now=SATURDAY) as session:
        return make_plan(session, SCOPE, vendor and clients_of(vendor), policy)


def requested(plan: Plan) -> list[tuple[str, str, str, int]]:
    return [
        (r.symbols[0], str(r.start), str(r.end), int(r.why.split(": ")[1].split(" ")[0]))
        for r in plan.requests
        if r.stype_in == "raw_symbol"
    ]


@pytest.mark.full
def test_chain_requests_each_contract_while_it_is_the_front_month_or_the_next(
    with_daily: Project,
) -> None:
    plan = plan_of(with_daily, "chain")
    assert requested(plan) == [
        # from the UTC day on whose evening Tuesday's session opens, to the day before the roll
        ("ZLH5", "2025-01-06", "2025-01-09", 2),
        ("ZLK5", "2025-01-06", "2025-01-11", 4),
        ("ZLN5", "2025-01-08", "2025-01-11", 2),  # next since K became the front month
    ]
    assert [r.symbols for r in plan.requests if r.stype_in == "continuous"] == [("ZL.v.0",)]
    assert requested(plan_of(with_daily, "continuous")) == []


@pytest.mark.full
def test_contracts_of_a_day_depend_on_nothing_later(with_daily: Project) -> None:
    with open_session(with_daily, now=SATURDAY) as session:
        daily = DailyBars.read(session, ["ZL"])

        def wanted(until: dt.date) -> set[tuple[str, dt.date]]:
            known = DailyBars(daily.frame.filter(pl.col("trade_date") < until))
            windows = known.windows(session, "ZL", until)
            return {(w.symbol, date) for w in windows for date in w.dates if date == until}

        every = daily.windows(session, "ZL", dt.date(2025, 1, 10))
        for day in (7, 8, 9, 10):
            date = dt.date(2025, 1, day)
            assert wanted(date) == {(w.symbol, date) for w in every if date in w.dates}, date


def test_plan_compares_the_continuous_symbol_the_chain_and_the_parent(
    with_daily: Project, vendor: Vendor
) -> None:
    plan = plan_of(with_daily, "continuous", vendor)
    ways = {way.strategy: way for way in plan.alternatives}
    assert [(w.strategy, w.chosen, w.requests, w.basis) for w in plan.alternatives] == [
        ("continuous", True, 1, "quoted"),
        ("chain", False, 4, "quoted"),
        ("parent", False, 1, "quoted"),
    ]
    assert ways["continuous"].cost_usd == plan.cost_usd
    assert ways["chain"].note == "contracts from 2025-01-06, as 1d bars are published"
    assert ways["parent"].note == ""
    for way in ways.values():
        assert way.records is not None
        assert way.bytes == way.records * 56
    assert (ways["continuous"].records or 0) < (ways["chain"].records or 0)
    assert (ways["chain"].records or 0) < (ways["parent"].records or 0)


def test_plan_says_that_a_chain_needs_the_parents_daily_bars(project: Project) -> None:
    ways = {way.strategy: way for way in plan_of(project, "continuous").alternatives}
    assert (ways["chain"].requests, ways["chain"].cost_usd) == (0, None)
    assert ways["chain"].note == "needs the published 1d bars of its parent, and a roll rule"
    assert ways["continuous"].note == ""


def frame(rows: Sequence[tuple[str, int, int]]) -> DailyBars:
    """Daily bars of ES from (symbol, day of January 2025, volume)."""
    columns = {
        "root": "ES",
        "symbol": [symbol for symbol, _, _ in rows],
        "trade_date": [dt.date(2025, 1, day) for _, day, _ in rows],
        "volume": [volume for _, _, volume in rows],
    }
    return DailyBars(pl.DataFrame(columns))


def test_bars_of_contracts_are_at_most_one_per_contract_traded() -> None:
    found = frame([("ESH5", 6, 900), ("ESM5", 6, 7), ("ESH5-ESM5", 6, 3), ("ESH5", 7, 5)])
    # at most 24 a day: (24 + 7 + 3 + 5) on two dates, and 24 + 5 of the one contract
    assert found.bars_per_date("ES", 24) == 19.5
    assert found.bars_per_date("ES", 24, ["ESH5"]) == 14.5
    assert found.bars_per_date("NQ", 24) is None
