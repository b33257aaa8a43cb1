"""Report to Dagster what a load did: every partition it touched, and the checks on it.

One run reports many partitions: a run a partition costs more than reading a gigabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from cbi_assets.checks import Check, CheckResult
from cbi_assets.ledger.pending_events import Partition, PendingEvents
from cbi_assets.load.load import LoadOutcome
from cbi_assets.pipeline.metadata import (
    check_metadata,
    check_severity,
    cost_metadata,
    inventory_metadata,
    names,
    partition_metadata,
)
from cbi_assets.pipeline.partitions import partition_key
from cbi_assets.pipeline.plots import Plots
from cbi_assets.session import Session
from cbi_assets.tables import BUILT, DERIVED, MACRO_OBSERVATIONS, RAW, YAHOO_BRIDGE

INVENTORY_KEY = dg.AssetKey(["drive", "inventory"])
RAW_KEY = dg.AssetKey(["raw", "databento_ohlcv"])


ASSET_TABLES: Final = {
    spec.id: spec
    for spec in (*RAW.values(), *DERIVED.values(), *BUILT, MACRO_OBSERVATIONS, YAHOO_BRIDGE)
}
"""The tables that are assets, by id."""


def table_key(table_id: str) -> dg.AssetKey:
    """The asset key of a table follows its name: dataset, table."""
    return dg.AssetKey(table_id.split("."))


def metadata_by_partition(
    outcome: LoadOutcome, partition: Partition, plots: Mapping[Partition, Plots]
) -> dict[str, Any]:
    """The metadata of one partition after a load; `plots` are those of `plot_load`."""
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
    own: Partition | None = None,
) -> None:
    """Log the inventory, and materializations and check evaluations of all partitions that the
    load looked at.

    `own` is the partition whose raw asset the running step materializes itself.
    """
    context.log_event(
        dg.AssetMaterialization(INVENTORY_KEY, metadata=inventory_metadata(outcome.survey))
    )
    looked_at = {(p.root, p.timeframe) for p in outcome.profiles}
    for partition in sorted(looked_at):
        metadata = metadata_by_partition(outcome, partition, plots)
        keys = [table_key(RAW[partition[1]].id)]
        if partition != own:
            keys.insert(0, RAW_KEY)
        for key in keys:
            context.log_event(
                dg.AssetMaterialization(key, partition=partition_key(partition), metadata=metadata)
            )
    report_checks(
        context,
        [
            result
            for result in outcome.checks
            # where nothing is held, nothing is wrong with that
            if not result.passed or (result.root, result.timeframe) in looked_at
        ],
    )
    PendingEvents(session.home).remove(
        looked_at | {(r.root, r.timeframe) for r in outcome.checks if r.timeframe}
    )


def report_checks(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, results: Sequence[CheckResult]
) -> None:
    """Log the evaluations of these results."""
    for evaluation in evaluations(results):
        # Dagster's own type for log_event leaves check evaluations out; its event log takes them
        context.log_event(evaluation)  # type: ignore[arg-type]


def evaluations(results: Sequence[CheckResult]) -> list[dg.AssetCheckEvaluation]:
    """Evaluations of results on tables that are assets: one a partition of a raw table, one a
    check of any other table. Those that fail come last: Dagster's page shows a check as its newest
    evaluation says, whichever partition that is of."""
    found = []
    whole: dict[tuple[str, Check], list[CheckResult]] = {}
    for result in results:
        if result.table_id not in ASSET_TABLES:
            continue
        if result.timeframe is None:
            whole.setdefault((result.table_id, result.check), []).append(result)
            continue
        found.append(
            dg.AssetCheckEvaluation(
                asset_key=table_key(result.table_id),
                check_name=result.check.name,
                passed=result.passed,
                metadata=check_metadata(result),
                severity=check_severity(result),
                description=result.check.sentence,
                blocking=result.check.severity == "ERROR",
                partition=result.partition,
            )
        )
    found += [
        whole_table_evaluation(table_key(table_id), check, own)
        for (table_id, check), own in whole.items()
    ]
    return sorted(found, key=lambda evaluation: not evaluation.passed)


def whole_table_evaluation(
    key: dg.AssetKey, check: Check, results: Sequence[CheckResult]
) -> dg.AssetCheckEvaluation:
    """One evaluation of a check on an unpartitioned table: it passes where it holds for every
    root, and shows the first root where it does not."""
    failed = [result for result in results if not result.passed]
    metadata: dict[str, Any] = {"expected": check.expected, "actual": "nothing is held yet"}
    if results:
        metadata = check_metadata((failed or results)[0])
    if failed and failed[0].root:
        metadata["roots"] = names(r.root for r in failed)
    elif len(results) > 1:
        metadata["actual"] = f"holds for all {len(results)} roots"
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=check.name,
        passed=not failed,
        metadata=metadata,
        severity=dg.AssetCheckSeverity[check.severity],
        description=check.sentence,
        blocking=check.severity == "ERROR",
    )


def raise_if_stopped(outcome: LoadOutcome) -> None:
    """Fail the step, in one line, where a canary stopped a table's load."""
    if outcome.stopped:
        raise dg.Failure("; ".join(outcome.stopped.values()))
