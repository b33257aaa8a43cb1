"""Quotes from the real client against a server on loopback; errors on one line, without the key."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
import requests
from databento import BentoClientError, BentoServerError
from pydantic import SecretStr

from cbi_assets.databento_api.client import BASE_URL, MAX_ATTEMPTS, Clients, connect, retry_after
from cbi_assets.databento_api.quotes import Quote, available_until, get_quote
from cbi_assets.errors import CbiError, ServiceError, UsageError
from cbi_assets_tests.databento_api.buying import NOW, Pauses, clients_of, request
from cbi_assets_tests.databento_api.vendor import KEY, Vendor


def failing(error: Exception, times: int = 99) -> tuple[Any, list[int]]:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "answer"

    return call, calls


def clients(pauses: Pauses | None = None, key: str = KEY) -> Clients:
    return connect(SecretStr(key), "http://127.0.0.1:1", Pauses() if pauses is None else pauses)


def http_error(status: int, message: str = "no", **headers: str) -> Exception:
    kind = BentoServerError if status >= 500 else BentoClientError
    return kind(http_status=status, message=message, headers=headers)


def test_get_quote_returns_count_size_and_price(vendor: Vendor) -> None:
    found = get_quote(clients_of(vendor), request())
    records = found.records
    assert records > 0
    assert found.bytes == records * 56  # a bar has 56 bytes
    assert found.cost_usd == pytest.approx(records * 56 / 2**30 * vendor.usd_per_gib)
    sent = vendor.requests_to("metadata.get_cost")[0].params
    assert sent["symbols"] == "ZL.v.0"
    assert sent["schema"] == "ohlcv-1h"
    assert sent["stype_in"] == "continuous"
    assert (sent["start"][:10], sent["end"][:10]) == ("2025-01-27", "2025-02-04")
    assert {logged.key for logged in vendor.log} == {KEY}


def test_available_until_is_the_end_of_the_range(vendor: Vendor) -> None:
    until = available_until(clients_of(vendor), "GLBX.MDP3", ["ohlcv-1d"])
    assert until == dt.datetime.combine(NOW.date(), dt.time(), dt.UTC)


@pytest.mark.parametrize(
    ("answer", "until"),
    [
        ({"end": "2025-04-01T00:00:00.123456789Z"}, "2025-04-01T00:00:00.123456+00:00"),
        ({"end": "2025-04-01"}, "2025-04-01T00:00:00+00:00"),
        (
            {"end": "2025-04-01", "schema": {"ohlcv-1d": {"end": "2025-03-31T00:00:00Z"},
                                             "mbo": {"end": "2020-01-01"}}},
            "2025-03-31T00:00:00+00:00",
        ),
    ],
    ids=["nanoseconds", "date", "schema"],
)  # fmt: skip
def test_available_until_is_the_earliest_end_of_the_schemas(
    answer: dict[str, Any], until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = clients()
    monkeypatch.setattr(opened.metadata, "get_dataset_range", lambda dataset: answer)
    assert available_until(opened, "GLBX.MDP3", ["ohlcv-1d"]) == dt.datetime.fromisoformat(until)


@pytest.mark.parametrize("answer", [{}, {"end": None}, {"end": "soon"}, [], None])
def test_available_until_raises_for_a_response_without_end(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = clients()
    monkeypatch.setattr(opened.metadata, "get_dataset_range", lambda dataset: answer)
    with pytest.raises(ServiceError, match="returned no end"):
        available_until(opened, "GLBX.MDP3", ["ohlcv-1d"])


@pytest.mark.parametrize("answer", [None, "1.0", -0.5, float("nan"), True, {}])
def test_get_quote_raises_for_a_price_that_is_not_an_amount(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = clients()
    monkeypatch.setattr(opened.metadata, "get_record_count", lambda **arguments: 1)
    monkeypatch.setattr(opened.metadata, "get_billable_size", lambda **arguments: 56)
    monkeypatch.setattr(opened.metadata, "get_cost", lambda **arguments: answer)
    with pytest.raises(
        ServiceError, match=r"get_cost of ZL\.v\.0 ohlcv-1h 2025-01-27 to 2025-02-04"
    ):
        get_quote(opened, request())
    monkeypatch.setattr(opened.metadata, "get_cost", lambda **arguments: 0)
    assert get_quote(opened, request()) == Quote(1, 56, 0.0)


def test_call_retries_transient_errors_with_growing_pauses() -> None:
    pauses = Pauses()
    call, calls = failing(http_error(503), times=4)
    assert clients(pauses).call("count", call) == "answer"
    assert len(calls) == 5
    # 1, 2, 4, 8 seconds, a quarter more or less
    for pause, middle in zip(pauses, (1, 2, 4, 8), strict=True):
        assert middle * 0.75 <= pause <= middle * 1.25


def test_call_waits_as_long_as_retry_after_says() -> None:
    pauses = Pauses()
    call, _ = failing(http_error(429, **{"Retry-After": "7"}), times=1)
    clients(pauses).call("count", call)
    assert pauses == [7.0]
    assert retry_after({"retry-after": "-3"}) == 0.0
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (http_error(500), "500 no"),
        (requests.ConnectionError("gone"), "127.0.0.1:1 is unreachable, or dropped the connection"),
        (requests.ReadTimeout("slow"), "127.0.0.1:1 did not respond in time"),
    ],
    ids=["500", "no connection", "stall"],
)
def test_call_raises_service_error_after_the_last_attempt(error: Exception, reason: str) -> None:
    call, calls = failing(error)
    with pytest.raises(
        ServiceError, match=f"could not count after {MAX_ATTEMPTS} attempts: {reason}"
    ):
        clients().call("count", call)
    assert len(calls) == MAX_ATTEMPTS
    # a call that may have succeeded is not repeated
    call, calls = failing(error)
    with pytest.raises(ServiceError, match="could not submit: "):
        clients().call("submit", call, idempotent=False)
    assert len(calls) == 1


def test_call_retries_429_even_if_not_idempotent() -> None:
    call, calls = failing(http_error(429), times=1)
    assert clients().call("submit", call, idempotent=False) == "answer"
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, UsageError), (403, UsageError), (400, ServiceError), (422, ServiceError)],
)
def test_call_raises_permanent_errors_at_once(status: int, kind: type[CbiError]) -> None:
    call, calls = failing(http_error(status, "first\n\nsecond line"))
    with pytest.raises(kind, match="first second line") as error:
        clients().call("count", call)
    assert len(calls) == 1
    assert ("DATABENTO_API_KEY" in str(error.value)) == (kind is UsageError)


def test_errors_do_not_contain_the_key() -> None:
    key = "db-SECRETSECRETSECRET"
    header = base64.b64encode(f"{key}:".encode()).decode()
    call, _ = failing(http_error(400, f"key {key}, header Basic {header}, {key}"))
    opened = clients(key=key)
    with pytest.raises(ServiceError, match=r"\*{8}") as error:
        opened.call("count", call)
    assert key not in str(error.value)
    assert header not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert key not in repr(opened)


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr("  \n")])
def test_connect_raises_without_a_key(key: SecretStr | None) -> None:
    with pytest.raises(UsageError, match="DATABENTO_API_KEY: not set"):
        connect(key)


@pytest.mark.parametrize(
    "url",
    ["https://hist.databento.com.evil.example", "http://10.0.0.1:80", "http://hist.databento.com",
     "https://127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1.evil.example",
     "http://127.0.0.1@evil.example", "127.0.0.1:80"],
)  # fmt: skip
def test_connect_refuses_other_hosts(url: str) -> None:
    with pytest.raises(UsageError, match="CBI_DATABENTO_ENDPOINT: "):
        connect(SecretStr(KEY), url)


def test_connect_accepts_databento_and_loopback() -> None:
    assert connect(SecretStr(KEY)).host == "hist.databento.com"
    assert connect(SecretStr(KEY), BASE_URL + "/").host == "hist.databento.com"
    assert connect(SecretStr(KEY), "http://localhost:8123/").host == "localhost:8123"
    assert connect(SecretStr(KEY), "http://[::1]:8123").host == "[::1]:8123"
