"""A plan as a person's page, in Markdown: summary first, then what, why and at what cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import groupby

from cbi_assets.config.universe import Universe
from cbi_assets.downloads.plan_model import Gap, Plan, Request
from cbi_assets.market.bars import TIMEFRAMES

NAME = "DATABENTO_DOWNLOAD_SPEC_FINAL"
"""The page's and the plan's file name, without the ending."""

_TIERS = {
    1: "traded",
    2: "needed by the traded ones",
    3: "core of the audit's list",
    4: "the others of the audit's list",
}


def render(plan: Plan, universe: Universe) -> str:
    """The page. `universe` gives names and tiers; all figures are the plan's."""
    parts = [
        "# Databento download spec",
        _summary(plan),
        "## What to do with it",
        _next_steps(plan),
        "## What is asked for",
        _asked(plan, universe),
        "## What is there already",
        _there(plan),
        "## What is not asked for",
        _not_asked(plan, universe),
        "## How it was worked out",
        _rules(plan),
    ]
    return "\n\n".join(parts) + "\n"


def by_timeframe(plan: Plan) -> list[dict[str, str]]:
    """The requests of each timeframe together, as rows to show."""
    rows = []
    for timeframe in TIMEFRAMES:
        requests = [r for r in plan.requests if r.timeframe == timeframe]
        if requests:
            rows.append(
                {
                    "bars of": timeframe,
                    "roots": f"{len({request.root for request in requests})}",
                    "requests": f"{len(requests)}",
                    "bars": _mark(plan, count(_total(r.records for r in requests))),
                    "size": _mark(plan, size(_total(r.bytes for r in requests))),
                    "USD": _mark(plan, dollars(_total(r.cost_usd for r in requests))),
                }
            )
    return rows


def summary_rows(plan: Plan) -> list[dict[str, str]]:
    """The requests of each root together, as rows to show."""
    rows = []
    for root, group in groupby(plan.requests, key=lambda request: request.root):
        requests = list(group)
        rows.append(
            {
                "root": root,
                "timeframes": ", ".join(dict.fromkeys(r.timeframe for r in requests)),
                "requests": str(len(requests)),
                "bars": count(_total(r.records for r in requests)),
                "size": size(_total(r.bytes for r in requests)),
                "USD": dollars(_total(r.cost_usd for r in requests)),
            }
        )
    return rows


def count(value: float | None) -> str:
    """A count with thousands separators, `unknown` for None."""
    return "unknown" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes as MB or GB (10^6, 10^9), `unknown` for None."""
    if value is None:
        return "unknown"
    return f"{value / 1e9:,.2f} GB" if value >= 1e9 else f"{value / 1e6:,.2f} MB"


def dollars(value: float | None) -> str:
    """US dollars to the cent, `unknown` for None; a tenth of a cent is told as `<0.01`."""
    if value is None:
        return "unknown"
    return "<0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def totals(plan: Plan) -> str:
    """One line: how many requests, and what they come to."""
    roots = len({request.root for request in plan.requests})
    if not plan.requests:
        return f"Nothing is missing through {plan.through}: there is nothing to ask for."
    return (
        f"{_plural(len(plan.requests), 'request')} for {_plural(roots, 'root')}: "
        f"{count(plan.records)} bars, {size(plan.bytes)} uncompressed, "
        f"{dollars(plan.cost_usd)} USD ({plan.basis})."
    )


def room(plan: Plan) -> str:
    """Whether the plan's files fit on the drive, in one sentence."""
    if plan.free_bytes is None:
        return "No drive is mounted (CBI_DRIVE), so its room is not known."
    free = f"The drive has {size(plan.free_bytes)} free"
    if plan.bytes is None:
        return f"{free}; the plan's size is not known."
    if plan.bytes > plan.free_bytes:
        return f"{free}, **less than the plan's {size(plan.bytes)}**: make room first."
    return f"{free}, enough for the plan's {size(plan.bytes)}; compressed, the files are smaller."


def _summary(plan: Plan) -> str:
    lines = [totals(plan), room(plan)]
    if plan.requests and plan.basis == "estimated":
        lines.append(
            "**Estimated, not quoted.** The figures are this project's own, because no "
            "DATABENTO_API_KEY was set; nobody has asked Databento for a price yet."
        )
    facts = [
        f"- Plan `{plan.plan_hash[:12]}`, made {plan.made_at:%Y-%m-%d %H:%M} UTC",
        f"- Wanted through trade date {plan.through}",
        f"- Full hash `{plan.plan_hash}`",
    ]
    parts = ["\n\n".join(lines)]
    if plan.requests:
        rows = by_timeframe(plan)
        parts.append(_table(list(rows[0]), [list(row.values()) for row in rows]))
    return "\n\n".join([*parts, "\n".join(facts)])


def _next_steps(plan: Plan) -> str:
    if not plan.requests:
        return "Nothing. `cbi plan --verify` shows, root by root, that all of it is there."
    name = plan.plan_hash[:12]
    if plan.basis == "quoted" and plan.cost_usd is not None:
        first, ceiling = "", f"{_ceiling(plan.cost_usd):.2f}"
    else:
        ceiling = "N"
        first = (
            "Better first: set DATABENTO_API_KEY and run `cbi plan` again. Quotes cost nothing, "
            "and the page then shows Databento's own figures under a hash of its own.\n\n"
        )
    return (
        first
        + "Nothing is bought until a person has approved exactly this plan. Read on, and then:\n\n"
        "```sh\n"
        "# N is the most US dollars that may be spent\n"
        f"cbi approve {name} --by YOUR_NAME --max-usd {ceiling}\n"
        "# asks for the price once more before it buys\n"
        f"cbi download {name}\n"
        "# is all of it there now?\n"
        "cbi plan --verify\n"
        "```\n\n"
        "An approval is for this plan alone and is used up by its download. If a price has risen "
        "above the ceiling by then, nothing more is bought."
    )


def _asked(plan: Plan, universe: Universe) -> str:
    if not plan.requests:
        return "Nothing."
    datasets = ", ".join(sorted({f"`{request.dataset}`" for request in plan.requests}))
    parts = []
    for tier, group in groupby(plan.requests, key=lambda r: _tier(universe, r.root)):
        parts.append(f"### Tier {tier}: {_TIERS.get(tier, 'outside the universe')}")
        for root, requests in groupby(group, key=lambda request: request.root):
            spec = universe.roots.get(root)
            parts.append(f"**{root}**" + (f", {spec.name} ({spec.exchange})" if spec else ""))
            parts.append(
                _table(
                    ["bars of", "symbol", "first day", "last day", "why", "bars", "size", "USD",
                     "request"],
                    [_request_row(request) for request in requests],
                )
            )  # fmt: skip
    parts.append(
        "Days are UTC and both are included. Every request is for DBN files, zstd-compressed, one "
        f"a month, of dataset {datasets}. A symbol that ends in `.FUT` is a parent: all contracts "
        "and spreads of that root. One that ends in `.v.0` is the vendor's continuous contract by "
        "volume."
    )
    return "\n\n".join(parts)


def _request_row(request: Request) -> list[str]:
    last = request.end - dt.timedelta(days=1)
    return [
        request.timeframe,
        " ".join(f"`{symbol}`" for symbol in request.symbols) + f" ({request.stype_in})",
        str(request.start),
        str(last),
        request.why,
        _mark(request, count(request.records)),
        _mark(request, size(request.bytes)),
        _mark(request, dollars(request.cost_usd)),
        f"`{request.request_id}`",
    ]


def _there(plan: Plan) -> str:
    if not plan.held:
        return "Nothing is published yet (`cbi load` publishes what lies on the drive)."
    parts = []
    for counts, told in (
        (True, "Counted, so it is not asked for again:"),
        (False, "Published as well, but the universe does not ask for it:"),
    ):
        rows = [
            [h.root, h.timeframe, _series(h.series), f"{h.trade_dates:,}", f"{h.bars:,}",
             str(h.first_date), str(h.last_date)]
            for h in plan.held
            if h.counts == counts
        ]  # fmt: skip
        if rows:
            headings = ["root", "timeframe", "series", "trade dates", "bars", "from", "to"]
            parts += [told, _table(headings, rows)]
    return "\n\n".join(parts)


def _not_asked(plan: Plan, universe: Universe) -> str:
    parts = []
    if plan.gaps:
        rows = [[root, frames, told_by, dates] for root, frames, told_by, dates in _by_root(plan)]
        parts += [
            "Trade dates that Databento itself lacks. They stay empty; nothing is filled in.",
            _table(["root", "bars of", "told by", "trade dates"], rows),
        ]
    asked = {request.root for request in plan.requests}
    held = {holding.root for holding in plan.held if holding.counts}
    whole = [root for root in universe.roots if root in held and root not in asked]
    if whole:
        parts.append("Roots with nothing missing: " + ", ".join(whole) + ".")
    parts += [f"**{entry.name}**: {entry.why}" for entry in plan.unavailable]
    parts.append("Saturdays and CME's holidays: no request is made for them.")
    return "\n\n".join(parts)


def _rules(plan: Plan) -> str:
    rules = [
        "What is published was counted in the tables, by trade date, not by the folders' names.",
        "A trade date is published when its own UTC day has a bar of it. The evening before alone "
        "(the end of an older job) is not the trade date; its remaining days are asked for.",
        "For a parent, a trade date is published when any contract of the root has a bar on it.",
        "A range runs on over days on which the vendor has nothing: they cost nothing, and one "
        "request is easier to check than several. It never runs over a published day.",
        "`bars` and `size` are uncompressed DBN, which is what Databento bills; `~` marks an "
        "estimate.",
    ]
    if plan.estimate_source:
        rules.append(plan.estimate_source)
    return "\n".join(f"- {rule}" for rule in rules)


def _by_root(plan: Plan) -> list[tuple[str, str, str, str]]:
    found: dict[tuple[str, str, tuple[dt.date, ...]], list[Gap]] = {}
    for gap in plan.gaps:
        found.setdefault((gap.root, gap.told_by, gap.trade_dates), []).append(gap)
    return [
        (root, ", ".join(gap.timeframe for gap in gaps), told_by, ", ".join(map(str, dates)))
        for (root, told_by, dates), gaps in found.items()
    ]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = {"roots", "requests", "bars", "size", "USD", "trade dates"}
    right = [
        heading in numeric and all(_is_figure(row[place]) for row in rows)
        for place, heading in enumerate(headings)
    ]
    rule = "|" + "|".join(" ---: " if is_right else " --- " for is_right in right) + "|"
    lines = ["| " + " | ".join(cells) + " |" for cells in [headings, *rows]]
    return "\n".join([lines[0], rule, *lines[1:]])


def _mark(told: Plan | Request, figure: str) -> str:
    """The figure, marked where it is an estimate."""
    return f"~{figure}" if told.basis == "estimated" and figure != "unknown" else figure


def _is_figure(cell: str) -> bool:
    return cell == "unknown" or cell[:1] in "<~" or (cell[:1].isdigit() and "-" not in cell)


def _series(name: str) -> str:
    return "contracts" if name == "outright" else f"`{name}`"


def _tier(universe: Universe, root: str) -> int:
    spec = universe.roots.get(root)
    return spec.tier if spec else 0


def _total(values: Iterable[float | None]) -> float | None:
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if len(known) == len(every) else None


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _ceiling(cost: float) -> float:
    """The cost, rounded up to the cent."""
    return -(-round(cost * 1e6) // 10_000) / 100
