"""Send each address the events that are new to it, in one message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from apprise import NotifyType

from cbi_assets.alerts.addresses import Address
from cbi_assets.alerts.alert import Event
from cbi_assets.alerts.collect import collect
from cbi_assets.alerts.sent_alerts import open_sent_alerts, read_sent_alerts
from cbi_assets.config.settings import Home
from cbi_assets.errors import ServiceError
from cbi_assets.session import WAIT_SECONDS, Project, open_session

MAX_LINES = 20
"""Lines of a message; services truncate or reject longer ones."""


@dataclass(frozen=True)
class Delivery:
    """Keys of new and of resolved events sent to any address, and the addresses that failed."""

    sent: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def require_sent(self) -> None:
        """Raise ServiceError if an address did not accept its message."""
        if self.failed:
            raise ServiceError(
                f"{', '.join(self.failed)} did not accept the alert",
                subject="CBI_ALERT_URLS",
                remedy="It is sent again with the next alerts; `cbi alert --test` tests the "
                "addresses.",
            )


def send(
    home: Home,
    addresses: Sequence[Address],
    events: Collection[Event] | None,
    run: Event | None = None,
) -> Delivery:
    """Send the addresses what is new, changed and resolved, and store what each accepted.

    Parameters
    ----------
    home : Home
        Where the record of sent alerts is.
    addresses : Sequence[Address]
        Recipients. If there are none, nothing is stored.
    events : Collection[Event] or None
        All active events except failed runs. None if they were not collected: then only failed
        runs are sent, and nothing counts as resolved.
    run : Event, optional
        A run that just failed.
    """
    if not addresses:
        return Delivery()
    sent: set[str] = set()
    resolved: set[str] = set()
    failed: list[str] = []
    with open_sent_alerts(home) as record:
        if run is not None:
            record.add_run(run)
        record.keep_addresses({address.id for address in addresses})
        for address in addresses:
            new = record.new_for(address.id, events or ())
            over = [] if events is None else record.resolved_for(address.id, events)
            if new or over:
                title, body, severity = _compose(new, over, home)
                if not address.send(title, body, severity):
                    failed.append(address.name)
                    continue
            record.mark_sent(address.id, events)
            sent |= {event.key for event in new}
            resolved |= set(over)
    return Delivery(tuple(sorted(sent)), tuple(sorted(resolved)), tuple(failed))


def send_test(home: Home, addresses: Sequence[Address]) -> Delivery:
    """Send every address a test message. Nothing is stored."""
    body = f"Alerts of {home.root} arrive here. Nothing is wrong."
    accepted = {a.name: a.send("cbi: test", body, NotifyType.INFO) for a in addresses}
    return Delivery(
        sent=tuple(name for name, ok in accepted.items() if ok),
        failed=tuple(name for name, ok in accepted.items() if not ok),
    )


@dataclass(frozen=True)
class Alerts:
    """All active events, and what was sent of them now."""

    events: tuple[Event, ...]
    delivery: Delivery


def collect_and_send(
    project: Project, addresses: Sequence[Address], now: dt.datetime, wait: float = WAIT_SECONDS
) -> Alerts:
    """Collect the events that are active at `now` (UTC) and send the addresses what is new.

    The home is acquired for collecting, not for sending. Raises HomeBusyError if another process
    still has it after `wait` seconds.
    """
    record = read_sent_alerts(project.home)
    with open_session(project, now=now, wait=wait) as session:
        events = collect(session, record.keys)
    delivery = send(project.home, addresses, events)
    return Alerts((*record.runs, *events), delivery)


def _compose(new: list[Event], resolved: list[str], home: Home) -> tuple[str, str, NotifyType]:
    """Return a message's title, text and severity."""
    lines = [f"- {event.line}" for event in new]
    lines += [f"- Resolved: {key.partition(':')[2]} ({key.partition(':')[0]})." for key in resolved]
    if len(lines) > MAX_LINES:
        left = len(lines) - MAX_LINES + 1
        lines = [*lines[: MAX_LINES - 1], f"- … and {left} more: run `cbi alert`."]
    counts = [(len(new), "new"), (len(resolved), "resolved")]
    title = "cbi: " + ", ".join(f"{count} {what}" for count, what in counts if count)
    if any(event.kind in ("check", "run", "disk") for event in new):
        severity = NotifyType.FAILURE
    else:
        severity = NotifyType.WARNING if new else NotifyType.SUCCESS
    return title, "\n".join([*lines, f"({home.root})"]), severity
