"""Events of a block are stored in one transaction per database."""

from __future__ import annotations

import dagster as dg
import pytest

from cbi_assets.pipeline.event_log import stored_together

KEY = dg.AssetKey("one")


def materializations(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_materializations(KEY, limit=10).records)


def test_events_of_a_block_are_stored_together(instance: dg.DagsterInstance) -> None:
    with stored_together(instance):
        for _ in range(2):
            instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
    assert materializations(instance) == 2
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
    assert materializations(instance) == 3


def test_no_event_of_a_block_that_fails_is_stored(instance: dg.DagsterInstance) -> None:
    def store_and_fail() -> None:
        with stored_together(instance):
            instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    assert materializations(instance) == 0
