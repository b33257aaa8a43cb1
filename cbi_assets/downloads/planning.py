"""Make a plan: batch requests for what is missing, each with a quote or an estimate."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cbi_assets.config.downloads import Policy, load_policy
from cbi_assets.config.settings import Settings
from cbi_assets.config.universe import Universe
from cbi_assets.downloads.disk_space import free_bytes
from cbi_assets.downloads.estimate import Estimate, estimate
from cbi_assets.downloads.plan_model import Gap, Plan, Request, Unavailable
from cbi_assets.downloads.wanted import SCHEMAS, UNIVERSE, Coverage, Range, Scope, survey
from cbi_assets.formatting import plural, span
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
    requests = [
        request_for(session.universe, policy, coverage, missing)
        for coverage in wanted.coverages
        for missing in (*coverage.ranges, *coverage.modified)
        if missing.kind == "tail" or not scope.newest_only
    ]
    if clients is not None:
        requests = _get_quotes(clients, requests)
    return Plan(
        made_at=session.now.astimezone(dt.UTC),
        through=wanted.through,
        requests=tuple(requests),
        published=wanted.published,
        gaps=tuple(gap for coverage in wanted.coverages for gap in gaps_of(coverage)),
        unavailable=tuple(Unavailable(name, why) for name, why in policy.unavailable.items()),
        free_bytes=free_bytes(session.settings.cbi_drive),
        estimate_source=(
            f"Prices: {policy.estimates.price_source}. Bars: {policy.estimates.record_source}."
            if clients is None
            else ""
        ),
    )


def request_for(universe: Universe, policy: Policy, coverage: Coverage, missing: Range) -> Request:
    """Return the batch request for one range, with estimated figures."""
    count = len(missing.trade_dates)
    calendar = universe.roots[coverage.root].calendar
    figures = estimate(policy.estimates, coverage.series, coverage.timeframe, calendar, count)
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


def _get_quotes(clients: Clients, requests: Sequence[Request]) -> list[Request]:
    from cbi_assets.databento_api.quotes import get_quote

    logger.info("requesting quotes for %s", plural(len(requests), "request"))
    return [
        replace(_with(request, get_quote(clients, request)), basis="quoted") for request in requests
    ]


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
