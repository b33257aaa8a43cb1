"""Partitions stay noted until they are reported."""

from __future__ import annotations

from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.session import Project


def test_add_keeps_partitions_that_are_not_reported_yet(project: Project) -> None:
    pending = PendingEvents(project.home)
    pending.add([("ZL", "1h")])
    pending.add([("ZS", "1h"), ("ZS", "1d")])
    assert PendingEvents(project.home).partitions() == {("ZL", "1h"), ("ZS", "1h"), ("ZS", "1d")}
    pending.remove([("ZL", "1h"), ("ZS", "1d")])
    assert PendingEvents(project.home).partitions() == {("ZS", "1h")}
