"""The asset audit/report: the audit's documents, written from the live state."""

from collections.abc import Iterator

import dagster as dg

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, table_key
from cbi_assets.pipeline.metadata import rows_as_markdown
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import (
    light_specs,
    lights_metadata,
    lights_to_check_results,
)
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.tables import (
    CONTINUOUS,
    DAILY_ML_MATRIX,
    MACRO_OBSERVATIONS,
    RAW,
    YAHOO_BRIDGE,
)

REPORT_KEY = dg.AssetKey(["audit", "report"])

_READ = (*RAW.values(), MACRO_OBSERVATIONS, YAHOO_BRIDGE, CONTINUOUS, DAILY_ML_MATRIX)


@dg.asset(
    key=REPORT_KEY,
    deps=[INVENTORY_KEY, *(table_key(spec.id) for spec in _READ)],
    group_name="audit",
    kinds={"html", "markdown", "json"},
    owners=["team:market-data"],
    pool=POOL,
    check_specs=light_specs(),
    description="The audit document: what is in the warehouse, on the drive and in staging, what "
    "is missing and why, the state of every check, what needs action, and the next step. "
    "Markdown, one HTML page and JSON, under CBI_HOME/audit/latest.",
)
def report(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Take the audit and write its documents."""
    with project.session(clock.now()) as session:
        written = write_audit(session.home, take_audit(session))
    audit = written.audit
    if audit.has_failures:
        context.log.warning("The audit found failures: %s", written.html)
    decisions = [
        {"kind": decision.kind, "what": decision.what, "command": decision.command}
        for decision in audit.decisions[:20]
    ]
    yield dg.MaterializeResult(
        check_results=lights_to_check_results(audit.lights),
        metadata={
            **lights_metadata(audit.lights),
            "passed": not audit.has_failures,
            "bars in the raw tables": audit.raw_rows,
            "failing check results": audit.failed_results,
            "decisions that need action": rows_as_markdown(decisions),
            "next step": f"{audit.lights.next.command} ({audit.lights.next.text})",
            "changed since last time": len(audit.since.changes),
            "page": dg.MetadataValue.path(str(written.html)),
            "text": dg.MetadataValue.path(str(written.markdown)),
        },
    )
