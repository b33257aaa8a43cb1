"""An approval is valid for one plan, up to a ceiling, once; one edited by hand is invalid."""

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
from cbi_assets.session import Project, Session, open_session
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.downloads.test_plan_model import OTHER, REQUEST, plan

NOW = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
PLAN = plan(REQUEST, OTHER)
"""Quoted at 0.05 USD."""


@pytest.fixture
def session(project: Project) -> Iterator[Session]:
    with open_session(project, now=NOW) as opened:
        yield opened


def approve_as_ada(session: Session, chosen: Plan = PLAN, **change: Any) -> Approval:
    options: dict[str, Any] = {"by": "Ada", "max_usd": 1.0} | change
    return approve(session, chosen, **options)


def refusal(session: Session, code: str, **options: Any) -> str:
    """The one line of the ApprovalError that find_valid raises, which has this code."""
    with pytest.raises(ApprovalError) as error:
        find_valid(session, PLAN, **options)
    assert error.value.code == code
    line = str(error.value)
    assert "\n" not in line
    assert f"`cbi approve {PLAN.plan_hash[:12]} --by NAME --max-usd N`" in line
    return line


@pytest.mark.both_warehouses
def test_approve_records_everything_the_plan_requests(session: Session) -> None:
    given = approve_as_ada(session, expires=dt.date(2025, 4, 30))
    assert find_valid(session, PLAN) == given
    assert (given.plan_hash, given.max_usd, given.shown_usd) == (PLAN.plan_hash, 1.0, 0.05)
    assert given.symbols == ("ZL.v.0", "ZS.v.0")
    assert (given.datasets, given.schemas) == (("GLBX.MDP3",), ("ohlcv-1h",))
    assert (given.start_date, given.end_date) == (dt.date(2025, 1, 6), dt.date(2025, 1, 9))
    assert given.request_ids == tuple(sorted([REQUEST.request_id, OTHER.request_id]))
    assert (given.approved_by, given.approved_at) == ("Ada", NOW)
    assert given.expires_at == dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    assert given.seal == given.compute_seal()


def test_find_valid_raises_without_an_approval(session: Session) -> None:
    assert "not approved" in refusal(session, "none")


def test_find_valid_raises_if_only_another_plan_is_approved(session: Session) -> None:
    other = plan(replace(REQUEST, cost_usd=0.9))
    approve_as_ada(session, other)
    assert f"for other plans: {other.plan_hash[:12]}" in refusal(session, "none")


def test_find_valid_raises_after_the_expiry(session: Session) -> None:
    approve_as_ada(session, expires=dt.date(2025, 4, 1))
    end = dt.datetime(2025, 4, 2, tzinfo=dt.UTC)
    session.now = end - dt.timedelta(microseconds=1)
    assert find_valid(session, PLAN)
    session.now = end
    assert "expired on 2025-04-02 at 00:00 UTC" in refusal(session, "expired")
    # nothing was bought on it, so there is nothing to download either
    refusal(session, "expired", to_fetch=True)


def test_find_valid_allows_downloading_after_the_expiry_if_begun(session: Session) -> None:
    given = approve_as_ada(session, expires=dt.date(2025, 4, 1))
    record_use(session, given, "begun")
    session.now = NOW + dt.timedelta(days=9)
    assert find_valid(session, PLAN, to_fetch=True) == given
    refusal(session, "expired")


def test_find_valid_prefers_a_begun_approval(session: Session) -> None:
    begun = approve_as_ada(session)
    record_use(session, begun, "begun")
    session.now = NOW + dt.timedelta(hours=1)
    approve_as_ada(session)
    assert find_valid(session, PLAN).approval_id == begun.approval_id
    assert [entry.state for entry in list_approvals(session)] == ["begun", "valid"]


def test_find_valid_raises_for_a_used_up_approval(session: Session) -> None:
    given = approve_as_ada(session)
    record_use(session, given, "begun")
    record_use(session, given, "finished")
    session.now = NOW + dt.timedelta(days=3)
    record_use(session, given, "finished")
    assert "used up: its download finished on 2025-04-01" in refusal(session, "used up")
    refusal(session, "used up", to_fetch=True)
    uses = session.warehouse.query("SELECT event FROM `ops.approval_uses` ORDER BY event")
    assert uses["event"].to_list() == ["begun", "finished"]
    assert approve_as_ada(session) == find_valid(session, PLAN)


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


@pytest.mark.sampled(2)
@pytest.mark.parametrize("column", EDITS)
def test_find_valid_raises_for_a_row_edited_by_hand(session: Session, column: str) -> None:
    given = plan(replace(REQUEST, cost_usd=0.9)) if column == "plan_hash" else PLAN
    approve_as_ada(session, given, expires=dt.date(2025, 5, 1))
    session.warehouse.transact(
        [Statement(f"UPDATE `ops.approvals` SET {column} = {EDITS[column]} WHERE TRUE")]
    )
    assert "does not match its seal" in refusal(session, "edited")
    assert list_approvals(session)[0].state == "edited"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_usd": 0.04}, "--max-usd 0.04: the plan was quoted at 0.05 USD"),
        ({"max_usd": float("nan")}, "--max-usd nan: not an amount"),
        ({"max_usd": float("inf")}, "--max-usd inf: not an amount"),
        ({"max_usd": -1.0}, "--max-usd -1.0: not an amount"),
        ({"by": "  "}, "--by: a person's name is needed"),
        ({"expires": dt.date(2025, 3, 31)}, "--expires 2025-03-31: in the past"),
    ],
    ids=["above", "nan", "inf", "negative", "nobody", "past"],
)
def test_approve_raises_for_invalid_arguments(
    session: Session, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        approve_as_ada(session, **change)
    assert list_approvals(session) == []


def test_approve_accepts_the_exact_ceiling_and_rejects_an_empty_plan(session: Session) -> None:
    approve_as_ada(session, max_usd=0.05)
    with pytest.raises(UsageError, match="it has no requests"):
        approve_as_ada(session, plan())


def test_approve_accepts_an_estimate_above_the_ceiling(session: Session) -> None:
    # the download gets a quote first, and stops above the ceiling
    guess = plan(replace(REQUEST, basis="estimated", cost_usd=50.0))
    assert approve_as_ada(session, guess).basis == "estimated"
