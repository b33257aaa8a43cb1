"""Say which lines of the plan would make the unknown roll steps of training tables known."""

from __future__ import annotations

import polars as pl

from cbi_assets.downloads.plan_model import Request
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.wanted import Scope
from cbi_assets.formatting import dollars, plural
from cbi_assets.session import Session


def roll_fills(session: Session, builds: pl.DataFrame) -> dict[str, str]:
    """Return, by training table with unknown roll steps, what to buy, for how much.

    The outrights' 1d bars have each contract's own close on both sides of a roll. `builds` has
    table, symbol and roll_unknown of ops.training_builds. Rows are the most that a line can fill:
    some windows contain a gap, too. Buys and quotes nothing.
    """
    return _fill(session, builds.select("table", "symbol", rows="roll_unknown"))


def roll_fills_by_root(session: Session, builds: pl.DataFrame) -> dict[str, str]:
    """Return the same by root, with the rows of all its tables."""
    by_root = builds.group_by("symbol").agg(pl.col("roll_unknown").sum()).sort("symbol")
    return _fill(session, by_root.select(pl.col("symbol").alias("table"), "symbol",
                                         rows="roll_unknown"))  # fmt: skip


def _fill(session: Session, unknown: pl.DataFrame) -> dict[str, str]:
    lacking = unknown.filter(pl.col("rows") > 0)
    if lacking.is_empty():
        return {}
    roots = tuple(lacking["symbol"].unique().sort())
    requests = make_plan(session, Scope(roots=roots, timeframes=("1d",))).requests
    found = {}
    for name, root, rows in lacking.iter_rows():
        own = [request for request in requests if request.root == root]
        lines = "; ".join(_describe(request) for request in own)
        found[name] = (
            f"`cbi plan --symbol {root} --timeframe 1d` would fill up to {plural(rows, 'row')}: "
            f"{lines}"
            if own
            else f"{plural(rows, 'row')}: the outrights' 1d bars are published, and lack the step"
        )
    return found


def _describe(request: Request) -> str:
    price = "price unknown" if request.cost_usd is None else f"about {dollars(request.cost_usd)}"
    symbols = ", ".join(request.symbols)
    return f"{request.schema} {symbols}, {request.start} to {request.end} (exclusive), {price}"
