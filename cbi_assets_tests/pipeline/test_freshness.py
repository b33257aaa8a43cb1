"""Built tables are late never after just a weekend, and never before the bars' own check fails."""

from __future__ import annotations

from itertools import pairwise

import dagster as dg
import pytest

from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.config.universe import load_universe
from cbi_assets.definitions import defs
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.built.built_assets import FRESHNESS
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
