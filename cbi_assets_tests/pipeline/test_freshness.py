"""Built tables are as old as their data: late never after just a weekend, and never before the
bars' own check fails."""

from __future__ import annotations

import asyncio
import datetime as dt
from itertools import pairwise

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import FRESHNESS_EVALUATORS_BY_POLICY_TYPE
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time
from dagster._daemon import cli

from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.config.universe import load_universe
from cbi_assets.definitions import defs
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.pipeline import daemon
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.built.built_assets import FRESHNESS, MATRIX_KEY
from cbi_assets.pipeline.data_freshness import DataFreshness
from cbi_assets.pipeline.metadata import data_through
from cbi_assets.tables import BUILT

CALENDARS = sorted(set(load_universe().calendars().values()))


def test_only_built_tables_have_the_freshness_policy() -> None:
    graph = defs.resolve_asset_graph()
    found = {k: graph.get(k).freshness_policy for k in graph.get_all_asset_keys()}
    wanted = {table_key(spec.id) for spec in BUILT}
    assert {key for key, policy in found.items() if policy is not None} == wanted
    assert all(found[key] == FRESHNESS for key in wanted)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_policy_ignores_weekends_and_fails_no_sooner_than_the_bars(calendar: Calendar) -> None:
    dates = trade_dates(calendar, load_universe().history_start)
    assert FRESHNESS.warn_window is not None
    warns, fails = (w.to_timedelta() for w in (FRESHNESS.warn_window, FRESHNESS.fail_window))
    assert all(after - before < warns for before, after in pairwise(dates))
    spans = [late - day for day, late in zip(dates, dates[FRESH_TRADE_DATES:], strict=False)]
    assert max(spans) <= fails
    assert fails < 2 * min(spans)  # else it would hardly ever fail


def test_daemon_checks_freshness(instance: dg.DagsterInstance) -> None:
    assert instance.freshness_enabled
    assert "FRESHNESS_DAEMON" in instance.get_required_daemon_types()


@pytest.mark.parametrize(
    ("newest", "state"),
    [
        (dt.date(2025, 3, 31), FreshnessState.PASS),  # ended 4 days and 23:59 before
        (dt.date(2025, 3, 30), FreshnessState.WARN),
        (dt.date(2025, 3, 25), FreshnessState.WARN),  # ended 10 days and 23:59 before
        (dt.date(2025, 3, 24), FreshnessState.FAIL),
        (None, FreshnessState.UNKNOWN),  # an empty table
    ],
)
def test_table_built_now_is_as_old_as_its_newest_trade_date(
    instance: dg.DagsterInstance, newest: dt.date | None, state: FreshnessState
) -> None:
    with freeze_time(dt.datetime(2025, 4, 5, 23, 59, tzinfo=dt.UTC)):
        event = dg.AssetMaterialization(MATRIX_KEY, metadata=data_through(newest))
        instance.report_runless_asset_event(event)
        assert evaluate(instance) is state


def test_table_that_was_never_built_has_no_age(instance: dg.DagsterInstance) -> None:
    assert evaluate(instance) is FreshnessState.UNKNOWN


def test_daemon_evaluates_by_data(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[object] = []
    policy = type(FRESHNESS)
    monkeypatch.setattr(daemon, "prepare", lambda: None)
    monkeypatch.setattr(
        cli, "main", lambda: used.append(FRESHNESS_EVALUATORS_BY_POLICY_TYPE[policy])
    )
    daemon.main()
    assert used == [DataFreshness]
    assert FRESHNESS_EVALUATORS_BY_POLICY_TYPE[policy] is not DataFreshness


def evaluate(instance: dg.DagsterInstance) -> FreshnessState:
    """Return the state of the matrix."""
    node = defs.resolve_asset_graph().get(MATRIX_KEY)
    return asyncio.run(DataFreshness().evaluate_freshness(LoadingContextForTest(instance), node))
