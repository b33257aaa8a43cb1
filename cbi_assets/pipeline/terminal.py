"""Show in Dagster what the command line did, in one run in this process."""

import dagster as dg

from cbi_assets.checks import MATRIX_CHECKS
from cbi_assets.errors import CbiError
from cbi_assets.ingest.build import BuildOutcome
from cbi_assets.ingest.load import LoadOutcome
from cbi_assets.pipeline.assets.features import MATRIX_KEY
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.metadata import matrix_metadata
from cbi_assets.pipeline.reporting import raise_if_stopped, report_tables, whole_table_evaluation
from cbi_assets.project import Project


def record_build(project: Project, outcome: BuildOutcome) -> None:
    """Log a build's materialization and checks into the home's instance."""
    if not outcome.rows:
        return
    with open_instance(project.home) as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(MATRIX_KEY, metadata=matrix_metadata(outcome))
        )
        for check in MATRIX_CHECKS:
            results = [result for result in outcome.checks if result.check == check]
            instance.report_runless_asset_event(whole_table_evaluation(MATRIX_KEY, check, results))


def record_load(project: Project, outcome: LoadOutcome) -> None:
    """Log a load's materializations and checks into the home's instance.

    Raises CbiError when Dagster does not take them; the load itself stands, and the next one
    reports it.
    """

    # In no pool: it opens no warehouse, and where no daemon runs, nobody would free the slot of a
    # run that was killed.
    @dg.op(description="Report every partition that a load in a terminal touched.")
    def report_partitions(context: dg.OpExecutionContext) -> None:
        report_tables(context, project, outcome)
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
