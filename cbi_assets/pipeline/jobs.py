"""Jobs: load the whole drive in one run, load one partition, build the matrix."""

import dagster as dg
from pydantic import Field

from cbi_assets.formatting import number, plural
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.pipeline.asset_keys import RAW_KEY
from cbi_assets.pipeline.built.built_assets import built_tables
from cbi_assets.pipeline.partitions import parse_partition_key
from cbi_assets.pipeline.plots import plot_profiles
from cbi_assets.pipeline.reporting import raise_if_stopped, report_tables
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.verbs import load


class LoadConfig(dg.Config):
    """What to load: partitions, such as `ZL|1h` (none named: all), and new files or not."""

    partitions: list[str] = Field(default_factory=list)
    landed_only: bool = Field(
        default=False, description="Read no new file, since one may still be being copied."
    )


@dg.op(pool=POOL, description="Load partitions in one transaction and report each of them.")
def load_partitions(
    context: dg.OpExecutionContext,
    config: LoadConfig,
    project: ProjectResource,
    clock: Clock,
) -> None:
    """Load, then report every partition that changed."""
    chosen = [parse_partition_key(key) for key in config.partitions] or None
    with project.session(clock.now()) as session:
        PendingEvents(session.home).add(chosen or ())
        outcome = load(session, chosen, landed_only=config.landed_only)
        lights = project.read_lights(session, outcome.survey)
        report_tables(context, session, outcome, plot_profiles(outcome.profiles), lights)
    raise_if_stopped(outcome)
    bars, partitions = number(outcome.published), plural(len(outcome.partitions), "partition")
    context.log.info("%s bars published in %s", bars, partitions)


@dg.job(description="Load everything new on the drive, or the named partitions, in one run.")
def load_drive() -> None:
    """Load in one run, however many partitions."""
    load_partitions()


load_partition = dg.define_asset_job(
    "load_partition",
    selection=[RAW_KEY],
    description="Load one root in one timeframe.",
)

build_matrix = dg.define_asset_job(
    "build_matrix",
    selection=[built_tables],
    description="Update sessions, rolls, continuous series and daily_ml_matrix from the bars, and "
    "check them.",
)
