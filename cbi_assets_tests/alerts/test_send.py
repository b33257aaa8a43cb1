"""Each address gets an event once, and again only if it changes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from cbi_assets.alerts import Event, read_addresses, send, send_test
from cbi_assets.alerts.addresses import Address
from cbi_assets.alerts.send import MAX_LINES
from cbi_assets.alerts.sent_alerts import read_sent_alerts
from cbi_assets.config.settings import Home, Settings
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets_tests.alerts.endpoint import SECRET, Endpoint

CHECK = Event("check", "t.c", "2 rows", "c fails on t: ZL|1h (2 rows).", "`cbi check`.")
STALE = Event("stale", "t", "ZL 2025-01-06", "t is stale.", "`cbi plan --newest`.")
RUN = Event("run", "abc", "failed", "Run abc (load_drive) failed: no drive.", "`cbi ui`.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def addresses(home: Home, *urls: str) -> list[Address]:
    secret = SecretStr(" ".join(urls)) if urls else None
    return read_addresses(Settings(_env_file=None, cbi_home=home.root, cbi_alert_urls=secret))


def test_send_sends_an_event_once(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    first = send(home, to, [CHECK, STALE])
    assert first.sent == ("check:t.c", "stale:t")
    (message,) = endpoint.messages
    assert message["title"] == "cbi: 2 new"
    assert message["message"].splitlines() == [
        "- c fails on t: ZL|1h (2 rows). `cbi check`.",
        "- t is stale. `cbi plan --newest`.",
        f"({home.root})",
    ]
    assert message["type"] == "failure"
    assert send(home, to, [STALE, CHECK]).sent == ()
    assert len(endpoint.messages) == 1


def test_send_sends_an_event_again_if_its_state_changes(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    send(home, to, [CHECK, STALE])
    send(home, to, [replace(CHECK, state="3 rows", text="c: 3 rows."), STALE])
    assert endpoint.texts[1].splitlines()[:-1] == ["- c: 3 rows. `cbi check`."]


def test_send_sends_a_resolved_event_once_and_a_recurring_one_again(
    home: Home, endpoint: Endpoint
) -> None:
    to = addresses(home, endpoint.url)
    send(home, to, [CHECK])
    assert send(home, to, []).resolved == ("check:t.c",)
    assert endpoint.messages[1]["title"] == "cbi: 1 resolved"
    assert endpoint.texts[1].startswith("- Resolved: t.c (check).")
    assert endpoint.messages[1]["type"] == "success"
    send(home, to, [])
    assert len(endpoint.messages) == 2
    assert send(home, to, [CHECK]).sent == ("check:t.c",)


def test_send_sends_a_failed_run_once_and_never_resolves_it(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    send(home, to, [STALE])
    # nothing else was collected, so active events are neither sent again nor resolved
    assert send(home, to, None, run=RUN).sent == ("run:abc",)
    send(home, to, [STALE])
    send(home, to, None, run=RUN)
    assert [text.splitlines()[0] for text in endpoint.texts] == [
        "- t is stale. `cbi plan --newest`.",
        "- Run abc (load_drive) failed: no drive. `cbi ui`.",
    ]


def test_send_retries_a_failed_address_without_repeating_the_others(
    home: Home, endpoint: Endpoint, other: Endpoint
) -> None:
    to = addresses(home, endpoint.url, other.url)
    other.status = 500
    delivery = send(home, to, None, run=RUN)
    assert delivery.sent == ("run:abc",)
    assert delivery.failed == ("address 2 (JSON)",)
    with pytest.raises(
        ServiceError, match=r"address 2 \(JSON\) did not accept the alert"
    ) as raised:
        delivery.require_sent()
    assert SECRET not in str(raised.value)
    other.status = 200
    send(home, to, [CHECK]).require_sent()
    assert [len(text.splitlines()) for text in endpoint.texts] == [2, 2]
    assert [len(text.splitlines()) for text in other.texts] == [3]
    assert other.texts[0].startswith("- Run abc")


def test_send_stores_nothing_without_addresses(home: Home, endpoint: Endpoint) -> None:
    assert addresses(home) == []
    assert send(home, [], [CHECK], run=RUN).sent == ()
    assert not home.alerts.exists()
    assert send(home, addresses(home, endpoint.url), [CHECK]).sent == ("check:t.c",)


def test_send_sends_a_new_address_everything(
    home: Home, endpoint: Endpoint, other: Endpoint
) -> None:
    send(home, addresses(home, endpoint.url), [CHECK])
    both = addresses(home, other.url, endpoint.url)
    send(home, both, [CHECK])
    assert (len(endpoint.messages), len(other.messages)) == (1, 1)
    # an address that is no longer configured is dropped
    send(home, both[:1], [CHECK])
    assert set(read_sent_alerts(home).states) == {both[0].id}


def test_send_truncates_a_long_message(home: Home, endpoint: Endpoint) -> None:
    events = [replace(STALE, subject=f"t{n}") for n in range(MAX_LINES + 5)]
    send(home, addresses(home, endpoint.url), events)
    lines = endpoint.texts[0].splitlines()
    assert len(lines) == MAX_LINES + 1
    assert lines[-2] == "- … and 6 more: run `cbi alert`."
    assert endpoint.messages[0]["type"] == "warning"


def test_send_test_stores_nothing(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    assert send_test(home, to).sent == ("address 1 (JSON)",)
    assert endpoint.messages[0]["title"] == "cbi: test"
    assert endpoint.paths == [f"/{SECRET}"]
    assert not home.alerts.exists()


def test_no_address_is_written_or_logged(
    home: Home, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for status in (200, 500):
        endpoint.status = status
        to = addresses(home, endpoint.url)
        send(home, to, [replace(CHECK, state=str(status))])
    assert SECRET not in repr(to)
    with pytest.raises(
        UsageError, match="CBI_ALERT_URLS: address 2 of 2 is not an Apprise URL"
    ) as raised:
        addresses(home, endpoint.url, f"nothing://{SECRET}")
    assert SECRET not in str(raised.value)
    assert SECRET not in caplog.text
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert home.alerts in files
    assert all(SECRET not in path.read_text() for path in files)


def test_send_restores_log_levels(home: Home, endpoint: Endpoint) -> None:
    logger = logging.getLogger("apprise")
    before = logger.level
    send(home, addresses(home, endpoint.url), [CHECK])
    assert logger.level == before


@pytest.mark.parametrize("text", ["", "[]", '{"told": {}}', '{"told": {}, "runs": [{"a": 1}]}'])
def test_send_raises_one_line_for_a_malformed_record(
    home: Home, endpoint: Endpoint, text: str
) -> None:
    home.root.mkdir()
    home.alerts.write_text(text)
    with pytest.raises(UsageError, match=r"alerts\.json: malformed\. Delete it"):
        send(home, addresses(home, endpoint.url), [CHECK])
    assert home.alerts.read_text() == text


def test_the_record_is_written_atomically(home: Home, endpoint: Endpoint) -> None:
    send(home, addresses(home, endpoint.url), [CHECK], run=RUN)
    document = json.loads(home.alerts.read_text())
    assert list(document["told"].values()) == [{"run:abc": "failed", "check:t.c": "2 rows"}]
    assert {path.name for path in home.root.iterdir()} == {"alerts.json", "alerts.lock"}


def test_the_record_of_an_earlier_version_is_read(home: Home, endpoint: Endpoint) -> None:
    (address,) = addresses(home, endpoint.url)
    run = {"kind": "run", "subject": "abc", "state": "failed", "text": "Run abc.", "mend": "`cbi`."}
    told = {address.id: {"check:t.c": "2 rows"}}
    home.root.mkdir()
    home.alerts.write_text(json.dumps({"told": told, "runs": [run]}))
    assert send(home, [address], [CHECK]).sent == ("run:abc",)
    assert endpoint.texts[0].splitlines()[0] == "- Run abc. `cbi`."
