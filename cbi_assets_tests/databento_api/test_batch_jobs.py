"""Batch jobs: found by what they ask for, asked for inside the vendor's limits."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.databento_api.batch_jobs import Jobs, Limit, OutcomeUnknownError, RefusedError
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import NOW, Pauses, clients_of, request
from cbi_assets_tests.databento_api.vendor import Vendor

ASKED = request("ZL", symbols=("ZL.v.0", "ZL.v.1"))


def test_a_job_is_found_by_what_it_asks_for(vendor: Vendor) -> None:
    jobs = Jobs(clients_of(vendor))
    assert jobs.find(ASKED, NOW) is None
    bought = jobs.submit(ASKED)
    found = jobs.find(replace(ASKED, symbols=("ZL.v.1", "ZL.v.0")), NOW)
    assert found is not None
    assert (found.id, found.received_at) == (bought.id, NOW)
    assert jobs.find(ASKED, NOW, {bought.id}) is None


@pytest.mark.parametrize(
    "change",
    [{"schema": "ohlcv-1d"}, {"symbols": ("ZL.v.0",)}, {"symbols": ("ZL.v.0", "ZL.v.2")},
     {"stype_in": "raw_symbol"}, {"start": dt.date(2025, 1, 26)}, {"end": dt.date(2025, 2, 5)},
     {"dataset": "XNAS.ITCH"}],
)  # fmt: skip
def test_a_job_that_differs_is_another(vendor: Vendor, change: dict[str, Any]) -> None:
    jobs = Jobs(clients_of(vendor))
    jobs.submit(ASKED)
    assert jobs.find(replace(ASKED, **change), NOW) is None


@pytest.mark.parametrize("change", [{"encoding": "csv"}, {"compression": "none"},
                                    {"split_duration": "day"}])  # fmt: skip
def test_a_job_in_another_form_is_another(vendor: Vendor, change: dict[str, str]) -> None:
    wanted = Wanted("GLBX.MDP3", "ohlcv-1h", ASKED.symbols, "continuous", ASKED.start, ASKED.end)
    plain = {"encoding": "dbn", "compression": "zstd", "split_duration": "month"}
    vendor.add_job(wanted, plain | change)
    jobs = Jobs(clients_of(vendor))
    assert jobs.find(ASKED, NOW) is None
    job = vendor.add_job(wanted, plain)
    found = jobs.find(ASKED, NOW)
    assert found is not None
    assert found.id == job.id


def test_a_job_from_long_before_the_intent_is_not_its_own(vendor: Vendor) -> None:
    jobs = Jobs(clients_of(vendor))
    jobs.submit(ASKED)
    assert jobs.find(ASKED, NOW + dt.timedelta(minutes=59)) is not None
    assert jobs.find(ASKED, NOW + dt.timedelta(minutes=61)) is None


def test_an_expired_job_is_found_too(vendor: Vendor) -> None:
    jobs = Jobs(clients_of(vendor))
    vendor.jobs[jobs.submit(ASKED).id].expired = True
    found = jobs.find(ASKED, NOW)
    assert found is not None
    assert found.state == "expired"


def test_states_by_job(vendor: Vendor) -> None:
    jobs = Jobs(clients_of(vendor))
    job = jobs.submit(ASKED)
    assert jobs.states(NOW) == {job.id: "processing"}
    assert jobs.states(NOW) == {job.id: "done"}
    assert jobs.look(job.id).cost_usd == pytest.approx(vendor.jobs[job.id].cost)


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("400", RefusedError), ("422", RefusedError), ("401", UsageError), ("403", UsageError),
     ("408", OutcomeUnknownError), ("500", OutcomeUnknownError), ("502", OutcomeUnknownError),
     ("504", OutcomeUnknownError), ("lost", OutcomeUnknownError), ("dropped", OutcomeUnknownError),
     ("stall", OutcomeUnknownError)],
)  # fmt: skip
def test_a_submission_is_asked_once(vendor: Vendor, kind: str, raised: type[Exception]) -> None:
    vendor.fail("batch.submit_job", kind)
    pauses = Pauses()
    with pytest.raises(raised) as told:
        Jobs(clients_of(vendor, timeout=0.3, pauses=pauses)).submit(ASKED)
    assert "\n" not in str(told.value)
    assert vendor.key not in str(told.value)
    assert len(vendor.asked("batch.submit_job")) == 1
    assert pauses == []


def test_an_answer_that_is_no_job_leaves_it_open(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in ({}, {"id": "../../x", "state": "queued", "ts_received": NOW.isoformat()}, []):
        monkeypatch.setattr(vendor, "batch_submit_job", lambda params, a=answer: a)
        with pytest.raises(OutcomeUnknownError, match="no telling"):
            Jobs(clients_of(vendor)).submit(ASKED)


def test_a_state_that_is_not_known_is_told(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(clients_of(vendor))
    job = jobs.submit(ASKED)
    monkeypatch.setattr(vendor, "_state", lambda job: "frozen")
    with pytest.raises(ServiceError, match="frozen"):
        jobs.look(job.id)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 25))
def test_no_span_holds_more_calls_than_the_limit(gaps: list[float], calls: int) -> None:
    now = 0.0
    made: list[float] = []

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    limit = Limit(calls, 60.0, pause, lambda: now)
    for gap in gaps:
        now += gap
        limit.wait()
        made.append(now)
    for first, later in zip(made, made[calls:], strict=False):
        assert later - first >= 60.0 - 1e-6
    # and nobody waits without need
    assert made[min(calls, len(made)) - 1] == pytest.approx(sum(gaps[: min(calls, len(made))]))


def test_submissions_are_held_to_twenty_a_minute(vendor: Vendor) -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    clients = replace(clients_of(vendor), pause=pause)
    jobs = Jobs(clients, lambda: now[0])
    small = replace(ASKED, end=dt.date(2025, 1, 28))
    for _ in range(41):
        jobs.submit(small)
    assert now[0] >= 120.0
    assert len(vendor.jobs) == 41
