"""An approval is for one plan, up to a ceiling, once; and one edited by hand counts for nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cbi_assets.downloads.approvals import (
    Approval,
    ApprovalError,
    approve,
    find_valid,
    list_approvals,
    record_use,
)
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import UsageError
from cbi_assets.session import Project
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets_tests.downloads.test_plan_model import OTHER, REQUEST, plan
from cbi_assets_tests.helpers import open_warehouse

NOW = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
PLAN = plan(REQUEST, OTHER)
"""Quoted at 0.05 USD."""


@pytest.fixture
def opened(project: Project) -> Iterator[Warehouse]:
    with open_warehouse(project) as warehouse:
        yield warehouse


def allow(warehouse: Warehouse, chosen: Plan = PLAN, **change: Any) -> Approval:
    options: dict[str, Any] = {"by": "Ada", "max_usd": 1.0, "now": NOW} | change
    return approve(warehouse, chosen, **options)


def refusal(warehouse: Warehouse, now: dt.datetime = NOW, **options: Any) -> str:
    with pytest.raises(ApprovalError) as error:
        find_valid(warehouse, PLAN, now, **options)
    line = str(error.value)
    assert "\n" not in line
    assert f"`cbi approve {PLAN.plan_hash[:12]} --by NAME --max-usd N`" in line
    return line


@pytest.mark.both_warehouses
def test_an_approval_says_all_that_it_is_for(opened: Warehouse) -> None:
    given = allow(opened, expires=dt.date(2025, 4, 30))
    assert find_valid(opened, PLAN, NOW) == given
    assert (given.plan_hash, given.max_usd, given.shown_usd) == (PLAN.plan_hash, 1.0, 0.05)
    assert given.symbols == ("ZL.v.0", "ZS.v.0")
    assert (given.datasets, given.schemas) == (("GLBX.MDP3",), ("ohlcv-1h",))
    assert (given.start_date, given.end_date) == (dt.date(2025, 1, 6), dt.date(2025, 1, 9))
    assert given.request_ids == tuple(sorted([REQUEST.request_id, OTHER.request_id]))
    assert (given.approved_by, given.approved_at) == ("Ada", NOW)
    assert given.expires_at == dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    assert given.seal == given.sealed()


def test_none_at_all(opened: Warehouse) -> None:
    assert "not approved" in refusal(opened)


def test_one_for_another_plan(opened: Warehouse) -> None:
    other = plan(replace(REQUEST, cost_usd=0.9))
    allow(opened, other)
    assert f"for other plans ({other.plan_hash[:12]})" in refusal(opened)


def test_an_expired_one(opened: Warehouse) -> None:
    allow(opened, expires=dt.date(2025, 4, 1))
    end = dt.datetime(2025, 4, 2, tzinfo=dt.UTC)
    assert find_valid(opened, PLAN, end - dt.timedelta(microseconds=1))
    assert "expired on 2025-04-02 at 00:00 UTC" in refusal(opened, end)
    # nothing was bought on it, so there is nothing to fetch either
    assert "expired" in refusal(opened, end, to_fetch=True)


def test_what_was_bought_may_be_fetched_after_the_expiry(opened: Warehouse) -> None:
    given = allow(opened, expires=dt.date(2025, 4, 1))
    record_use(opened, given, "begun", NOW)
    later = NOW + dt.timedelta(days=9)
    assert find_valid(opened, PLAN, later, to_fetch=True) == given
    assert "expired" in refusal(opened, later)


def test_a_begun_one_can_be_resumed_and_goes_first(opened: Warehouse) -> None:
    begun = allow(opened)
    record_use(opened, begun, "begun", NOW)
    allow(opened, now=NOW + dt.timedelta(hours=1))
    assert find_valid(opened, PLAN, NOW).approval_id == begun.approval_id
    assert [entry.state for entry in list_approvals(opened, NOW)] == ["begun", "valid"]


def test_a_used_up_one(opened: Warehouse) -> None:
    given = allow(opened)
    record_use(opened, given, "begun", NOW)
    record_use(opened, given, "finished", NOW)
    record_use(opened, given, "finished", NOW + dt.timedelta(days=3))
    assert "used up: its download was finished on 2025-04-01" in refusal(opened)
    assert "used up" in refusal(opened, to_fetch=True)
    uses = opened.query("SELECT event FROM `ops.approval_uses` ORDER BY event")
    assert uses["event"].to_list() == ["begun", "finished"]
    assert allow(opened, now=NOW + dt.timedelta(hours=1)) == find_valid(opened, PLAN, NOW)


EDITS = {
    "max_usd": "99.0",
    "plan_hash": f"'{PLAN.plan_hash}'",
    "expires_at": "TIMESTAMP '2099-01-01 00:00:00+00'",
    "approved_by": "'Grace'",
    "approved_at": "TIMESTAMP '2024-01-01 00:00:00+00'",
    "symbols": "['ZL.FUT']",
    "schemas": "['ohlcv-1m']",
    "datasets": "['XNAS.ITCH']",
    "request_ids": "['0']",
    "end_date": "DATE '2030-01-01'",
    "start_date": "DATE '2010-01-01'",
    "shown_usd": "0.01",
    "basis": "'estimated'",
    "seal": "'0'",
}


@pytest.mark.parametrize("column", EDITS)
def test_one_edited_by_hand(opened: Warehouse, column: str) -> None:
    given = plan(replace(REQUEST, cost_usd=0.9)) if column == "plan_hash" else PLAN
    allow(opened, given, expires=dt.date(2025, 5, 1))
    opened.transact(
        [Statement(f"UPDATE `ops.approvals` SET {column} = {EDITS[column]} WHERE TRUE")]
    )
    assert "does not match its seal: somebody edited it" in refusal(opened)
    assert list_approvals(opened, NOW)[0].state == "edited"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_usd": 0.04}, "--max-usd 0.04: the plan was quoted at 0.05 USD"),
        ({"max_usd": float("nan")}, "--max-usd nan: not an amount"),
        ({"max_usd": float("inf")}, "--max-usd inf: not an amount"),
        ({"max_usd": -1.0}, "--max-usd -1.0: not an amount"),
        ({"by": "  "}, "--by: a person's name is needed"),
        ({"expires": dt.date(2025, 3, 31)}, "--expires 2025-03-31: that day is over"),
    ],
    ids=["above", "nan", "inf", "negative", "nobody", "past"],
)
def test_what_is_not_entered(opened: Warehouse, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        allow(opened, **change)
    assert list_approvals(opened, NOW) == []


def test_the_exact_ceiling_is_enough_and_an_empty_plan_needs_none(opened: Warehouse) -> None:
    allow(opened, max_usd=0.05)
    with pytest.raises(UsageError, match="it asks for nothing"):
        allow(opened, plan())


def test_an_estimate_above_the_ceiling_may_be_approved(opened: Warehouse) -> None:
    # the download asks for the price again and stops there
    guess = plan(replace(REQUEST, basis="estimated", cost_usd=50.0))
    assert allow(opened, guess).basis == "estimated"
