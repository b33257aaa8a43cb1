"""Make a plan: batch requests for what is missing, each with a quote or an estimate."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from cbi_assets.config.downloads import Intraday, Policy, Strategy, load_policy
from cbi_assets.config.settings import Settings
from cbi_assets.config.universe import FOUND, Universe
from cbi_assets.downloads.disk_space import free_bytes
from cbi_assets.downloads.estimate import Estimate, estimate
from cbi_assets.downloads.measured_sizes import MeasuredSizes
from cbi_assets.downloads.missing_ranges import Range
from cbi_assets.downloads.plan_model import (
    Alternative,
    Basis,
    Gap,
    Plan,
    Request,
    Unavailable,
    total,
)
from cbi_assets.downloads.wanted import SCHEMAS, UNIVERSE, Coverage, Scope, Wanted, survey
from cbi_assets.formatting import plural, span
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.session import Session

if TYPE_CHECKING:
    from cbi_assets.databento_api.client import Clients
    from cbi_assets.databento_api.quotes import Quote

logger = logging.getLogger(__name__)


def open_clients(settings: Settings) -> Clients | None:
    """Return Databento clients, None if no key is set."""
    if settings.databento_api_key is None:
        return None
    # Importing the client takes a second, which a plan without a key should not pay for.
    from cbi_assets.databento_api.client import connect_from_settings

    return connect_from_settings(settings)


def make_plan(
    session: Session,
    scope: Scope = UNIVERSE,
    clients: Clients | None = None,
    policy: Policy | None = None,
) -> Plan:
    """Plan the fewest requests for what is missing. Buys nothing.

    Parameters
    ----------
    session : Session
        Its clock decides which trade dates are complete.
    scope : Scope
        What the plan covers.
    clients : Clients, optional
        If given, every request is quoted, which costs nothing; else it is estimated.
    policy : Policy, optional
        The project's own (downloads.yaml) if not given.

    Returns
    -------
    Plan
        Possibly without requests.
    """
    policy = policy or load_policy()
    wanted = survey(session, scope, clients, policy)
    requests = _requests_of(session, policy, wanted, scope.newest_only)
    quoted: dict[str, Request] = {}
    if clients is not None:
        requests = _get_quotes(clients, requests, quoted)
    return Plan(
        made_at=session.now.astimezone(dt.UTC),
        through=wanted.through,
        requests=tuple(requests),
        published=wanted.published,
        gaps=tuple(gap for coverage in wanted.coverages for gap in gaps_of(coverage)),
        unavailable=(
            *(Unavailable(name, why) for name, why in policy.unavailable.items()),
            *unplanned(session.universe, scope),
        ),
        alternatives=(
            ()
            if scope.newest_only
            else _compare(session, scope, wanted.through, clients, quoted, policy)
        ),
        free_bytes=free_bytes(session.settings.cbi_drive),
        estimate_source=(
            f"Prices: {policy.estimates.price_source}. Bars: {policy.estimates.record_source}."
            if clients is None
            else ""
        ),
    )


def unplanned(universe: Universe, scope: Scope) -> list[Unavailable]:
    """Return the roots that `scope` names but the universe wants in none of its timeframes."""
    found = []
    for root in scope.roots:
        wanted = universe.roots[root].timeframes
        if not set(wanted) & set(scope.timeframes):
            why = (
                f"universe.yaml wants {', '.join(wanted)} of it only. To plan another, add it there"
                if wanted
                else "its bars are loaded where they are on the drive, but universe.yaml wants no "
                f"timeframe of it (tier {FOUND}). To plan it, give it timeframes and another tier"
            )
            found.append(Unavailable(root, f"nothing is planned: {why}."))
    return found


def _requests_of(
    session: Session, policy: Policy, wanted: Wanted, newest_only: bool = False
) -> list[Request]:
    """Return the requests for all missing ranges, with estimated figures."""
    return [
        request
        for coverage in _requests_by_coverage(session, policy, wanted, newest_only)
        for request in coverage
    ]


def _requests_by_coverage(
    session: Session, policy: Policy, wanted: Wanted, newest_only: bool = False
) -> list[list[Request]]:
    sizes = MeasuredSizes.read(session, list(wanted.coverages))
    return [
        [
            request_for(session.universe, policy, coverage, missing, each)
            for missing in (*coverage.ranges, *coverage.modified)
            if missing.is_newest(wanted.through) or not newest_only
        ]
        for coverage in wanted.coverages
        for each in [sizes.bars_per_date(session, policy, coverage)]
    ]


def estimated_costs(session: Session, wanted: Wanted) -> list[float | None]:
    """Return what each coverage lacks would cost, in US dollars; None if no price is known."""
    requests = _requests_by_coverage(session, load_policy(), wanted)
    return [total(request.cost_usd for request in each) for each in requests]


def _compare(
    session: Session,
    scope: Scope,
    through: dt.date,
    clients: Clients | None,
    quoted: dict[str, Request],
    policy: Policy,
) -> tuple[Alternative, ...]:
    """Return, for each root's 1h and 1m bars, what each strategy would request and cost."""
    timeframes = tuple(timeframe for timeframe in scope.timeframes if timeframe in INTRADAY)
    universe = session.universe
    roots = tuple(
        root
        for root in universe.select(scope.roots)
        if set(timeframes) & set(universe.roots[root].timeframes)
    )
    if not roots:
        return ()
    found = []
    for strategy in get_args(Strategy):
        like = policy.model_copy(update={"intraday": Intraday(default=strategy), "roots": {}})
        wanted = survey(session, Scope(roots, timeframes, through), None, like)
        requests = _requests_of(session, like, wanted)
        if clients is not None:
            requests = _get_quotes(clients, requests, quoted)
        contracts = {(c.root, c.timeframe) for c in wanted.coverages if _is_contract(c)}
        for coverage in wanted.coverages:
            key = (coverage.root, coverage.timeframe)
            if not _is_contract(coverage):
                own = [r for r in requests if (r.root, r.timeframe) == key]
                known = strategy != "chain" or key in contracts
                chosen = policy.strategy_of(*key) == strategy
                found.append(_alternative(*key, strategy, own if known else None, chosen))
    places = {root: place for place, root in enumerate(roots)}
    return tuple(sorted(found, key=lambda f: (places[f.root], TIMEFRAMES.index(f.timeframe))))


def _is_contract(coverage: Coverage) -> bool:
    return coverage.series.stype_in == "raw_symbol"


def _alternative(
    root: str,
    timeframe: Timeframe,
    strategy: Strategy,
    requests: Sequence[Request] | None,
    chosen: bool,
) -> Alternative:
    """Return what the requests cost in all; None if the root's contracts are not known."""
    if requests is None:
        why = "needs the published 1d bars of its parent, and a roll rule"
        return Alternative(root, timeframe, strategy, chosen, 0, None, None, None, "estimated", why)
    basis: Basis = "quoted" if all(r.basis == "quoted" for r in requests) else "estimated"
    contracts = [r.start for r in requests if r.stype_in == "raw_symbol"]
    starts_late = contracts and min(contracts) > min(r.start for r in requests)
    note = f"contracts from {min(contracts)}, as 1d bars are published" if starts_late else ""
    return Alternative(
        root,
        timeframe,
        strategy,
        chosen,
        len(requests),
        total(r.records for r in requests),
        total(r.bytes for r in requests),
        total(r.cost_usd for r in requests),
        basis,
        note,
    )


def request_for(
    universe: Universe,
    policy: Policy,
    coverage: Coverage,
    missing: Range,
    measured: float | None = None,
) -> Request:
    """Return the batch request for one range, with estimated figures."""
    count = len(missing.trade_dates)
    calendar = universe.roots[coverage.root].calendar
    figures = estimate(
        policy.estimates, coverage.series, coverage.timeframe, calendar, count, measured
    )
    request = Request(
        root=coverage.root,
        dataset=universe.roots[coverage.root].dataset,
        schema=SCHEMAS[coverage.timeframe],
        symbols=(coverage.series.symbol,),
        stype_in=coverage.series.stype_in,
        start=missing.start,
        end=missing.end,
        why=_why(missing),
        replaces=missing.replaces,
    )
    return _with(request, figures)


def gaps_of(coverage: Coverage) -> list[Gap]:
    """Return the trade dates that Databento lacks, by the source that says so."""
    by_source = (
        (coverage.known_gaps, "sources.yaml"),
        (coverage.reported_gaps, "the jobs' condition.json"),
        (coverage.awaited, "pending at Databento: planned once it is final"),
    )
    return [
        Gap(coverage.root, coverage.timeframe, dates, source)
        for dates, source in by_source
        if dates
    ]


def _get_quotes(
    clients: Clients, requests: Sequence[Request], quoted: dict[str, Request]
) -> list[Request]:
    """Return the requests with quotes; adds them to `quoted`, which is not asked for again."""
    from cbi_assets.databento_api.quotes import get_quote

    new = [request for request in requests if request.request_id not in quoted]
    if new:
        logger.info("requesting quotes for %s", plural(len(new), "request"))
    for request in new:
        with_quote = _with(request, get_quote(clients, request))
        quoted[request.request_id] = replace(with_quote, basis="quoted")
    return [quoted[request.request_id] for request in requests]


def _with(request: Request, figures: Quote | Estimate) -> Request:
    return replace(request, records=figures.records, bytes=figures.bytes, cost_usd=figures.cost_usd)


def _why(missing: Range) -> str:
    dates = plural(len(missing.trade_dates), "trade date")
    first_to_last = span(missing.trade_dates[0], missing.trade_dates[-1])
    where = {
        "all": "nothing of it is published",
        "head": "before the first day that is published",
        "tail": "after the last day that is published",
        "hole": "a hole between published days",
        "modified": "modified by Databento since it was fetched",
    }
    return f"{where[missing.kind]}: {dates}, {first_to_last}"
