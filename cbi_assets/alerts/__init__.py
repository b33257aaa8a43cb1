"""Alerts: what a person should know of, told once and not again until it changes."""

from cbi_assets.alerts.addresses import Address, read_addresses
from cbi_assets.alerts.alert import Event, Kind
from cbi_assets.alerts.collect import look
from cbi_assets.alerts.send import Found, Telling, look_and_tell, send_test, tell
from cbi_assets.alerts.sent_alerts import Memory

__all__ = [
    "Address",
    "Event",
    "Found",
    "Kind",
    "Memory",
    "Telling",
    "look",
    "look_and_tell",
    "read_addresses",
    "send_test",
    "tell",
]
