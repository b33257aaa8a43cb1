"""Tell each address what is news to it, in one message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from apprise import NotifyType

from cbi_assets.alerts.addresses import Address
from cbi_assets.alerts.alert import Event
from cbi_assets.alerts.collect import look
from cbi_assets.alerts.sent_alerts import open_memory, read_memory
from cbi_assets.config.settings import Home
from cbi_assets.errors import ServiceError
from cbi_assets.session import WAIT_SECONDS, Project, open_session

MOST_LINES = 20
"""Lines of a message: services cut longer ones, or refuse them."""


@dataclass(frozen=True)
class Telling:
    """What was told now: keys of news and of what is over, by some address; and who failed."""

    told: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def require_sent(self) -> None:
        """Raise ServiceError where an address did not take its message."""
        if self.failed:
            raise ServiceError(
                f"CBI_ALERT_URLS: {', '.join(self.failed)} did not take the alert. It is told "
                "again at the next look; `cbi alert --test` tries the address alone."
            )


def tell(
    home: Home,
    addresses: Sequence[Address],
    events: Collection[Event] | None,
    run: Event | None = None,
) -> Telling:
    """Tell the addresses what is new, changed and over, and remember what each of them took.

    `events` is everything that stands now, but for runs; None where nobody looked, so that only
    failed runs are told. `run` is a run that just failed. With no address, nothing is remembered.
    """
    if not addresses:
        return Telling()
    told: set[str] = set()
    ended: set[str] = set()
    failed: list[str] = []
    with open_memory(home) as memory:
        if run is not None:
            memory.enter_run(run)
        memory.forget_others({address.id for address in addresses})
        for address in addresses:
            news = memory.news(address.id, events or ())
            over = [] if events is None else memory.over(address.id, events)
            if news or over:
                title, body, severity = _write(news, over, home)
                if not address.send(title, body, severity):
                    failed.append(address.name)
                    continue
            memory.told_all(address.id, events or (), runs_only=events is None)
            told |= {event.key for event in news}
            ended |= set(over)
    return Telling(tuple(sorted(told)), tuple(sorted(ended)), tuple(failed))


def send_test(home: Home, addresses: Sequence[Address]) -> Telling:
    """Send every address a line that says it works; nothing is remembered."""
    body = f"Alerts of {home.root} arrive here. Nothing is wrong."
    sent = {a.name: a.send("cbi: a test", body, NotifyType.INFO) for a in addresses}
    return Telling(
        told=tuple(name for name, took in sent.items() if took),
        failed=tuple(name for name, took in sent.items() if not took),
    )


def _write(news: list[Event], over: list[str], home: Home) -> tuple[str, str, NotifyType]:
    """Title, text and severity of a message."""
    lines = [f"- {event.line}" for event in news]
    lines += [f"- Over: {key.partition(':')[2]} ({key.partition(':')[0]})." for key in over]
    if len(lines) > MOST_LINES:
        left = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"- … and {left} more: run `cbi alert`."]
    counts = [(len(news), "to look at"), (len(over), "over")]
    title = "cbi: " + ", ".join(f"{count} {what}" for count, what in counts if count)
    if any(event.kind in ("check", "run", "disk") for event in news):
        severity = NotifyType.FAILURE
    else:
        severity = NotifyType.WARNING if news else NotifyType.SUCCESS
    return title, "\n".join([*lines, f"({home.root})"]), severity


@dataclass(frozen=True)
class Found:
    """What stands, and what was told of it now."""

    events: tuple[Event, ...]
    telling: Telling


def look_and_tell(
    project: Project, addresses: Sequence[Address], now: dt.datetime, wait: float = WAIT_SECONDS
) -> Found:
    """Look at everything that stands at `now` (UTC) and tell the addresses what is news.

    Holds the home while it looks, not while it sends. Raises HomeBusyError where that is not free.
    """
    memory = read_memory(project.home)
    with open_session(project, now=now, wait=wait) as session:
        events = look(project, session.warehouse, now, memory.keys)
    telling = tell(project.home, addresses, events)
    return Found((*memory.runs, *events), telling)
