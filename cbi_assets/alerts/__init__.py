"""Alerts: events that need action, sent once and again only if they change."""

from cbi_assets.alerts.addresses import Address, read_addresses
from cbi_assets.alerts.alert import Event, Kind
from cbi_assets.alerts.collect import collect
from cbi_assets.alerts.send import Alerts, Delivery, collect_and_send, send, send_test
from cbi_assets.alerts.sent_alerts import SentAlerts

__all__ = [
    "Address",
    "Alerts",
    "Delivery",
    "Event",
    "Kind",
    "SentAlerts",
    "collect",
    "collect_and_send",
    "read_addresses",
    "send",
    "send_test",
]
