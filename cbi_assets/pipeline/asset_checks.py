"""Make a Dagster check of each check on a table that is an asset.

Partitioned asset checks are a preview of Dagster's; this is the one module that defines them.
"""

import dagster as dg

from cbi_assets.checks import CHECKS, Check, CheckContext, run_checks
from cbi_assets.ledger.check_results import record_results
from cbi_assets.pipeline.asset_keys import ASSET_TABLES, table_key
from cbi_assets.pipeline.partitions import parse_partition_key, partitions_of
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


def _asset_check(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(check.table.id),
        name=check.name,
        description=check.sentence,
        blocking=check.severity == "ERROR" and not check.of_build,
        additional_deps=[BUILD_KEY] if check.of_build else None,
        automation_condition=_AFTER_BUILD if check.of_build else None,
        partitions_def=partitions_of((check.timeframe,)) if check.timeframe else None,
        pool=POOL,
    )
    def asset_check(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.AssetCheckResult:
        roots = [parse_partition_key(context.partition_key)[0]] if check.timeframe else None
        with project.session(clock.now()) as session:
            results = run_checks(CheckContext(session, roots, full=False), [check])
            record_results(session, results)
        return to_check_result(check, results)

    return asset_check


ASSET_CHECKS = [_asset_check(check) for check in CHECKS if check.table.id in ASSET_TABLES]
