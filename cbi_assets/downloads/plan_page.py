"""Render a plan as a Markdown page: summary first, then what is requested, why, and its cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from cbi_assets.config.downloads import Strategy
from cbi_assets.config.universe import FOUND, Universe
from cbi_assets.downloads.plan_model import Gap, Plan, Request, total
from cbi_assets.formatting import dollars, markdown_table, number, plural, size
from cbi_assets.market.bars import TIMEFRAMES

NAME = "DATABENTO_DOWNLOAD_SPEC_FINAL"
"""File name of the page and of the plan, without suffix."""

_NUMERIC = {"roots", "requests", "bars", "size", "cost", "trade dates"}
_STRATEGIES: dict[Strategy, str] = {
    "continuous": "`.v.0` alone, unadjusted",
    "chain": "`.v.0` and the contracts it may roll through",
    "parent": "every contract and spread",
}
_TIERS = {
    1: "traded",
    2: "needed by the traded ones",
    3: "core of the audit's list",
    4: "the others of the audit's list",
}


def render(plan: Plan, universe: Universe) -> str:
    """Return the page. `universe` gives names and tiers; all figures are the plan's."""
    parts = [
        "# Databento download spec",
        _summary(plan),
        "## Next steps",
        _next_steps(plan),
        "## Requests",
        _requests(plan, universe),
        "## Alternatives for 1h and 1m bars",
        _alternatives(plan),
        "## Already published",
        _published(plan),
        "## Not requested",
        _not_requested(plan, universe),
        "## How this was computed",
        _rules(),
    ]
    return "\n\n".join(parts) + "\n"


def rows_by_timeframe(plan: Plan) -> list[dict[str, str]]:
    """Return one row per timeframe with requests, to show as a table."""
    rows = []
    for timeframe in TIMEFRAMES:
        requests = [r for r in plan.requests if r.timeframe == timeframe]
        if requests:
            roots = {request.root for request in requests}
            rows.append({"timeframe": timeframe, "roots": str(len(roots)), **_totals(requests)})
    return rows


def rows_by_root(plan: Plan) -> list[dict[str, str]]:
    """Return one row per root with requests, to show as a table."""
    rows = []
    for root, group in groupby(plan.requests, key=lambda request: request.root):
        requests = list(group)
        timeframes = ", ".join(dict.fromkeys(r.timeframe for r in requests))
        rows.append({"root": root, "timeframes": timeframes, **_totals(requests)})
    return rows


def rows_by_series(plan: Plan) -> list[dict[str, str]]:
    """Return one row per root and timeframe with requests, to show as a table."""
    by_series = groupby(plan.requests, key=lambda request: (request.root, request.timeframe))
    return [
        {"root": root, "timeframe": timeframe, **_totals(list(group))}
        for (root, timeframe), group in by_series
    ]


def summarize(plan: Plan) -> str:
    """Return one line: how many requests, and their total, or why there are none."""
    if not plan.requests and plan.unavailable and not any(p.counts for p in plan.published):
        return " ".join(map(str, plan.unavailable))
    if not plan.requests:
        return f"Nothing is missing through {plan.through}: there is nothing to request."
    roots = len({request.root for request in plan.requests})
    return (
        f"{plural(len(plan.requests), 'request')} for {plural(roots, 'root')}: "
        f"{number(plan.records)} bars, {size(plan.bytes)} uncompressed, "
        f"{dollars(plan.cost_usd)} ({plan.basis})."
    )


def compare_space(plan: Plan) -> str:
    """Return one sentence: whether the plan's files fit on the drive."""
    if plan.free_bytes is None:
        return "No drive is mounted (CBI_DRIVE), so its free space is unknown."
    free = f"The drive has {size(plan.free_bytes)} free"
    if plan.bytes is None:
        return f"{free}; the plan's size is unknown."
    if plan.bytes > plan.free_bytes:
        return f"{free}, **less than the plan's {size(plan.bytes)}**: free some space first."
    return f"{free}, enough for the plan's {size(plan.bytes)}; compressed, the files are smaller."


def _summary(plan: Plan) -> str:
    parts = [summarize(plan), compare_space(plan)]
    if plan.requests and plan.basis == "estimated":
        parts.append(
            "**Prices are estimates, not quotes**: DATABENTO_API_KEY was not set. "
            + plan.estimate_source
        )
    if rows := rows_by_timeframe(plan):
        parts.append(_table(list(rows[0]), [list(row.values()) for row in rows]))
    parts.append(
        f"- Plan `{plan.plan_hash[:12]}`, made {plan.made_at:%Y-%m-%d %H:%M} UTC\n"
        f"- Wanted through trade date {plan.through}\n"
        f"- Full hash `{plan.plan_hash}`"
    )
    return "\n\n".join(parts)


def _next_steps(plan: Plan) -> str:
    if not plan.requests:
        return "None. `cbi plan --verify` shows, root by root, that everything is published."
    name = plan.plan_hash[:12]
    if plan.basis == "quoted" and plan.cost_usd is not None:
        first, ceiling = "", f"{_round_up(plan.cost_usd):.2f}"
    else:
        ceiling = "N"
        first = (
            "Recommended first: set DATABENTO_API_KEY and run `cbi plan` again. Quotes cost "
            "nothing, and the new plan then shows Databento's own figures.\n\n"
        )
    return (
        first + "Nothing is bought until a person approves exactly this plan:\n\n"
        "```sh\n"
        "# N is the most US dollars that may be spent\n"
        f"cbi approve {name} --by YOUR_NAME --max-usd {ceiling}\n"
        "# gets new quotes before it buys\n"
        f"cbi download {name}\n"
        "# is everything published now?\n"
        "cbi plan --verify\n"
        "```\n\n"
        "An approval is valid for this plan only, and its download uses it up. If the price has "
        "risen above the ceiling by then, nothing more is bought."
    )


def _requests(plan: Plan, universe: Universe) -> str:
    if not plan.requests:
        return "None."
    datasets = ", ".join(sorted({f"`{request.dataset}`" for request in plan.requests}))
    columns = ["timeframe", "symbol", "first day", "last day", "why", "bars", "size", "cost",
               "request"]  # fmt: skip
    parts = []
    for tier, group in groupby(plan.requests, key=lambda r: _tier(universe, r.root)):
        parts.append(f"### Tier {tier}: {_TIERS.get(tier, 'outside the universe')}")
        for root, requests in groupby(group, key=lambda request: request.root):
            spec = universe.roots.get(root)
            parts.append(f"**{root}**" + (f", {spec.name} ({spec.exchange})" if spec else ""))
            parts.append(_table(columns, [_request_row(request) for request in requests]))
    parts.append(
        "Days are UTC, first and last included. Every request is for zstd-compressed DBN files, "
        f"one per month, of dataset {datasets}. A symbol that ends in `.FUT` is a parent: all "
        "contracts and spreads of that root. One that ends in `.v.0` is Databento's continuous "
        "contract by volume, **unadjusted**: its prices jump where it changes contract."
    )
    return "\n\n".join(parts)


def _alternatives(plan: Plan) -> str:
    if not plan.alternatives:
        return "None: no 1h or 1m bars are wanted."
    columns = ["root", "timeframe", "requested", "requests", "bars", "size", "cost", ""]
    rows = []
    for found in plan.alternatives:
        mark = "~" if found.basis == "estimated" else ""
        figures = (number(found.records), size(found.bytes), dollars(found.cost_usd))
        rows.append(
            [
                found.root,
                found.timeframe,
                _STRATEGIES[found.strategy],
                str(found.requests),
                *(text if text == "unknown" else f"{mark}{text}" for text in figures),
                "; ".join(filter(None, ["**in this plan**" if found.chosen else "", found.note])),
            ]
        )
    return "\n\n".join(
        [
            "What is missing, requested in each of three ways. `intraday` in downloads.yaml "
            "chooses one, by default and for single roots. The contracts are those that are the "
            "front month or the next one, chosen from the published 1d bars, by nothing later than "
            "the day before. An estimate of contracts and spreads is an upper bound: each has at "
            "most one bar per contract traded on a day.",
            _table(columns, rows),
        ]
    )


def _request_row(request: Request) -> list[str]:
    last = request.end - dt.timedelta(days=1)
    totals = _totals([request])
    return [
        request.timeframe,
        " ".join(f"`{symbol}`" for symbol in request.symbols) + f" ({request.stype_in})",
        str(request.start),
        str(last),
        request.why,
        totals["bars"],
        totals["size"],
        totals["cost"],
        f"`{request.request_id}`",
    ]


def _published(plan: Plan) -> str:
    if not plan.published:
        return "Nothing is published yet (`cbi load` publishes what is on the drive)."
    columns = ["root", "timeframe", "series", "trade dates", "bars", "from", "to"]
    parts = []
    for counts, caption in (
        (True, "Not requested again:"),
        (False, "Also published, but not part of the universe:"),
    ):
        rows = [
            [p.root, p.timeframe, _series(p.series), number(p.trade_dates), number(p.bars),
             str(p.first_date), str(p.last_date)]
            for p in plan.published
            if p.counts == counts
        ]  # fmt: skip
        if rows:
            parts += [caption, _table(columns, rows)]
    return "\n\n".join(parts)


def _not_requested(plan: Plan, universe: Universe) -> str:
    parts = []
    if plan.gaps:
        parts += [
            "Trade dates that Databento lacks. They stay empty; nothing is filled in.",
            _table(["root", "timeframes", "source", "dates"], _gap_rows(plan.gaps)),
        ]
    requested = {request.root for request in plan.requests}
    published = {series.root for series in plan.published if series.counts}
    complete = [r for r in universe.roots if r in published and r not in requested]
    if complete:
        parts.append("Roots with nothing missing: " + ", ".join(complete) + ".")
    if found := [name for name, root in universe.roots.items() if root.tier == FOUND]:
        parts.append(
            f"{plural(len(found), 'root')} whose bars are loaded where they are on the drive, and "
            f"of which universe.yaml wants no timeframe (tier {FOUND}): {', '.join(found)}."
        )
    parts += [f"**{entry.name}**: {entry.why}" for entry in plan.unavailable]
    parts.append("Saturdays and CME's holidays are never requested.")
    return "\n\n".join(parts)


def _rules() -> str:
    rules = [
        "Published trade dates are counted in the tables, not derived from folder names.",
        "A trade date is published if its own UTC day has a bar of it. The evening before alone "
        "(the end of an older job) is not enough; its remaining days are requested.",
        "For a parent, a trade date is published if any contract of the root has a bar on it.",
        "A range may include days on which Databento has nothing: they cost nothing, and one "
        "request is easier to check than several. It never includes a published day.",
        "A parent's 1d bars, spreads included, are counted by what is published of that root, "
        "where 20 trade dates are; else by its sector's number.",
        "`bars` and `size` are uncompressed DBN, which is what Databento bills; `~` marks an "
        "estimate.",
    ]
    return "\n".join(f"- {rule}" for rule in rules)


def _gap_rows(gaps: Iterable[Gap]) -> list[list[str]]:
    """Return one row per root, source and dates, with all the timeframes they apply to."""
    timeframes: dict[tuple[str, str, tuple[dt.date, ...]], list[str]] = {}
    for gap in gaps:
        timeframes.setdefault((gap.root, gap.source, gap.trade_dates), []).append(gap.timeframe)
    return [
        [root, ", ".join(names), source, ", ".join(map(str, dates))]
        for (root, source, dates), names in timeframes.items()
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(columns, rows, right=_NUMERIC)


def _totals(requests: Collection[Request]) -> dict[str, str]:
    """Return the count and the totals of requests, marked if they include an estimate."""
    mark = "~" if any(request.basis == "estimated" for request in requests) else ""
    figures = {
        "bars": number(total(r.records for r in requests)),
        "size": size(total(r.bytes for r in requests)),
        "cost": dollars(total(r.cost_usd for r in requests)),
    }
    marked = {k: v if v == "unknown" else f"{mark}{v}" for k, v in figures.items()}
    return {"requests": str(len(requests)), **marked}


def _series(name: str) -> str:
    return "contracts" if name == "outright" else f"`{name}`"


def _tier(universe: Universe, root: str) -> int:
    spec = universe.roots.get(root)
    return spec.tier if spec else 0


def _round_up(cost: float) -> float:
    """Round up to the cent."""
    return -(-round(cost * 1e6) // 10_000) / 100
