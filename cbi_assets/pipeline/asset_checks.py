"""Make Dagster's checks of the checks on tables that are assets, in as few steps as possible.

Partitioned asset checks are a preview of Dagster's; this is the one module that defines them.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import dagster as dg

from cbi_assets.checks import CHECKS, Check, CheckContext, run_checks
from cbi_assets.ledger.check_results import record_results
from cbi_assets.pipeline.asset_keys import ASSET_TABLES, table_key
from cbi_assets.pipeline.partitions import parse_partition_key, partitions_of
from cbi_assets.pipeline.reporting import report_checks, report_lights
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import to_check_result
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.tables import CONTINUOUS

BUILD_KEY = table_key(CONTINUOUS.id)

# A check with a condition of its own does not run whenever its asset is updated, which is before
# the build. Each build reports this check: the condition is for one that was stopped before it did.
_AFTER_BUILD = (
    (
        dg.AutomationCondition.missing()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
    )
    .newly_true()
    .with_label("built and never checked")
)


def _spec(check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name,
        asset=table_key(check.table.id),
        description=check.sentence,
        blocking=check.severity == "ERROR" and not check.of_build,
        additional_deps=[BUILD_KEY] if check.of_build else None,
        automation_condition=_AFTER_BUILD if check.of_build else None,
        partitions_def=partitions_of((check.timeframe,)) if check.timeframe else None,
    )


def _step(check: Check) -> str:
    """Return the name of the step that runs a check: those of one step share what they need."""
    kind = "build_of" if check.of_build else "bars_of" if check.timeframe else "rows_of"
    return f"check_{kind}_{check.table.id.replace('.', '_')}"


def _step_of(name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    by_key = {_spec(check).key: check for check in checks}

    @dg.multi_asset_check(
        name=name, specs=[_spec(check) for check in checks], can_subset=True, pool=POOL
    )
    def run_step(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> Iterator[dg.AssetCheckResult]:
        selected = [by_key[key] for key in by_key if key in context.selected_asset_check_keys]
        roots = None
        if checks[0].timeframe:
            roots = [parse_partition_key(key)[0] for key in context.partition_keys]
        with project.session(clock.now()) as session:
            results = run_checks(CheckContext(session, roots, full=False), selected)
            record_results(session, results)
            report_lights(context.op_execution_context, project.read_lights(session))
        if roots is not None and not context.has_partition_key:
            # A check's result has no partition: Dagster takes the run's, which here are several.
            report_checks(context.op_execution_context, results)
            if failed := [result.message for result in results if result.failed]:
                raise dg.Failure("; ".join(failed))
            return
        for check in selected:
            yield to_check_result(check, [r for r in results if r.name == check.name])

    return run_step


ASSET_CHECKS = [
    _step_of(name, list(checks))
    for name, checks in groupby(
        sorted((check for check in CHECKS if check.table.id in ASSET_TABLES), key=_step), key=_step
    )
]
