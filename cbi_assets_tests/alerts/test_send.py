"""Each address is told once of what stands, and not again until it changes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from cbi_assets.alerts import Event, read_addresses, send_test, tell
from cbi_assets.alerts.addresses import Address
from cbi_assets.alerts.send import MOST_LINES
from cbi_assets.alerts.sent_alerts import read_memory
from cbi_assets.config.settings import Home, Settings
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets_tests.alerts.endpoint import SECRET, Endpoint

CHECK = Event("check", "t.c", "2 rows", "c does not hold on t: ZL|1h (2 rows).", "`cbi check`.")
STALE = Event("stale", "t", "ZL 2025-01-06", "t is stale.", "`cbi plan --newest`.")
RUN = Event("run", "abc", "failed", "Run abc (load_drive) failed: no drive.", "`cbi ui`.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def addresses(home: Home, *urls: str) -> list[Address]:
    secret = SecretStr(" ".join(urls)) if urls else None
    return read_addresses(Settings(_env_file=None, cbi_home=home.root, cbi_alert_urls=secret))


def test_an_event_is_told_once(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    first = tell(home, to, [CHECK, STALE])
    assert first.told == ("check:t.c", "stale:t")
    (message,) = endpoint.messages
    assert message["title"] == "cbi: 2 to look at"
    assert message["message"].splitlines() == [
        "- c does not hold on t: ZL|1h (2 rows). `cbi check`.",
        "- t is stale. `cbi plan --newest`.",
        f"({home.root})",
    ]
    assert message["type"] == "failure"
    assert tell(home, to, [STALE, CHECK]).told == ()
    assert len(endpoint.messages) == 1


def test_it_is_told_again_when_it_changes(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    tell(home, to, [CHECK, STALE])
    tell(home, to, [replace(CHECK, state="3 rows", text="c: 3 rows."), STALE])
    assert endpoint.texts[1].splitlines()[:-1] == ["- c: 3 rows. `cbi check`."]


def test_what_is_over_is_told_once_and_is_news_when_it_comes_back(
    home: Home, endpoint: Endpoint
) -> None:
    to = addresses(home, endpoint.url)
    tell(home, to, [CHECK])
    assert tell(home, to, []).over == ("check:t.c",)
    assert endpoint.messages[1]["title"] == "cbi: 1 over"
    assert endpoint.texts[1].startswith("- Over: t.c (check).")
    assert endpoint.messages[1]["type"] == "success"
    tell(home, to, [])
    assert len(endpoint.messages) == 2
    assert tell(home, to, [CHECK]).told == ("check:t.c",)


def test_a_failed_run_is_told_once_and_is_never_over(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    tell(home, to, [STALE])
    # nobody looked at anything else: what stands is neither told again nor over
    assert tell(home, to, None, run=RUN).told == ("run:abc",)
    tell(home, to, [STALE])
    tell(home, to, None, run=RUN)
    assert [text.splitlines()[0] for text in endpoint.texts] == [
        "- t is stale. `cbi plan --newest`.",
        "- Run abc (load_drive) failed: no drive. `cbi ui`.",
    ]


def test_an_address_that_fails_is_told_later_and_the_others_not_twice(
    home: Home, endpoint: Endpoint, other: Endpoint
) -> None:
    to = addresses(home, endpoint.url, other.url)
    other.status = 500
    found = tell(home, to, None, run=RUN)
    assert found.told == ("run:abc",)
    assert found.failed == ("address 2 (JSON)",)
    with pytest.raises(ServiceError, match=r"address 2 \(JSON\) did not take the alert") as raised:
        found.require_sent()
    assert SECRET not in str(raised.value)
    other.status = 200
    tell(home, to, [CHECK]).require_sent()
    assert [len(text.splitlines()) for text in endpoint.texts] == [2, 2]
    assert [len(text.splitlines()) for text in other.texts] == [3]
    assert other.texts[0].startswith("- Run abc")


def test_with_no_address_nothing_is_told_or_remembered(home: Home, endpoint: Endpoint) -> None:
    assert addresses(home) == []
    assert tell(home, [], [CHECK], run=RUN).told == ()
    assert not home.alerts.exists()
    assert tell(home, addresses(home, endpoint.url), [CHECK]).told == ("check:t.c",)


def test_an_address_set_anew_is_told_everything(
    home: Home, endpoint: Endpoint, other: Endpoint
) -> None:
    tell(home, addresses(home, endpoint.url), [CHECK])
    both = addresses(home, other.url, endpoint.url)
    tell(home, both, [CHECK])
    assert (len(endpoint.messages), len(other.messages)) == (1, 1)
    # an address that is set no longer is forgotten
    tell(home, both[:1], [CHECK])
    assert set(read_memory(home).told) == {both[0].id}


def test_a_long_message_is_cut(home: Home, endpoint: Endpoint) -> None:
    events = [replace(STALE, subject=f"t{n}") for n in range(MOST_LINES + 5)]
    tell(home, addresses(home, endpoint.url), events)
    lines = endpoint.texts[0].splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-2] == "- … and 6 more: run `cbi alert`."
    assert endpoint.messages[0]["type"] == "warning"


def test_a_test_is_not_remembered(home: Home, endpoint: Endpoint) -> None:
    to = addresses(home, endpoint.url)
    assert send_test(home, to).told == ("address 1 (JSON)",)
    assert endpoint.messages[0]["title"] == "cbi: a test"
    assert endpoint.paths == [f"/{SECRET}"]
    assert not home.alerts.exists()


def test_no_secret_is_written_anywhere(
    home: Home, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for status in (200, 500):
        endpoint.status = status
        to = addresses(home, endpoint.url)
        tell(home, to, [replace(CHECK, state=str(status))])
    assert SECRET not in repr(to)
    with pytest.raises(UsageError, match="CBI_ALERT_URLS: address 2 of 2 cannot be read") as raised:
        addresses(home, endpoint.url, f"nothing://{SECRET}")
    assert SECRET not in str(raised.value)
    assert SECRET not in caplog.text
    kept = [path for path in home.root.rglob("*") if path.is_file()]
    assert home.alerts in kept
    assert all(SECRET not in path.read_text() for path in kept)


def test_the_loggers_speak_again_afterwards(home: Home, endpoint: Endpoint) -> None:
    logger = logging.getLogger("apprise")
    before = logger.level
    tell(home, addresses(home, endpoint.url), [CHECK])
    assert logger.level == before


@pytest.mark.parametrize("text", ["", "[]", '{"told": {}}', '{"told": {}, "runs": [{"a": 1}]}'])
def test_a_spoilt_memory_is_one_clear_line(home: Home, endpoint: Endpoint, text: str) -> None:
    home.root.mkdir()
    home.alerts.write_text(text)
    with pytest.raises(UsageError, match=r"alerts\.json: not what was written there\. Delete it"):
        tell(home, addresses(home, endpoint.url), [CHECK])
    assert home.alerts.read_text() == text


def test_the_memory_is_written_whole(home: Home, endpoint: Endpoint) -> None:
    tell(home, addresses(home, endpoint.url), [CHECK], run=RUN)
    document = json.loads(home.alerts.read_text())
    assert list(document["told"].values()) == [{"run:abc": "failed", "check:t.c": "2 rows"}]
    assert {path.name for path in home.root.iterdir()} == {"alerts.json", "alerts.lock"}
