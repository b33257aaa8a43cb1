"""Freshness policies by data: a table is as old as its newest trade date, whenever it was built."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode
from dagster._core.definitions.freshness import FreshnessState, TimeWindowFreshnessPolicy
from dagster._core.definitions.freshness_evaluator import (
    FRESHNESS_EVALUATORS_BY_POLICY_TYPE,
    FreshnessPolicyEvaluator,
)
from dagster._core.loader import LoadingContext
from dagster._core.storage.event_log.base import AssetRecord
from dagster._time import get_current_timestamp

from cbi_assets.pipeline.metadata import DATA_THROUGH


class DataFreshness(FreshnessPolicyEvaluator):
    """Compares a time window with the end of the newest trade date.

    Dagster's own evaluator compares it with the time of the newest materialization, so that a build
    with nothing new would refresh old data. UNKNOWN if the newest materialization has no
    `DATA_THROUGH`: the table is empty, or an earlier version built it.
    """

    async def evaluate_freshness(
        self, context: LoadingContext, node: BaseAssetNode
    ) -> FreshnessState:
        """Return FAIL or WARN if the data are older than the policy's windows, else PASS."""
        policy = node.freshness_policy_or_from_metadata
        record = await AssetRecord.gen(context, node.key)
        event = record.asset_entry.last_materialization if record else None
        found = event.asset_materialization if event else None
        through = found.metadata.get(DATA_THROUGH) if found else None
        if not isinstance(policy, TimeWindowFreshnessPolicy) or not isinstance(
            through, dg.TimestampMetadataValue
        ):
            return FreshnessState.UNKNOWN
        age = dt.timedelta(seconds=get_current_timestamp() - through.value)
        if age >= policy.fail_window.to_timedelta():
            return FreshnessState.FAIL
        warns = policy.warn_window
        return FreshnessState.WARN if warns and age >= warns.to_timedelta() else FreshnessState.PASS


@contextmanager
def freshness_by_data() -> Iterator[None]:
    """Make Dagster's daemon evaluate time windows by data."""
    with patch.dict(
        FRESHNESS_EVALUATORS_BY_POLICY_TYPE, {TimeWindowFreshnessPolicy: DataFreshness}
    ):
        yield
