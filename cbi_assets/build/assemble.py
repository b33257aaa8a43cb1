"""Compute the rows that a build publishes, from the raw tables and nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cbi_assets.build.build_rule import build_rule
from cbi_assets.build.build_slices import NO_CUTOFF, Built, all_dates
from cbi_assets.build.session_rows import HoursReader, build_sessions, sessions_query
from cbi_assets.build.zone_rows import ZoneStart, zone_rows
from cbi_assets.config.universe import Universe
from cbi_assets.features.crush import CRUSH_LEGS, CRUSH_ROOT
from cbi_assets.features.matrix import ZONE_ROOTS, MatrixInputs, build_matrix
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.market.continuous import choose_active, continuous_series
from cbi_assets.market.rolls import Chain, chain
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.market.sessions import session_close
from cbi_assets.market.symbology import is_continuous
from cbi_assets.session import Project, Session
from cbi_assets.tables import DAILY_ML_MATRIX, MACRO_OBSERVATIONS, ROLL_CALENDAR, YAHOO_BRIDGE
from cbi_assets.warehouse.base import Statement

_FOREVER = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Assembled:
    """Rows of the four tables that a build publishes, for the requested roots.

    `sessions_built` counts the sessions that were computed rather than read back;
    `zone_memories` are those of `ZoneRows`.
    """

    sessions: pl.DataFrame
    rolls: pl.DataFrame
    continuous: pl.DataFrame
    matrix: pl.DataFrame
    sessions_built: int
    zone_memories: list[pl.DataFrame]


def feature_legs(project: Project, roots: Sequence[str]) -> list[str]:
    """Return the roots not in `roots` whose bars their rows need."""
    legs = [leg for root in roots for leg in _legs_of(project, root)]
    return [leg for leg in dict.fromkeys(legs) if leg not in roots]


def _legs_of(project: Project, root: str) -> list[str]:
    """Return the other roots of the universe that the root's rows depend on."""
    crush = CRUSH_LEGS if root == CRUSH_ROOT else ()
    legs = dict.fromkeys([*crush, *project.features.legs_of(root)])
    return [leg for leg in legs if leg != root and leg in project.universe.roots]


def matrix_slices(project: Project, roots: Sequence[str]) -> Built:
    """Return what the matrix' rows of these roots are built from."""
    legs = {root: [leg for leg in _legs_of(project, root) if leg in roots] for root in roots}
    rules = dict.fromkeys(roots, build_rule(project))
    return Built(DAILY_ML_MATRIX, TIMEFRAMES, rules, legs)


def front_month_chain(sessions: pl.DataFrame, universe: Universe) -> Chain:
    """Build each root's front-month chain from `sessions` (the table's columns).

    If a contract has two sessions on a date, the exchange's wins over the vendor's UTC day. Those
    of continuous symbols do not count: they are of the vendor's front month only.
    """
    outrights = sessions.filter(pl.col("contract").is_not_null() & ~is_continuous())
    is_daily = ~pl.col("built_from").is_in(INTRADAY)
    one_each = outrights.sort("contract", "trade_date", is_daily).unique(
        ["contract", "trade_date"], keep="first", maintain_order=True
    )
    return chain(
        one_each.select("root", "contract", "trade_date", "close", "volume"),
        universe.roll_rules(),
        universe.calendars(),
        ROLL_CALENDAR.polars_schema,
    )


def assemble(
    session: Session,
    roots: Sequence[str],
    legs: Sequence[str],
    windows: pl.DataFrame,
    inventory: pl.DataFrame,
    until: dt.date = NO_CUTOFF,
    *,
    whole: bool = False,
    zones: Mapping[str, ZoneStart] | None = None,
    hours: HoursReader | None = None,
) -> Assembled:
    """Compute the rows of these roots. Publishes nothing.

    Parameters
    ----------
    roots : Sequence[str]
        The roots whose rows are returned.
    legs : Sequence[str]
        Further roots that these rows depend on.
    windows : pl.DataFrame
        WINDOWS in which sessions may have changed.
    inventory : pl.DataFrame
        INVENTORY of these windows.
    until : datetime.date
        Last trade date whose bars are used. Observations count if they were published by the last
        close of that date.
    whole : bool
        Compute every session of the windows again instead of reading back those that are up to
        date.
    zones : mapping of str to ZoneStart, optional
        Where the golden zone of each root starts (default: at its first session).
    hours : HoursReader, optional
        Where several calls share what they read of the same bars.
    """
    project = session.project
    hours = hours or HoursReader(session.warehouse)
    found = build_sessions(hours, inventory, windows, [*roots, *legs], until, whole=whole)
    sessions = found.frame
    front = front_month_chain(sessions, project.universe)
    active = choose_active(sessions, front.front_months)
    found_zones = [zone_rows(hours, active, r, (zones or {}).get(r)) for r in ZONE_ROOTS]
    inputs = MatrixInputs(
        active=active,
        sessions=sessions,
        zone=pl.concat([each.rows for each in found_zones]),
        observations=read_observations(session, until),
        calendars=project.universe.calendars(),
        regimes=project.regimes,
        macro=project.macro,
        features=project.features,
        roots=roots,
    )
    matrix = build_matrix(inputs, session.now)
    query = _bridge_query(until)
    bridge = session.warehouse.query(query.sql, query.params)
    continuous = continuous_series(active, sessions, front.rolls, bridge)
    requested = pl.col("root").is_in(list(roots))
    return Assembled(
        sessions=sessions.filter(requested),
        rolls=front.rolls.filter(requested),
        continuous=continuous.filter(requested),
        matrix=matrix.filter(pl.col("symbol").is_in(list(roots))),
        sessions_built=found.built,
        zone_memories=[each.memories for each in found_zones],
    )


def assembly_reads(
    session: Session, roots: Sequence[str], windows: pl.DataFrame, until: dt.date
) -> list[Statement]:
    """Return what `assemble` asks besides raw bars, whatever it finds; `roots` include legs."""
    reads = [_observations_query(session, until), _bridge_query(until)]
    if not windows.equals(all_dates(roots)):
        reads.append(sessions_query(roots, until))
    return reads


def read_observations(session: Session, until: dt.date) -> pl.DataFrame:
    """Return the observations published by the last close of `until`, for `macro_as_of`."""
    query = _observations_query(session, until)
    return session.warehouse.query(query.sql, query.params)


def _observations_query(session: Session, until: dt.date) -> Statement:
    known = _FOREVER
    if until != NO_CUTOFF:
        sectors = set(session.universe.calendars().values())
        known = max(session_close(until, sector) for sector in sectors)
    return Statement(
        "SELECT series_id, reference_date, available_at, value "
        f"FROM `{MACRO_OBSERVATIONS.id}` WHERE available_at <= @known",
        {"known": known},
    )


def _bridge_query(until: dt.date) -> Statement:
    return Statement(
        f"SELECT date, open, high, low, close, volume FROM `{YAHOO_BRIDGE.id}` "
        "WHERE date <= @until ORDER BY date",
        {"until": until},
    )
