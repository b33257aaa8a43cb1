"""Jobs: everything on the drive in one run, one partition, and the matrix."""

import dagster as dg
from pydantic import Field

from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.pipeline.asset_keys import RAW_KEY
from cbi_assets.pipeline.built.built_assets import built_tables
from cbi_assets.pipeline.partitions import parse_partition_key
from cbi_assets.pipeline.plots import plot_load
from cbi_assets.pipeline.raw.drive_asset import POOL
from cbi_assets.pipeline.reporting import raise_if_stopped, report_tables
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.verbs import load


class LoadConfig(dg.Config):
    """`partitions` such as `ZL|1h`; empty for everything on the drive."""

    partitions: list[str] = Field(default_factory=list)


@dg.op(pool=POOL, description="Load partitions in one go and report each of them.")
def load_partitions(
    context: dg.OpExecutionContext,
    config: LoadConfig,
    project: ProjectResource,
    clock: Clock,
) -> None:
    """Load, then report every partition that was touched."""
    chosen = [parse_partition_key(key) for key in config.partitions] or None
    with project.session(clock.now()) as session:
        PendingEvents(session.home).add(chosen or ())
        outcome = load(session, chosen)
        report_tables(context, session, outcome, plot_load(session, outcome))
    raise_if_stopped(outcome)
    context.log.info(
        f"{outcome.published:,} bars published in {len(outcome.partitions)} partitions"
    )


@dg.job(description="Load all that is new on the drive, or the partitions named, in one run.")
def load_drive() -> None:
    """One run, however many partitions."""
    load_partitions()


load_partition = dg.define_asset_job(
    "load_partition",
    selection=[RAW_KEY],
    description="Load one root in one timeframe.",
)

build_matrix = dg.define_asset_job(
    "build_matrix",
    selection=[built_tables],
    description="Bring sessions, rolls, continuous series and daily_ml_matrix in step with the "
    "bars, and check them.",
)
