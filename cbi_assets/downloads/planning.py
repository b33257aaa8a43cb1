"""Make a plan: what is missing as batch requests, each with its quote or an estimate."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cbi_assets.config.downloads import Policy, load_policy
from cbi_assets.databento_api.batch_request import Schema
from cbi_assets.downloads.estimate import Figures, estimate
from cbi_assets.downloads.plan_model import Gap, Plan, Request, Unavailable
from cbi_assets.downloads.wanted import Coverage, Range, Wanted, last_complete, survey
from cbi_assets.drive.inventory import missing_days_of
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import Project, Session

if TYPE_CHECKING:
    from cbi_assets.databento_api.client import Clients
    from cbi_assets.databento_api.quotes import Quote

_SCHEMAS: dict[Timeframe, Schema] = {"1d": "ohlcv-1d", "1h": "ohlcv-1h", "1m": "ohlcv-1m"}


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """What a plan is made for: all of the universe unless told otherwise.

    `through` is the last trade date wanted; `newest_only` leaves out all but the newest days of
    series that are published.
    """

    roots: tuple[str, ...] = ()
    timeframes: tuple[Timeframe, ...] = TIMEFRAMES
    through: dt.date | None = None
    newest_only: bool = False


def open_clients(project: Project) -> Clients | None:
    """Clients where a key is set, else None."""
    if project.settings.databento_api_key is None:
        return None
    # the client takes a second to import, which a plan without a key does not owe it
    from cbi_assets.databento_api.client import connect_from_settings

    return connect_from_settings(project.settings)


def survey_project(
    session: Session,
    scope: Scope = Scope(),
    clients: Clients | None = None,
    policy: Policy | None = None,
) -> Wanted:
    """What is wanted, published and missing.

    With `clients`, nothing is wanted that the vendor does not give out yet.
    """
    policy = policy or load_policy()
    through = last_complete(_available(clients, policy, scope, session.now), scope.through)
    missing_days = missing_days_of(session.catalog.files().values())
    return survey(
        session.project,
        policy,
        session.warehouse,
        through,
        missing_days,
        scope.roots,
        scope.timeframes,
    )


def make_plan(
    session: Session,
    scope: Scope = Scope(),
    clients: Clients | None = None,
    policy: Policy | None = None,
) -> Plan:
    """The fewest requests that bring what is missing.

    With `clients` every request is quoted, which costs nothing; else it is
    estimated.
    """
    policy = policy or load_policy()
    project = session.project
    wanted = survey_project(session, scope, clients, policy)
    requests = [
        request_of(project, policy, coverage, found)
        for coverage in wanted.coverages
        for found in coverage.ranges
        if found.kind == "tail" or not scope.newest_only
    ]
    if clients is not None:
        requests = _quoted(clients, requests)
    return Plan(
        made_at=session.now.astimezone(dt.UTC),
        through=wanted.through,
        requests=tuple(requests),
        held=wanted.held,
        gaps=tuple(gap for coverage in wanted.coverages for gap in gaps_of(coverage)),
        unavailable=tuple(Unavailable(name, why) for name, why in policy.unavailable.items()),
        free_bytes=free_room(project.settings.cbi_drive),
        estimate_source=(
            f"Prices: {policy.estimates.price_source}. Bars: {policy.estimates.record_source}."
            if clients is None
            else ""
        ),
    )


def request_of(project: Project, policy: Policy, coverage: Coverage, found: Range) -> Request:
    """The batch request for one range, with estimated figures."""
    count = len(found.trade_dates)
    calendar = project.universe.roots[coverage.root].calendar
    figures = estimate(policy.estimates, coverage.series, coverage.timeframe, calendar, count)
    request = Request(
        root=coverage.root,
        dataset=policy.dataset,
        schema=_SCHEMAS[coverage.timeframe],
        symbols=(coverage.series.symbol,),
        stype_in=coverage.series.stype_in,
        start=found.start,
        end=found.end,
        why=_why(found),
    )
    return _with(request, figures, quoted=False)


def gaps_of(coverage: Coverage) -> list[Gap]:
    """The trade dates that the vendor lacks, by who says so."""
    told = ((coverage.known_gaps, "sources.yaml"), (coverage.told_gaps, "the jobs' condition.json"))
    return [Gap(coverage.root, coverage.timeframe, dates, by) for dates, by in told if dates]


def free_room(drive: Path | None) -> int | None:
    """Free bytes on the drive, None where it is not mounted."""
    return shutil.disk_usage(drive).free if drive is not None and drive.is_dir() else None


def _available(
    clients: Clients | None, policy: Policy, scope: Scope, now: dt.datetime
) -> dt.datetime:
    if clients is None:
        return now
    from cbi_assets.databento_api.quotes import available_until

    schemas = [_SCHEMAS[timeframe] for timeframe in scope.timeframes]
    return min(now, available_until(clients, policy.dataset, schemas))


def _quoted(clients: Clients, requests: Sequence[Request]) -> list[Request]:
    from cbi_assets.databento_api.quotes import get_quote

    logger.info("asking Databento for the price of %d requests", len(requests))
    return [_with(request, get_quote(clients, request), quoted=True) for request in requests]


def _with(request: Request, figures: Figures | Quote, quoted: bool) -> Request:
    return replace(
        request,
        records=figures.records,
        bytes=figures.bytes,
        cost_usd=figures.cost_usd,
        basis="quoted" if quoted else "estimated",
    )


def _why(found: Range) -> str:
    count = len(found.trade_dates)
    dates = "1 trade date" if count == 1 else f"{count:,} trade dates"
    first, last = found.trade_dates[0], found.trade_dates[-1]
    span = f"{first}" if first == last else f"{first} to {last}"
    match found.kind:
        case "all":
            return f"nothing of it is published: {dates}, {span}"
        case "head":
            return f"before the first day that is published: {dates}, {span}"
        case "tail":
            return f"after the last day that is published: {dates}, {span}"
        case "hole":
            return f"a hole between published days: {dates}, {span}"
