"""A standing approval buys the newest days once, inside its ceilings; else nothing is bought."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cbi_assets.alerts import collect
from cbi_assets.downloads.seal import StandingError
from cbi_assets.downloads.standing import find_standing, grant, revoke, spent_in_month
from cbi_assets.downloads.top_up import TopUp, top_up
from cbi_assets.downloads.wanted import Scope, survey
from cbi_assets.errors import CbiError, ServiceError, UsageError
from cbi_assets.session import Project, open_session
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.databento_api.bars import BAR_BYTES
from cbi_assets_tests.databento_api.buying import (
    NOW,
    clients_of,
    rows,
    states,
    submitted,
)
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import load_once, open_warehouse

USD = 4 * 19 * BAR_BYTES / 2**30 * 100_000
"""ZL's hours of 26, 27, 28 and 31 March 2025, at the vendor's price: 0.40 USD. It is 1 April."""


def grant_as_ada(project: Project, now: dt.datetime = NOW, **change: Any) -> str:
    options: dict[str, Any] = {
        "roots": ["ZL"],
        "schemas": ["ohlcv-1h"],
        "max_usd_per_run": 0.5,
        "max_usd_per_month": 0.9,
        "until": dt.date(2025, 12, 31),
        "by": "Ada",
    }
    with open_session(project, now=now) as session:
        return grant(session, **options | change).approval_id


def buy(project: Project, vendor: Vendor, now: dt.datetime = NOW, **options: Any) -> TopUp:
    return top_up(project, clients_of(vendor, **options), clock=lambda: now)


def refusal(project: Project, vendor: Vendor, code: str, now: dt.datetime = NOW) -> str:
    """The one line that refuses a top-up, after which nothing was submitted."""
    with pytest.raises(StandingError) as error:
        buy(project, vendor, now)
    assert error.value.code == code
    assert submitted(vendor) == 0
    assert rows(project) == []
    assert "\n" not in str(error.value)
    return str(error.value)


def spent(project: Project) -> float:
    with open_session(project, now=NOW) as session:
        return spent_in_month(session)


def test_top_up_buys_the_newest_days_once_and_counts_them(
    published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published)
    vendor.looks = 1
    done = buy(published, vendor)
    assert done.plan is not None
    assert [(r.root, r.schema, str(r.start), str(r.end)) for r in done.plan.requests] == [
        ("ZL", "ohlcv-1h", "2025-03-26", "2025-04-01")
    ]
    assert spent(published) == pytest.approx(USD)
    (row,) = rows(published)
    assert (row.state, row.quoted_usd) == ("downloaded", pytest.approx(USD))
    # nothing more is bought before the job is loaded, nor after
    waiting = buy(published, vendor)
    assert waiting.plan is None
    assert waiting.waiting == [f"ZL ohlcv-1h: {row.job_id} is downloaded, not loaded"]
    load_once(published, now=NOW)
    assert buy(published, vendor).plan is None
    assert submitted(vendor) == 1
    assert spent(published) == pytest.approx(USD)
    # the next morning costs 19 bars
    vendor.now = lambda: NOW + dt.timedelta(days=1)
    assert buy(published, vendor, NOW + dt.timedelta(days=1)).plan is not None
    assert spent(published) == pytest.approx(USD * 5 / 4)


@pytest.mark.full
def test_pending_day_is_bought_again_once_it_is_final(published: Project, vendor: Vendor) -> None:
    monday = dt.date(2025, 3, 31)
    grant_as_ada(published)
    vendor.looks = 1
    # 1 April is not complete yet; the 31st is pending in the job, and not in the API's answer
    vendor.conditions = {monday: ("pending", None)}
    first = buy(published, vendor)
    assert first.plan is not None
    assert [str(r.end) for r in first.plan.requests] == ["2025-03-29"]
    load_once(published, now=NOW)
    assert buy(published, vendor).plan is None
    vendor.conditions = {}
    second = buy(published, vendor)
    assert second.plan is not None
    assert [(str(r.start), str(r.end)) for r in second.plan.requests] == [
        ("2025-03-30", "2025-04-01")
    ]


@pytest.mark.full
def test_pending_day_is_bought_once_it_is_final_also_between_published_days(
    published: Project, vendor: Vendor
) -> None:
    """Monday 31 March is pending while Tuesday and Wednesday are bought: then it is a hole."""
    grant_as_ada(published)
    vendor.looks = 1
    vendor.conditions = {dt.date(2025, 3, 31): ("pending", None)}
    for morning in (NOW + dt.timedelta(days=1), NOW + dt.timedelta(days=2)):
        vendor.now = lambda morning=morning: morning  # type: ignore[misc]
        assert buy(published, vendor, morning).plan is not None
        load_once(published, now=morning)
    vendor.conditions = {}
    with open_session(published, now=morning) as session:
        scope = Scope(roots=("ZL",), timeframes=("1h",))
        (hole,) = [
            r for c in survey(session, scope).coverages for r in c.ranges if r.kind == "hole"
        ]
    assert hole.start <= dt.date(2025, 3, 31) < hole.end
    found = buy(published, vendor, morning)
    assert found.plan is not None
    assert [(r.start, r.end) for r in found.plan.requests] == [(hole.start, hole.end)]


@pytest.mark.full
def test_same_days_are_bought_again_if_the_job_had_them_as_pending(
    published: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant_as_ada(published)
    vendor.looks = 1
    answer = vendor.metadata_get_dataset_condition
    monkeypatch.setattr(vendor, "metadata_get_dataset_condition", lambda params: [])
    days = [dt.date(2025, 3, 26) + dt.timedelta(days=n) for n in range(6)]
    vendor.conditions = dict.fromkeys(days, ("pending", None))
    first = buy(published, vendor)
    load_once(published, now=NOW)
    vendor.conditions = {}
    monkeypatch.setattr(vendor, "metadata_get_dataset_condition", answer)
    second = buy(published, vendor)
    assert first.plan is not None
    assert second.plan is not None
    (before,), (again,) = first.plan.requests, second.plan.requests
    assert again.request_id == before.request_id  # the vendor is asked for the same
    (job,) = (row.job_id for row in rows(published) if row.plan_hash == first.plan.plan_hash)
    assert again.replaces == (job,)
    assert submitted(vendor) == 2
    load_once(published, now=NOW)  # the same bytes, so the books name the first job alone
    final = buy(published, vendor)
    assert (final.plan, final.waiting) == (None, [])
    tomorrow = NOW + dt.timedelta(days=1)
    vendor.now = lambda: tomorrow
    assert buy(published, vendor, tomorrow).plan is not None


def test_days_without_records_are_not_bought(
    published: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant_as_ada(published)
    monkeypatch.setattr(vendor, "metadata_get_record_count", lambda params: 0)
    done = buy(published, vendor)
    assert (done.plan, done.waiting, submitted(vendor)) == (None, [], 0)


def test_without_an_approval_nothing_is_bought(published: Project, vendor: Vendor) -> None:
    refusal(published, vendor, "none")
    assert vendor.log == []


def test_expired_or_revoked_approval_buys_nothing(published: Project, vendor: Vendor) -> None:
    given = grant_as_ada(published, until=dt.date(2025, 4, 1))
    refusal(published, vendor, "expired", NOW + dt.timedelta(days=1))
    with open_session(published, now=NOW) as session:
        assert "standing approval" not in {event.subject for event in collect(session)}
        session.now = NOW + dt.timedelta(days=1)
        (event,) = (e for e in collect(session) if e.subject == "standing approval")
        assert (event.kind, event.state) == ("decision", "expired")
        revoke(session, given, by="Ada")
    refusal(published, vendor, "revoked", NOW + dt.timedelta(days=1))


def test_plan_above_a_ceiling_buys_nothing(published: Project, vendor: Vendor) -> None:
    grant_as_ada(published, max_usd_per_run=USD - 0.001)
    assert "per run" in refusal(published, vendor, "run")
    grant_as_ada(published, max_usd_per_month=USD - 0.001)
    assert "per month" in refusal(published, vendor, "month")
    assert spent(published) == 0
    # the plan that was refused needs a person, who is alerted
    with open_session(published, now=NOW) as session:
        assert "decision:plan" in {event.key for event in collect(session)}
    grant_as_ada(published, max_usd_per_run=USD, max_usd_per_month=USD)
    assert buy(published, vendor).outcome is not None


def test_price_that_rises_after_the_count_buys_nothing(published: Project, vendor: Vendor) -> None:
    grant_as_ada(published)
    vendor.prices = [100_000, 100_001]
    with pytest.raises(UsageError, match="above the"):
        buy(published, vendor)
    assert submitted(vendor) == 0


def test_other_root_or_schema_buys_nothing(published: Project, vendor: Vendor) -> None:
    grant_as_ada(published, roots=["ES"], schemas=["ohlcv-1h"])
    assert buy(published, vendor).plan is None
    grant_as_ada(published, schemas=["ohlcv-1d", "ohlcv-1m"])
    assert buy(published, vendor).plan is None
    assert submitted(vendor) == 0


def test_edited_or_deleted_rows_and_an_open_key_buy_nothing(
    published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published, max_usd_per_run=0.01)
    table = "ops.standing_approvals"

    def change(sql: str) -> None:
        with open_warehouse(published, NOW) as warehouse:
            warehouse.transact([Statement(sql)])

    change(f"UPDATE `{table}` SET max_usd_per_run = 99.0 WHERE TRUE")
    assert "does not match its seal" in refusal(published, vendor, "seal")
    with open_session(published, now=NOW) as session:
        (event,) = (e for e in collect(session) if e.subject == "standing approval")
    assert (event.kind, event.state) == ("decision", "seal")
    change(f"DELETE FROM `{table}` WHERE TRUE")
    refusal(published, vendor, "deleted")
    published.home.standing_key.chmod(0o644)
    assert "its mode is 644" in refusal(published, vendor, "key")


def test_unknown_outcome_stays_counted_and_is_found_later(
    published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published)
    vendor.fail("batch.submit_job", "lost")
    vendor.fail("batch.list_jobs", "503", times=6)
    with pytest.raises(ServiceError):
        buy(published, vendor)
    assert states(published) == [("ZL", "submitting")]
    assert spent(published) == pytest.approx(USD)
    found = buy(published, vendor)
    assert found.plan is not None
    assert submitted(vendor) == 1
    assert spent(published) == pytest.approx(USD)
    assert len(vendor.jobs) == 1


def test_failed_purchase_stays_counted(published: Project, vendor: Vendor) -> None:
    grant_as_ada(published)
    vendor.fail("batch.submit_job", "400")
    with pytest.raises(CbiError, match="refused"):
        buy(published, vendor)
    assert spent(published) == pytest.approx(USD)
    buy(published, vendor)
    # 0.40 twice is below 0.90, and a third time would not be
    assert spent(published) == pytest.approx(2 * USD)


def test_interrupted_top_up_is_continued_under_its_own_approval_alone(
    published: Project, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    given = grant_as_ada(published)
    with monkeypatch.context() as patch:
        patch.setattr("cbi_assets.downloads.top_up.execute", killed)
        with pytest.raises(KeyboardInterrupt):
            buy(published, vendor)
    assert (submitted(vendor), spent(published)) == (0, pytest.approx(USD))
    assert buy(published, vendor).outcome is not None
    assert (submitted(vendor), spent(published)) == (1, pytest.approx(USD))
    with open_session(published, now=NOW) as session:
        assert find_standing(session).approval_id == given
