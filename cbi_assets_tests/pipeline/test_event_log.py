"""Events of a block are stored in one transaction per database."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._check import CheckError
from dagster._core.events import StepMaterializationData

from cbi_assets.pipeline.event_log import stored_together
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project

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


def materialized(key: str) -> dg.EventLogEntry:
    """Return an event that a run's step would store for a partition."""
    data = dg.AssetMaterialization(KEY, partition=key)
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="work",
        event_specific_data=StepMaterializationData(data),
    )
    return dg.EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id="run",
        timestamp=0.0,
        dagster_event=event,
    )


def test_events_stored_together_are_seen_by_other_processes_all_at_once_or_never(
    project: Project, instance: dg.DagsterInstance
) -> None:
    storage = instance.event_log_storage
    with open_instance(project.home) as other:
        with stored_together(instance):
            for key in ("ZL", "ES"):
                storage.store_event(materialized(key))
                assert other.get_materialized_partitions(KEY) == set()
        assert other.get_materialized_partitions(KEY) == {"ZL", "ES"}

        with pytest.raises(CheckError), stored_together(instance):
            storage.store_event_batch([materialized("GC"), "no event"])  # type: ignore[list-item]
        with pytest.raises(CheckError):
            storage.store_event_batch([materialized("CL"), "no event"])  # type: ignore[list-item]
        storage.store_event_batch([materialized("SI"), materialized("HG")])
        assert other.get_materialized_partitions(KEY) == {"ZL", "ES", "SI", "HG"}
