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


def _asset_check(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(check.table.id),
        name=check.name,
        description=check.sentence,
        blocking=check.severity == "ERROR",
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
