"""Record in Dagster what the command line did, in one run in this process.

Materializations are recorded always, results of checks if they are news (`check_news`).
"""

from collections.abc import Callable, Sequence

import dagster as dg
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from cbi_assets.build.build import BuildOutcome
from cbi_assets.build.training import TrainingOutcome
from cbi_assets.config.settings import Home
from cbi_assets.counted_steps import log_step, log_steps
from cbi_assets.errors import CbiError
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.load.unload import UnloadOutcome
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.check_news import news
from cbi_assets.pipeline.dead_runs import FROM_TERMINAL
from cbi_assets.pipeline.event_log import stored_together
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.metadata import built_metadata, partition_metadata
from cbi_assets.pipeline.outcome_metadata import staging_metadata, training_metadata
from cbi_assets.pipeline.plots import plot_profiles, profile_built
from cbi_assets.pipeline.reporting import (
    raise_if_stopped,
    report_checks,
    report_lights,
    report_partition,
    report_tables,
)
from cbi_assets.pipeline.to_dagster import (
    lights_metadata,
    lights_to_evaluations,
    to_evaluations,
)
from cbi_assets.report.lights import Lights
from cbi_assets.report.read_lights import read_lights
from cbi_assets.session import Session
from cbi_assets.tables import BUILT, FOLDS, MACRO_OBSERVATIONS, TRAINING, YAHOO_BRIDGE


def record_build(
    session: Session,
    outcome: BuildOutcome,
    trained: TrainingOutcome | None = None,
    lights: Lights | None = None,
) -> None:
    """Log a build, the training tables that it changed, its checks and the lights."""
    if not outcome.replaced:
        return
    log_step("plotting the matrix")
    profile = profile_built(session)
    lights = lights or read_lights(session)
    with open_instance(session.home) as instance, stored_together(instance):
        for table in BUILT:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    table_key(table.id),
                    metadata={
                        **built_metadata(outcome, table, profile.ranges[table.id], profile.plots),
                        **lights_metadata(lights),
                    },
                )
            )
        if trained is not None:
            metadata = training_metadata(session, trained, lights)
            changed = [n for n in trained.written if trained.written[n] or trained.removed[n]]
            for table_id in [TRAINING[n].id for n in changed] + [FOLDS.id] * bool(changed):
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(table_key(table_id), metadata=metadata[table_id])
                )
        checks = [*outcome.checks, *(trained.checks if trained else ())]
        evaluations = [*to_evaluations(checks), *lights_to_evaluations(lights)]
        results = news(instance, evaluations)
        title = f"recording {plural(len(results), 'result')} in Dagster"
        for evaluation in log_steps(results, lambda _: title):
            instance.report_runless_asset_event(evaluation)


def record_staging(session: Session, outcome: StagingOutcome, lights: Lights) -> None:
    """Log the materializations of staging's tables, and their checks, into the home's instance."""
    if outcome.load_id is None:
        return
    metadata_by_table = {
        table.id: staging_metadata(session, table, lights)
        for table in (MACRO_OBSERVATIONS, YAHOO_BRIDGE)
    }
    with open_instance(session.home) as instance:
        for table_id, metadata in metadata_by_table.items():
            instance.report_runless_asset_event(
                dg.AssetMaterialization(table_key(table_id), metadata=metadata)
            )
        for evaluation in to_evaluations(outcome.checks):
            instance.report_runless_asset_event(evaluation)


def record_load(session: Session, outcome: LoadOutcome, lights: Lights | None = None) -> None:
    """Log a load's materializations, checks and lights into the home's instance.

    Raises CbiError if Dagster refuses them; the load is published, and the next one reports it.
    """
    plots = plot_profiles(outcome.profiles)

    def report(context: dg.OpExecutionContext) -> None:
        shown = lights or read_lights(session, outcome.survey)
        report_tables(context, session, outcome, plots, shown, only_news=True)
        raise_if_stopped(outcome)

    tags = {"cbi/load_id": outcome.load_id or "none"}
    if not _run_in_process(session.home, "show_load", report, tags) and not outcome.stopped:
        raise CbiError(
            "the load is published, but Dagster refused its events",
            remedy="Run `cbi load` again; `cbi ui` shows the failed run.",
        )


def record_unload(session: Session, outcome: UnloadOutcome) -> None:
    """Log the materializations and checks of the partitions that an unload changed.

    Raises CbiError if Dagster refuses them; the bars are removed, and the next load reports it.
    """
    plots = plot_profiles(outcome.profiles)
    profiles = {(profile.root, profile.timeframe): profile for profile in outcome.profiles}

    def report(context: dg.OpExecutionContext) -> None:
        with stored_together(context.instance):
            for partition in outcome.partitions:
                plot = plots.get(partition, {})
                metadata = partition_metadata(profiles.get(partition), None, plot)
                report_partition(context, partition, metadata)
            report_checks(context, outcome.checks, only_news=True)
        PendingEvents(session.home).remove(outcome.partitions)

    if not _run_in_process(session.home, "show_unload", report, {}):
        raise CbiError(
            "the bars are removed, but Dagster refused its events",
            remedy="Run `cbi load`, which reports them; `cbi ui` shows the failed run.",
        )


def record_checks(
    session: Session, results: Sequence[CheckResult], lights: Lights | None = None
) -> None:
    """Log the results of checks and the lights into the home's instance.

    Raises CbiError if Dagster refuses them; the warehouse has recorded the results.
    """

    def report(context: dg.OpExecutionContext) -> None:
        shown = lights or read_lights(session)
        with stored_together(context.instance):
            report_checks(context, results, only_news=True)
            report_lights(context, shown, only_news=True)

    if not _run_in_process(session.home, "show_checks", report, {}):
        raise CbiError(
            "the results are recorded in the warehouse, but Dagster refused them",
            remedy="Run `cbi check` again; `cbi ui` shows the failed run.",
        )


def _run_in_process(
    home: Home,
    name: str,
    report: Callable[[dg.OpExecutionContext], None],
    tags: dict[str, str],
) -> bool:
    """Report in a run of this process, and return whether it succeeded.

    Logging many events in a run takes a fraction of the time that runless events take.
    """

    # Not in the pool: it opens no warehouse, and without a daemon nothing would free the slot of a
    # killed run.
    @dg.op(name="report", description="Report what a command in a terminal did.")
    def report_all(context: dg.OpExecutionContext) -> None:
        report(context)

    @dg.job(name=name, description="Show what the command line did.")
    def show() -> None:
        report_all()

    log_step("recording in Dagster")
    with open_instance(home) as instance:
        # Dagster would redirect stderr to a file during the run, and progress with it
        instance._compute_log_manager = NoOpComputeLogManager()
        return show.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            tags={**tags, FROM_TERMINAL: "command line", "dagster/max_retries": "0"},
        ).success
