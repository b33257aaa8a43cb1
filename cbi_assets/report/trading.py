"""The traded roots as the matrix has them: newest sessions, rolls, and the last row's levels."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from cbi_assets.report.facts import Chart, Roll, Session
from cbi_assets.session import Project

CHARTED: Final = ("ZL", "MES")
"""The roots that the audit draws: those that are traded."""

NEWEST: Final = 130
"""Sessions that a chart shows, about half a year."""

_PIVOTS: Final = ("P", "R1", "R2", "S1", "S2")
_SWINGS: Final = ("direction", "swing_high_date", "swing_low_date", "confirmed_on")
_ZONE: Final = ("fib_50", "fib_618", "swing_high", "swing_low")


def charts_of(project: Project, sessions: pl.DataFrame, rolls: pl.DataFrame) -> tuple[Chart, ...]:
    """A chart of each of CHARTED that has rows. `sessions` are rows of daily_ml_matrix, `rolls`
    root, date and active_contract."""
    charts = []
    for root in CHARTED:
        rows = sessions.filter(pl.col("symbol") == root).sort("data_date").to_dicts()
        if not rows:
            continue
        first, last = rows[0]["data_date"], rows[-1]
        own = rolls.filter((pl.col("root") == root) & (pl.col("date") >= first)).sort("date")
        fibonacci = last["fibonacci"] or {}
        charts.append(
            Chart(
                root=root,
                name=project.universe.roots[root].name,
                units=project.universe.roots[root].units,
                sessions=tuple(_session(row) for row in rows),
                rolls=tuple(
                    Roll(row["date"], row["active_contract"]) for row in own.iter_rows(named=True)
                ),
                pivots=_known(last["pivots"], _PIVOTS),
                fibonacci={
                    name: value
                    for name, value in fibonacci.items()
                    if isinstance(value, float) and name.startswith(("retrace", "swing"))
                },
                swings={
                    name: str(fibonacci[name])
                    for name in _SWINGS
                    if fibonacci.get(name) is not None
                },
                golden_zone=_known(last["golden_zone"], _ZONE),
            )
        )
    return tuple(charts)


def _session(row: dict[str, Any]) -> Session:
    bar, pivots, zone = row["market_data"] or {}, row["pivots"] or {}, row["golden_zone"] or {}
    return Session(
        date=row["data_date"],
        open=bar.get("open"),
        high=bar.get("high"),
        low=bar.get("low"),
        close=bar.get("close"),
        pivot=pivots.get("P"),
        zone_state=zone.get("state"),
        triggered=zone.get("qualified_trigger"),
    )


def _known(struct: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, float]:
    found = struct or {}
    return {name: found[name] for name in names if found.get(name) is not None}
