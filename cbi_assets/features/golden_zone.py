"""The golden zone: the range between the 50% and 61.8% retracements of a 1h swing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Final

import polars as pl

from cbi_assets.features.fibonacci import retracement
from cbi_assets.features.zigzag import Swing, ZigzagMemory, resume_last_leg
from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX

THRESHOLD: Final = 0.01
"""Reversal that confirms a swing of 1h bars, a fraction of its price: this project's choice."""

SURGE: Final = 1.5
SURGE_BARS: Final = 24
"""A trigger's volume is at least SURGE times the mean of the SURGE_BARS bars before it."""

GOLDEN_ZONE_COLUMNS: Final = DAILY_ML_MATRIX.field_names("golden_zone")


def golden_zone(hourly: pl.DataFrame, threshold: float = THRESHOLD) -> pl.DataFrame:
    """Compare each session's last 1h bar with the last confirmed 1h leg.

    A bar triggers if the bar before it was in the zone, its close is back across fib_50 of that
    zone's leg (above it on an up-leg), its volume is at least 1.5 times the mean of the 24 bars
    before it, and the stay's slope is below 0. The bar before may be of the prior session.

    A stay is a run of bars in the zone of one leg: a swing confirmed meanwhile ends it. If a
    trigger is itself an entry into the new leg's zone, its slope is that of the new stay.

    Parameters
    ----------
    hourly : pl.DataFrame
        root, trade_date, ts_event, high, low, close (native units), volume (contracts): the 1h bars
        of the active contract, the whole history, in any order. Used as given: the step between two
        contracts at a roll is part of the swing.
    threshold : float
        Reversal that confirms a swing, a fraction of its price.

    Returns
    -------
    pl.DataFrame
        root, trade_date and GOLDEN_ZONE_COLUMNS, one row per root and trade date, sorted by both.
        Levels, state and slope are those of the session's last bar; the leg is that of the last two
        swings confirmed by that bar.

        state, on an up-leg: 1 if fib_618 ≤ close ≤ fib_50, 2 below fib_618, 0 above fib_50;
        mirrored on a down-leg. Null without a leg or a close, and if the close is beyond the leg's
        origin.

        vol_decay_slope: slope per bar of the least-squares line through ln volume of the 5 bars
        before the stay's first bar. Set during the stay and at its trigger; null elsewhere, and if
        one of the 5 bars is missing or has no volume.

        qualified_trigger: whether any bar of the session triggered, null if none of its bars had a
        leg.
    """
    series = hourly.partition_by("root") or [hourly]
    return pl.concat(
        [resume_golden_zone(rows, ZoneMemory(), threshold)[0] for rows in series]
    ).sort("root", "trade_date")


@dataclass(frozen=True)
class ZoneMemory:
    """All that later bars of a root's golden zone depend on; nothing, before its first bar.

    `volumes` are of the last SURGE_BARS bars, oldest first; the rest is of the last bar.
    """

    zigzag: ZigzagMemory = field(default_factory=ZigzagMemory)
    volumes: tuple[int | None, ...] = ()
    in_zone: bool = False
    direction: str | None = None
    fib_50: float | None = None
    stay_slope: float | None = None

    def to_json(self) -> str:
        """Return it as text, every float to the last bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ZoneMemory:
        """Return what `to_json` wrote."""
        fields = json.loads(text)
        swings = tuple(Swing(*swing) for swing in fields["zigzag"].pop("swings"))
        zigzag = ZigzagMemory(**fields.pop("zigzag"), swings=swings)
        return cls(zigzag, tuple(fields.pop("volumes")), **fields)


def resume_golden_zone(
    hourly: pl.DataFrame, memory: ZoneMemory, threshold: float = THRESHOLD
) -> tuple[pl.DataFrame, ZoneMemory]:
    """Compute the rows of one root's later sessions, and return its memory after them.

    Equal to the last rows of `golden_zone` of the whole history, whose earlier sessions `memory`
    is of.
    """
    legs, zigzag = resume_last_leg(
        hourly.select(
            "root",
            "trade_date",
            "ts_event",
            "high",
            "low",
            pl.col("close").fill_nan(None),
            "volume",
        ),
        "ts_event",
        threshold,
        memory.zigzag,
    )
    is_new = pl.col("is_new")
    bars = (
        pl.concat(
            [
                _carried(memory),
                legs.with_columns(fib_50=retracement(0.5), fib_618=retracement(0.618))
                .with_columns(state=_state(), is_new=pl.lit(True))
                .with_columns(in_zone=pl.col("state").eq(1).fill_null(False)),
            ],
            how="diagonal",
        )
        .with_columns(decay=_decay())
        .with_columns(
            enters=is_new
            & pl.col("in_zone")
            & (
                ~pl.col("in_zone").shift(1, fill_value=False)
                | (pl.col("confirmed_on") == pl.col("ts_event"))
            )
        )
        .with_columns(stay=pl.col("enters").cum_sum())
        .with_columns(
            stay_slope=pl.when(pl.col("in_zone") & (pl.col("stay") == 0))
            .then(pl.lit(memory.stay_slope, pl.Float64))
            .when("in_zone")
            .then(pl.col("decay").first().over("stay"))
        )
        .with_columns(triggers=_triggers())
        .with_columns(
            vol_decay_slope=pl.when("in_zone")
            .then("stay_slope")
            .when("triggers")
            .then(pl.col("stay_slope").shift(1)),
            triggers=pl.when(pl.col("direction").is_not_null()).then("triggers"),
        )
    )
    last = [name for name in GOLDEN_ZONE_COLUMNS if name != "qualified_trigger"]
    rows = (
        bars.filter(is_new)
        .group_by("root", "trade_date", maintain_order=True)
        .agg(pl.col(last).last(), pl.col("triggers").max().alias("qualified_trigger"))
        .sort("root", "trade_date")
        .select("root", "trade_date", *GOLDEN_ZONE_COLUMNS)
    )
    if bars.is_empty():
        return rows, memory
    ends = bars.tail(1).row(0, named=True)
    known = {name: ends[name] for name in ("in_zone", "direction", "fib_50", "stay_slope")}
    return rows, ZoneMemory(zigzag, tuple(bars["volume"].tail(SURGE_BARS)), **known)


def _carried(memory: ZoneMemory) -> pl.DataFrame:
    """Return the remembered bars; of all but the last, the volume alone."""
    count = len(memory.volumes)
    is_last = pl.int_range(pl.len()) == count - 1
    return pl.DataFrame({"volume": memory.volumes}, schema={"volume": pl.Int64}).with_columns(
        is_new=pl.lit(False),
        in_zone=is_last & memory.in_zone,
        direction=pl.when(is_last).then(pl.lit(memory.direction, pl.String)),
        fib_50=pl.when(is_last).then(pl.lit(memory.fib_50, pl.Float64)),
    )


def _state() -> pl.Expr:
    # A down-leg is an up-leg with every price negated, which is exact.
    up = pl.col("direction") == "up"
    sign = pl.when(up).then(1.0).when(~up).then(-1.0)
    close = sign * pl.col("close")
    origin = sign * pl.when(up).then("swing_low").otherwise("swing_high")
    return (
        pl.when(close.is_null() | (close < origin))
        .then(None)
        .when(close < sign * pl.col("fib_618"))
        .then(2)
        .when(close <= sign * pl.col("fib_50"))
        .then(1)
        .otherwise(0)
        .cast(pl.Int64)
    )


def _decay() -> pl.Expr:
    """Return the slope of ln volume over the 5 bars before each bar."""
    log = pl.when(pl.col("volume") > 0).then(pl.col("volume").cast(pl.Float64).log())
    back = {n: log.shift(n) for n in range(1, 6)}
    # Σ(x - mean x)·y / Σ(x - mean x)², x = 1…5: the weights are -2, -1, 0, 1, 2 and their sum is 10
    slope = (2.0 * (back[1] - back[5]) + (back[2] - back[4])) * 0.1
    return pl.when(back[3].is_not_null()).then(slope)


def _triggers() -> pl.Expr:
    # The leg is the prior bar's, as a rebound may itself confirm the swing that ends it.
    prior = {
        name: pl.col(name).shift(1) for name in ("in_zone", "direction", "fib_50", "stay_slope")
    }
    crossed = (
        pl.when(prior["direction"] == "up")
        .then(pl.col("close") > prior["fib_50"])
        .otherwise(pl.col("close") < prior["fib_50"])
    )
    # Volumes are integers, so a rolling sum has no rounding error.
    total = pl.col("volume").rolling_sum(SURGE_BARS).shift(1)
    surges = pl.col("volume") * SURGE_BARS >= SURGE * total
    return (prior["in_zone"] & crossed & surges & (prior["stay_slope"] < 0)).fill_null(False)
