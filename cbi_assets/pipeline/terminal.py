"""Show in Dagster what the command line did, in one run in this process."""

import dagster as dg

from cbi_assets.checks import check_staging
from cbi_assets.errors import CbiError
from cbi_assets.ingest.build import BuildOutcome
from cbi_assets.ingest.load import LoadOutcome
from cbi_assets.ingest.load_staging import StagingOutcome
from cbi_assets.pipeline.assets.staging import staging_metadata
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.metadata import built_metadata
from cbi_assets.pipeline.plots import look_at_built, plot_load
from cbi_assets.pipeline.reporting import (
    raise_if_stopped,
    report_tables,
    table_key,
    whole_table_evaluation,
)
from cbi_assets.project import Project
from cbi_assets.warehouse.tables import BUILT, MACRO_OBSERVATIONS, YAHOO_BRIDGE


def record_build(project: Project, outcome: BuildOutcome) -> None:
    """Log a build's materializations and checks into the home's instance."""
    if not outcome.replaced:
        return
    stock = look_at_built(project)
    with open_instance(project.home) as instance:
        for table in BUILT:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    table_key(table.id),
                    metadata=built_metadata(outcome, table, stock.rows[table.id], stock.plots),
                )
            )
        for table_id, check in {(r.table_id, r.check): None for r in outcome.checks}:
            results = [r for r in outcome.checks if (r.table_id, r.check) == (table_id, check)]
            instance.report_runless_asset_event(
                whole_table_evaluation(table_key(table_id), check, results)
            )


def record_staging(project: Project, outcome: StagingOutcome) -> None:
    """Log what a load of staging filled, and the checks on it, into the home's instance."""
    if outcome.load_id is None:
        return
    with project.hold(), project.open_warehouse() as warehouse:
        filled = {
            table.id: staging_metadata(warehouse, table)
            for table in (MACRO_OBSERVATIONS, YAHOO_BRIDGE)
        }
        checks = check_staging(project, warehouse, project.macro)
    with open_instance(project.home) as instance:
        for table_id, metadata in filled.items():
            instance.report_runless_asset_event(
                dg.AssetMaterialization(table_key(table_id), metadata=metadata)
            )
        for result in checks:
            instance.report_runless_asset_event(
                whole_table_evaluation(table_key(result.table_id), result.check, [result])
            )


def record_load(project: Project, outcome: LoadOutcome) -> None:
    """Log a load's materializations and checks into the home's instance.

    Raises CbiError when Dagster does not take them; the load itself stands, and the next one
    reports it.
    """
    plots = plot_load(project, outcome)

    # In no pool: it opens no warehouse, and where no daemon runs, nobody would free the slot of a
    # run that was killed.
    @dg.op(description="Report every partition that a load in a terminal touched.")
    def report_partitions(context: dg.OpExecutionContext) -> None:
        report_tables(context, project, outcome, plots)
        raise_if_stopped(outcome)

    @dg.job(description="Show a load that the command line did.")
    def show_load() -> None:
        report_partitions()

    with open_instance(project.home) as instance:
        result = show_load.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            tags={"cbi/load_id": outcome.load_id or "none", "cbi/from": "command line"},
        )
    if not result.success and not outcome.stopped:
        raise CbiError(
            "The load stands, but Dagster did not take its events. Run `cbi load` again; "
            "`cbi ui` shows the failed run."
        )
