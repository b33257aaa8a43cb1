"""Report to Dagster what a load did: every partition that changed, and the checks on it.

One run reports many partitions: a run per partition costs more than reading a gigabyte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

from cbi_assets.counted_steps import log_steps
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.pending_events import Partition, PendingEvents
from cbi_assets.load.load import LoadOutcome
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, RAW_KEY, table_key
from cbi_assets.pipeline.check_news import news
from cbi_assets.pipeline.event_log import stored_together
from cbi_assets.pipeline.metadata import cost_metadata, inventory_metadata, partition_metadata
from cbi_assets.pipeline.partitions import partition_key
from cbi_assets.pipeline.plots import Plots
from cbi_assets.pipeline.to_dagster import (
    lights_metadata,
    lights_to_evaluations,
    to_evaluations,
)
from cbi_assets.report.lights import Lights
from cbi_assets.session import Session
from cbi_assets.tables import RAW


def metadata_by_partition(
    outcome: LoadOutcome, partition: Partition, plots: Mapping[Partition, Plots]
) -> dict[str, Any]:
    """Return the metadata of one partition after a load; `plots` are those of `plot_profiles`."""
    profile = next((p for p in outcome.profiles if (p.root, p.timeframe) == partition), None)
    loaded = next((p for p in outcome.partitions if (p.root, p.timeframe) == partition), None)
    return {
        **partition_metadata(profile, loaded, plots.get(partition, {})),
        **cost_metadata(outcome.cost),
    }


def report_tables(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    session: Session,
    outcome: LoadOutcome,
    plots: Mapping[Partition, Plots],
    lights: Lights,
    own: Collection[Partition] = (),
    *,
    only_news: bool = False,
) -> None:
    """Log inventory and lights, and materializations and checks of the partitions that changed.

    All at once: a backfill that saw some of the partitions would request their tables' runs, and
    those of the others later, one by one. `only_news` is that of `report_checks`.

    `own` are the partitions whose raw asset the running step materializes itself. Their tables'
    partitions are materialized, too, if they have no bars: else a backfill would run each of them.
    """
    changed = {(p.root, p.timeframe) for p in outcome.profiles}
    # a partition without bars passes every check, which is no news
    results = [
        result
        for result in outcome.checks
        if not result.passed or (result.root, result.timeframe) in changed
    ]
    every = sorted({*changed, *own})
    title = f"recording {plural(len(every), 'partition')} in Dagster"
    with stored_together(context.instance):
        context.log_event(
            dg.AssetMaterialization(INVENTORY_KEY, metadata=inventory_metadata(outcome.survey))
        )
        report_lights(context, lights, only_news=only_news)
        for partition in log_steps(every, lambda _: title):
            metadata = metadata_by_partition(outcome, partition, plots) | lights_metadata(lights)
            report_partition(context, partition, metadata, with_raw=partition not in own)
        report_checks(context, results, only_news=only_news)
    PendingEvents(session.home).remove(
        changed | {(r.root, r.timeframe) for r in outcome.checks if r.timeframe}
    )


def report_partition(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    partition: Partition,
    metadata: Mapping[str, Any],
    *,
    with_raw: bool = True,
) -> None:
    """Log the materializations of a partition: its table's and, if `with_raw`, its raw asset's."""
    table = table_key(RAW[partition[1]].id)
    for key in (RAW_KEY, table) if with_raw else (table,):
        context.log_event(
            dg.AssetMaterialization(key, partition=partition_key(partition), metadata=metadata)
        )


def report_checks(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    results: Sequence[CheckResult],
    *,
    only_news: bool = False,
) -> None:
    """Log the evaluations of these results; if `only_news`, those that Dagster does not show."""
    _report(context, to_evaluations(results), only_news)


def report_lights(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    lights: Lights,
    *,
    only_news: bool = False,
) -> None:
    """Log the evaluations of the lights; `only_news` is that of `report_checks`."""
    _report(context, lights_to_evaluations(lights), only_news)


def _report(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    evaluations: list[dg.AssetCheckEvaluation],
    only_news: bool,
) -> None:
    if only_news:
        evaluations = news(context.instance, evaluations)
    title = f"recording {plural(len(evaluations), 'result')} in Dagster"
    for evaluation in log_steps(evaluations, lambda _: title):
        # log_event's annotation omits check evaluations, which Dagster's event log accepts
        context.log_event(evaluation)  # type: ignore[arg-type]


def raise_if_stopped(outcome: LoadOutcome) -> None:
    """Fail the step, with one line, if a canary stopped a table's load."""
    if outcome.stopped:
        raise dg.Failure("; ".join(outcome.stopped.values()))
