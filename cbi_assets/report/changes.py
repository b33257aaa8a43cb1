"""Since last time: the figures of this audit that are others than in the previous one's JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cbi_assets.formatting import number, plural
from cbi_assets.report.facts import Audit
from cbi_assets.report.judgements import Change, Since

FORMAT = 1
"""Of the audit's JSON; raise it when a figure that is compared gets another meaning."""


def changes_since(audit: Audit, previous: Mapping[str, Any] | None, note: str = "") -> Since:
    """What changed since `previous`, an earlier audit's document; None where there is none, with
    `note` saying why."""
    if previous is None:
        return Since(None, (), note)
    after = figures_of(audit)
    before: dict[str, dict[str, str]] = previous["figures"]
    changes = tuple(
        Change(kind, what, before.get(kind, {}).get(what), own.get(what))  # type: ignore[arg-type]
        for kind, own in after.items()
        for what in dict.fromkeys([*before.get(kind, {}), *own])
        if before.get(kind, {}).get(what) != own.get(what)
    )
    return Since(dt.datetime.fromisoformat(previous["made_at"]), changes)


def figures_of(audit: Audit) -> dict[str, dict[str, str]]:
    """What audits are compared by: rows, files, checks, gaps and decisions, each by its name."""
    rows = {table.id: number(table.rows) for table in audit.tables if not _is_log(table.id)}
    rows |= {f"{p.root}|{p.timeframe}": number(p.rows) for p in audit.partitions}
    troubles = Counter(trouble.kind for trouble in audit.drive.troubles)
    files = {folder.folder: plural(folder.files, "file") for folder in audit.drive.folders}
    files |= {f"{kind} files": number(count) for kind, count in troubles.items()}
    files["files waiting to be loaded"] = number(audit.drive.waiting_files)
    files["the drive"] = "mounted" if audit.drive.mounted else "not mounted"
    files |= {
        f"staging: {source.path}, {source.source or 'no source'}": source.verdict
        for source in audit.staging
    }
    checks = {
        f"{check.name} on {check.table}": check.state
        + (f" on {number(check.failed)} of {number(check.partitions)}" if check.failed else "")
        for check in audit.checks
    }
    gaps: Counter[str] = Counter()
    for gap in audit.gaps:
        if gap.kind != "closed session":
            gaps[f"{gap.root}|{gap.timeframe}: {gap.kind}"] += gap.dates
    told = {what: plural(count, "date") for what, count in gaps.items()}
    told |= {f"{n.root}|{n.timeframe}: missing": plural(n.missing, "date") for n in audit.needs}
    decisions = {decision.what: number(decision.count) for decision in audit.decisions}
    return {"rows": rows, "files": files, "checks": checks, "gaps": told, "decisions": decisions}


def _is_log(table_id: str) -> bool:
    """Tables that grow by every run, whatever it finds."""
    return table_id in ("ops.check_history", "ops.check_results", "ops.ledger_version")
