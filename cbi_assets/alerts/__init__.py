"""Alerts: what a person should know of, told once and not again until it changes."""

from cbi_assets.alerts.addresses import Address, read_addresses
from cbi_assets.alerts.look import look
from cbi_assets.alerts.memory import Memory
from cbi_assets.alerts.model import Event, Kind
from cbi_assets.alerts.tell import Found, Telling, look_and_tell, send_test, tell

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
