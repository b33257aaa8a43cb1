"""Collect the traded roots' newest sessions, rolls and levels from daily_ml_matrix."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from cbi_assets.config.universe import Universe
from cbi_assets.report.audit_model import Chart

CHARTED: Final = ("ZL", "MES")
NEWEST: Final = 130
"""Sessions per chart, about half a year."""

_PIVOTS: Final = ("P", "R1", "R2", "S1", "S2")
_SWINGS: Final = ("direction", "swing_high_date", "swing_low_date", "confirmed_on")
_ZONE: Final = ("fib_50", "fib_618", "swing_high", "swing_low")


def charts_of(universe: Universe, sessions: pl.DataFrame, rolls: pl.DataFrame) -> tuple[Chart, ...]:
    """Return a chart of each of CHARTED that has rows.

    `sessions` is the result of report/sessions.sql and `rolls` that of report/rolls.sql, both in
    order of date.
    """
    charts = []
    for root in CHARTED:
        rows = sessions.filter(root=root)
        if rows.is_empty():
            continue
        last = rows.row(-1, named=True)
        fibonacci = last["fibonacci"] or {}
        retracements = [name for name in fibonacci if name.startswith("retrace")]
        charts.append(
            Chart(
                root=root,
                name=universe.roots[root].name,
                units=universe.roots[root].units,
                sessions=rows.drop("root", "pivots", "fibonacci", "golden_zone"),
                rolls=rolls.filter(pl.col("date") >= rows["date"][0], root=root).drop("root"),
                pivots=_known(last["pivots"], _PIVOTS),
                fibonacci=_known(fibonacci, ("swing_high", "swing_low", *retracements)),
                swings={name: str(value) for name, value in _known(fibonacci, _SWINGS).items()},
                golden_zone=_known(last["golden_zone"], _ZONE),
            )
        )
    return tuple(charts)


def level(name: str) -> str:
    """Return a level's name for people: `retrace_236` is `23.6%`, `swing_high` is `swing high`."""
    kind, _, digits = name.rpartition("_")
    if kind not in ("retrace", "fib"):
        return name.replace("_", " ")
    return f"{digits[:2]}.{digits[2:]}%".replace(".%", "%")


def _known(struct: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    values = struct or {}
    return {name: values[name] for name in names if values.get(name) is not None}
