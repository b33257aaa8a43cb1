"""The page's sections on checks: what does not pass and since when, and every check over time."""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from cbi_assets.formatting import instant, number, plural
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.data_sections import LISTED, more_rows
from cbi_assets.report.figures import history_figure
from cbi_assets.report.page import (
    Block,
    Command,
    Figure,
    Fold,
    Grid,
    Section,
    Strip,
    Text,
    cell,
    grid,
)

_STATES: Final = ("fails", "warns", "passes", "not run")
_SAMPLE: Final = 20
"""Offenders that an incident shows, of all its partitions."""


def incidents_section(audit: Audit) -> Section:
    """Show each check that does not pass: since when, what changed, its offenders, its SQL."""
    key = ["table", "name"]
    since = audit.incidents.select(*key, "since", "last_passed", "loads")
    bad = audit.checks.filter(pl.col("state").is_in(["fails", "warns"])).join(
        since, on=key, how="left", maintain_order="left"
    )
    bad = bad.sort("state", maintain_order=True)
    counts = ", ".join(
        plural(count, noun)
        for state, noun in (("fails", "failure"), ("warns", "warning"))
        if (count := bad.filter(state=state).height)
    )
    none = "None: every check that was run passes."
    blocks: list[Block] = [_incident(row) for row in bad.head(LISTED).iter_rows(named=True)]
    return Section(
        "incidents",
        "Incidents",
        [*(blocks or [Text(none)]), *more_rows(bad, "incidents")],
        counts or "none",
        unfolded=not audit.failed.is_empty(),
    )


def _incident(row: dict[str, Any]) -> Fold:
    name, table, offenders = row["name"], row["table"], row["offenders"]
    where = pl.DataFrame(offenders).select(
        pl.col("partition").replace("", "whole table").alias("where"), "expected", "actual"
    )
    by_finding = where.group_by("expected", "actual", maintain_order=True).agg(
        pl.col("where").str.join(", ")
    )
    results = f"{number(row['failed'])} of {plural(row['partitions'], 'result')}"
    since = f"since {instant(row['since'])} UTC" if row["since"] else "since an unknown time"
    title = f"{name} on {table.rpartition('.')[2]}: {results}, {since}"
    caption = f"{name} on {table}"
    blocks: list[Block] = [
        Text(f"{row['sentence']} {_what_changed(row)}".strip()),
        grid(f"Expected and found: {caption}", by_finding.select("where", "expected", "actual")),
    ]
    if sample := _sample(offenders):
        names = list(dict.fromkeys(column for line in sample for column in line))
        rows = [[cell(line.get(column)) for column in names] for line in sample]
        headings = [column.replace("_", " ") for column in names]
        blocks.append(Grid(f"Offenders: {caption}", headings, rows))
    if sql := offenders[0]["sql"]:
        blocks += [Text(f"The query of {offenders[0]['partition'] or table}:"), Command(sql, "sql")]
    return Fold(f"incident-{table.rpartition('.')[2]}-{name}", title, row["state"], blocks)


def _what_changed(row: dict[str, Any]) -> str:
    """Say what was loaded between the last run that passed and the first one that did not."""
    loads = row["loads"] or []
    listed = "; ".join(
        f"{load['load_id']} of {instant(load['loaded_at'])} UTC, {plural(load['files'], 'file')}, "
        f"{number(load['published'])} published"
        for load in loads[-3:]
    )
    more = f", and {plural(len(loads) - 3, 'earlier load')}" if len(loads) > 3 else ""
    changed = f"loaded in between: {listed}{more}." if loads else "nothing was loaded in between."
    if row["last_passed"] is None:
        first = "It has never passed here"
        return f"{first}; loaded before its first run: {listed}{more}." if loads else f"{first}."
    return f"Last passed at {instant(row['last_passed'])} UTC; {changed}"


def _sample(offenders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = [
        {"where": offender["partition"], **line}
        for offender in offenders
        for line in json.loads(offender["sample"] or "[]")
    ]
    return lines[:_SAMPLE]


def checks_section(audit: Audit) -> Section:
    """Show every check with its runs over time, then all of them over time."""
    state, checks = pl.col("state"), audit.checks.rename({"name": "check"})
    worst = pl.coalesce(
        *(pl.when((state == one).any()).then(pl.lit(one)) for one in _STATES[:3]),
        pl.lit(_STATES[3]),
    )
    runs = (
        audit.check_runs.group_by("name", "at", maintain_order=True)
        .agg(worst.str.head(1).str.to_uppercase().alias("state"))
        .sort("at")
        .group_by(pl.col("name").alias("check"))
        .agg(state.str.join("").str.tail(30).alias("runs"))
    )
    by_name = (
        checks.group_by("check", maintain_order=True)
        .agg(
            worst.alias("last result"),
            pl.col("severity").first(),
            pl.format("{} of {}", pl.col("failed").sum(), pl.col("partitions").sum()).alias(
                "not passed"
            ),
            pl.format("{} of {}", pl.col("checked_at").count(), pl.len()).alias("tables"),
            pl.col("checked_at").min().alias("oldest run, UTC"),
            pl.when(pl.col("stale").any())
            .then(pl.lit("older than the newest load"))
            .otherwise(pl.lit(""))
            .alias("note"),
            pl.col("sentence").first().alias("rule"),
        )
        .join(runs, on="check", how="left", maintain_order="left")
        .select("check", "last result", "runs", pl.exclude(
            "check", "last result", "runs"))
    )  # fmt: skip
    table = grid("Every check", by_name, code=["check"], filter_by="last result")
    rows = [[*row[:2], Strip(row[2]), *row[3:]] for row in table.rows]
    blocks: list[Block] = [Grid(**{**vars(table), "rows": rows})]
    if audit.history.is_empty():
        blocks.append(Text("No run of checks is on record yet; cbi check makes one."))
    else:
        last = audit.history.row(-1, named=True)
        text = (
            f"{plural(audit.history.height, 'run')} of checks, the last at {instant(last['at'])} "
            f"UTC: {number(last['failed'])} of {number(last['partitions'])} results failed and "
            f"{number(last['warned'])} warned."
        )
        blocks.append(Figure("history", "Checks over time", text, history_figure(audit.history)))
    counts = dict(by_name["last result"].value_counts().rows())
    count = ", ".join(f"{number(counts[name])} {name}" for name in _STATES if name in counts)
    return Section("checks", "Checks", blocks, count)
