"""Record the statistics that justify the Yahoo stitch, at each build."""

from __future__ import annotations

import logging
from dataclasses import asdict

import polars as pl

from cbi_assets.config.sources import Stitch
from cbi_assets.errors import SourceError
from cbi_assets.load.staging.bridge import read_bridge
from cbi_assets.load.staging.layouts import is_bridge
from cbi_assets.load.staging.read import decode, fetch_all
from cbi_assets.market.yahoo_stitch import OverlapStatistics, overlap_statistics
from cbi_assets.session import Project, Session
from cbi_assets.tables import STITCH_STATISTICS, YAHOO_BRIDGE
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)


def record_stitch(session: Session, databento: pl.DataFrame) -> OverlapStatistics | None:
    """Compute the overlap statistics and record them in ops.stitch_statistics.

    `databento` has date and close (native units) of the stitched root's sessions, one row per date.
    Yahoo's closes come from the bridge's file in staging, since no table contains those from the
    boundary on. Returns what was recorded, or None if that file is missing; the last statistics
    then stay.
    """
    project, warehouse, now = session.project, session.warehouse, session.now
    stitch = project.sources.stitch
    if stitch is None:
        return None
    yahoo = read_yahoo(project, stitch)
    if yahoo is None:
        logger.info("the bridge's file is not in staging: the last stitch statistics stay")
        return None
    tick = project.universe.roots[stitch.root].tick
    priced = databento.filter(pl.col("close").is_not_null())
    found = overlap_statistics(yahoo, priced, stitch.boundary, tick)
    rows = warehouse.query(f"SELECT COUNT(*) AS n FROM `{YAHOO_BRIDGE.id}`").item()
    entry = {
        "recorded_at": now,
        "root": stitch.root,
        "boundary": stitch.boundary,
        "scale": stitch.scale,
        "adjustment": stitch.adjustment,
        "close_kind": stitch.close_kind,
        "bridge_rows": rows,
        **asdict(found),
    }
    frame = pl.DataFrame([entry], schema=STITCH_STATISTICS.polars_schema)
    staged = warehouse.stage_frame("stitch_statistics", frame)
    warehouse.transact(
        [
            Statement(
                f"DELETE FROM `{STITCH_STATISTICS.id}` WHERE root = @root AND recorded_at = @now",
                {"root": stitch.root, "now": now},
            ),
            Statement(load_sql("build/insert_stitch", staged=staged)),
        ]
    )
    return found


def read_yahoo(project: Project, stitch: Stitch) -> pl.DataFrame | None:
    """Return Yahoo's closes in staging (date, scaled close), one row per date; None without a file.

    A date with two different closes is left out.
    """
    staging = project.settings.staging
    if staging is None or not staging.is_dir():
        return None
    parts = []
    for found in fetch_all(staging):
        if isinstance(found, SourceError):
            continue  # `load_staging` reports it
        try:
            frame = decode(found)
        except SourceError:
            continue
        if is_bridge(frame, stitch):
            parts.append(read_bridge(frame, stitch).select("date", "close"))
    if not parts:
        return None
    valid = (pl.col("close").is_finite() & (pl.col("close") > 0)).fill_null(False)
    rows = pl.concat(parts).filter(valid & pl.col("date").is_not_null()).unique()
    once = pl.len().over("date") == 1
    return rows.filter(once).sort("date").with_columns(pl.col("close") * stitch.scale)
