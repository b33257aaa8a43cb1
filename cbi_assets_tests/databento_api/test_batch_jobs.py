"""Batch jobs: found by their parameters, submitted once, within Databento's rate limits."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.databento_api.batch_jobs import (
    OutcomeUnknownError,
    RefusedError,
    find_job,
    get_job,
    list_job_states,
    submit_job,
)
from cbi_assets.databento_api.client import RateLimiter
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import NOW, Pauses, clients_of, request
from cbi_assets_tests.databento_api.vendor import Vendor

REQUEST = request("ZL", symbols=("ZL.v.0", "ZL.v.1"))


def test_find_job_matches_parameters_in_any_symbol_order(vendor: Vendor) -> None:
    clients = clients_of(vendor)
    assert find_job(clients, REQUEST, NOW) is None
    bought = submit_job(clients, REQUEST)
    found = find_job(clients, replace(REQUEST, symbols=("ZL.v.1", "ZL.v.0")), NOW)
    assert found is not None
    assert (found.id, found.received_at) == (bought.id, NOW)
    assert find_job(clients, REQUEST, NOW, {bought.id}) is None


@pytest.mark.parametrize(
    "change",
    [{"schema": "ohlcv-1d"}, {"symbols": ("ZL.v.0",)}, {"symbols": ("ZL.v.0", "ZL.v.2")},
     {"stype_in": "raw_symbol"}, {"start": dt.date(2025, 1, 26)}, {"end": dt.date(2025, 2, 5)},
     {"dataset": "XNAS.ITCH"}],
)  # fmt: skip
def test_find_job_ignores_a_job_for_another_request(vendor: Vendor, change: dict[str, Any]) -> None:
    clients = clients_of(vendor)
    submit_job(clients, REQUEST)
    assert find_job(clients, replace(REQUEST, **change), NOW) is None


@pytest.mark.parametrize("change", [{"encoding": "csv"}, {"compression": "none"},
                                    {"split_duration": "day"}])  # fmt: skip
def test_find_job_ignores_a_job_in_another_encoding(vendor: Vendor, change: dict[str, str]) -> None:
    wanted = Wanted(
        "GLBX.MDP3", "ohlcv-1h", REQUEST.symbols, "continuous", REQUEST.start, REQUEST.end
    )
    plain = {"encoding": "dbn", "compression": "zstd", "split_duration": "month"}
    vendor.add_job(wanted, plain | change)
    clients = clients_of(vendor)
    assert find_job(clients, REQUEST, NOW) is None
    job = vendor.add_job(wanted, plain)
    found = find_job(clients, REQUEST, NOW)
    assert found is not None
    assert found.id == job.id


def test_find_job_ignores_jobs_received_more_than_an_hour_before(vendor: Vendor) -> None:
    clients = clients_of(vendor)
    submit_job(clients, REQUEST)
    assert find_job(clients, REQUEST, NOW + dt.timedelta(minutes=59)) is not None
    assert find_job(clients, REQUEST, NOW + dt.timedelta(minutes=61)) is None


def test_find_job_returns_expired_jobs(vendor: Vendor) -> None:
    clients = clients_of(vendor)
    vendor.jobs[submit_job(clients, REQUEST).id].expired = True
    found = find_job(clients, REQUEST, NOW)
    assert found is not None
    assert found.state == "expired"


def test_list_job_states_follows_a_job_to_done(vendor: Vendor) -> None:
    clients = clients_of(vendor)
    job = submit_job(clients, REQUEST)
    assert list_job_states(clients, NOW) == {job.id: "processing"}
    assert list_job_states(clients, NOW) == {job.id: "done"}
    assert get_job(clients, job.id).cost_usd == pytest.approx(vendor.jobs[job.id].cost)


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("400", RefusedError), ("422", RefusedError), ("401", UsageError), ("403", UsageError),
     ("408", OutcomeUnknownError), ("500", OutcomeUnknownError), ("502", OutcomeUnknownError),
     ("504", OutcomeUnknownError), ("lost", OutcomeUnknownError), ("dropped", OutcomeUnknownError),
     ("stall", OutcomeUnknownError)],
)  # fmt: skip
def test_submit_job_is_not_retried(vendor: Vendor, kind: str, raised: type[Exception]) -> None:
    vendor.fail("batch.submit_job", kind)
    pauses = Pauses()
    with pytest.raises(raised) as error:
        submit_job(clients_of(vendor, timeout=0.3, pauses=pauses), REQUEST)
    assert "\n" not in str(error.value)
    assert vendor.key not in str(error.value)
    assert len(vendor.requests_to("batch.submit_job")) == 1
    assert pauses == []


def test_submit_job_raises_outcome_unknown_for_a_malformed_response(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in ({}, {"id": "../../x", "state": "queued", "ts_received": NOW.isoformat()}, []):
        monkeypatch.setattr(vendor, "batch_submit_job", lambda params, a=answer: a)
        with pytest.raises(OutcomeUnknownError, match="unknown whether"):
            submit_job(clients_of(vendor), REQUEST)


def test_get_job_raises_for_an_unknown_state(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = clients_of(vendor)
    job = submit_job(clients, REQUEST)
    monkeypatch.setattr(vendor, "_state", lambda job: "frozen")
    with pytest.raises(ServiceError, match="frozen"):
        get_job(clients, job.id)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 25))
def test_rate_limiter_spaces_calls_and_waits_only_if_needed(gaps: list[float], calls: int) -> None:
    now = 0.0
    made: list[float] = []

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    limiter = RateLimiter(calls, 60.0, lambda: now)
    for gap in gaps:
        now += gap
        limiter.wait(pause)
        made.append(now)
    for first, later in zip(made, made[calls:], strict=False):
        assert later - first >= 60.0 - 1e-6
    assert made[min(calls, len(made)) - 1] == pytest.approx(sum(gaps[: min(calls, len(made))]))


def test_submit_job_waits_for_twenty_a_minute(vendor: Vendor) -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    clients = replace(clients_of(vendor), pause=pause)
    clients.submissions.monotonic = lambda: now[0]
    one_day = replace(REQUEST, end=dt.date(2025, 1, 28))
    for _ in range(41):
        submit_job(clients, one_day)
    assert now[0] >= 120.0
    assert len(vendor.jobs) == 41
