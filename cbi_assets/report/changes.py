"""Compare an audit's figures with those of the previous audit's JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from cbi_assets.formatting import number, plural
from cbi_assets.report.audit_model import Audit, Change, Since

FORMAT = 2
"""Of the audit's JSON. Raise it when a compared figure changes its meaning or its name."""

_LOGS = ("ops.check_history", "ops.check_results", "ops.ledger_version")
"""Tables that grow with every run, whatever it finds."""


def changes_since(audit: Audit, previous: Mapping[str, Any] | None, note: str = "") -> Since:
    """Return the changes since `previous`, an earlier audit's document.

    If that is None, `note` says why.
    """
    if previous is None:
        return Since(None, (), note)
    figures = figures_of(audit)
    old: dict[str, dict[str, str]] = {**previous["figures"]}
    if previous["format"] == 1:  # it called "passes" "holds", and worded decisions differently
        checks = old["checks"].items()
        old["checks"] = {name: "passes" if state == "holds" else state for name, state in checks}
        old["decisions"] = figures["decisions"]
    changes = tuple(
        Change(kind, what, old.get(kind, {}).get(what), new.get(what))  # type: ignore[arg-type]
        for kind, new in figures.items()
        for what in dict.fromkeys([*old.get(kind, {}), *new])
        if old.get(kind, {}).get(what) != new.get(what)
    )
    return Since(dt.datetime.fromisoformat(previous["made_at"]), changes)


def figures_of(audit: Audit) -> dict[str, dict[str, str]]:
    """Return the figures to compare, each by its name: rows, files, checks, gaps, decisions."""
    rows = {t["id"]: number(t["rows"]) for t in _rows(audit.tables) if t["id"] not in _LOGS}
    rows |= {f"{p['root']}|{p['timeframe']}": number(p["rows"]) for p in _rows(audit.partitions)}

    drive = audit.drive
    files = {row["folder"]: plural(row["files"], "file") for row in _rows(drive.folders)}
    files |= {f"{kind} files": number(n) for kind, n in _counts(drive.troubles, pl.len(), "kind")}
    files["files waiting to be loaded"] = number(drive.waiting_files)
    files["the drive"] = "mounted" if drive.mounted else "not mounted"
    files |= {
        f"staging: {row['path']}, {row['source'] or 'no source'}": row["verdict"]
        for row in _rows(audit.staging)
    }
    checks = {
        f"{row['name']} on {row['table']}": row["state"]
        + (f" on {number(row['failed'])} of {number(row['partitions'])}" if row["failed"] else "")
        for row in _rows(audit.checks)
    }
    open_dates = audit.gaps.filter(pl.col("kind") != "closed session")
    dates = _counts(open_dates, pl.col("dates").sum(), "root", "timeframe", "kind")
    gaps = {
        f"{root}|{timeframe}: {kind}": plural(count, "date")
        for root, timeframe, kind, count in dates
    }
    gaps |= {
        f"{need['root']}|{need['timeframe']}: missing": plural(need["missing"], "date")
        for need in _rows(audit.needs)
    }
    decisions = {decision.what: number(decision.count) for decision in audit.decisions}
    return {"rows": rows, "files": files, "checks": checks, "gaps": gaps, "decisions": decisions}


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dicts()


def _counts(frame: pl.DataFrame, count: pl.Expr, *keys: str) -> list[tuple[Any, ...]]:
    return frame.group_by(keys, maintain_order=True).agg(count).rows()
