"""The model of downloads.yaml: which symbols to request for a timeframe, and cost estimates."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Final, Literal

from pydantic import Field

from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar

SType = Literal["parent", "continuous", "raw_symbol"]
"""The kinds of symbol that Databento resolves a request by (`stype_in`)."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PerSector = dict[Timeframe, dict[Calendar, Positive]]


class Series(YamlModel):
    """The symbol to request for a timeframe's bars, in which `{root}` is replaced by the root."""

    stype_in: SType
    symbol: str

    def of(self, root: str) -> Series:
        """Return the series with the root in its symbol."""
        return Series(stype_in=self.stype_in, symbol=self.symbol.replace("{root}", root))

    @property
    def stored_as(self) -> str:
        """How its bars are named in a raw table: `outright` for a parent, else the symbol."""
        return "outright" if self.stype_in == "parent" else self.symbol


Strategy = Literal["continuous", "chain", "parent"]
"""How a root's 1h and 1m bars are requested: the continuous symbol alone, next to it the contracts
that the front-month chain may need, or every contract and spread."""


PARENT: Final = Series(stype_in="parent", symbol="{root}.FUT")


class Intraday(YamlModel):
    """The strategy of 1h and 1m bars: the default, and single roots' own."""

    default: Strategy
    roots: dict[str, Strategy] = Field(default_factory=dict)


class Estimates(YamlModel):
    """Size and cost of requests that were not quoted. Prices are in USD per 10^9 bytes."""

    bytes_per_record: int = Field(gt=0)
    usd_per_gb: dict[Timeframe, Positive]
    price_source: str
    records_per_trade_date: dict[SType, PerSector]
    record_source: str


class Policy(YamlModel):
    """All of downloads.yaml."""

    series: dict[Timeframe, Series]
    roots: dict[str, dict[Timeframe, Series]] = Field(default_factory=dict)
    intraday: Intraday = Intraday(default="continuous")
    unavailable: dict[str, str] = Field(default_factory=dict)
    estimates: Estimates

    def strategy_of(self, root: str, timeframe: Timeframe) -> Strategy | None:
        """Return the strategy of a root's timeframe, None for 1d bars."""
        if timeframe == "1d":
            return None
        return self.intraday.roots.get(root, self.intraday.default)

    def series_of(self, root: str, timeframe: Timeframe) -> Series:
        """Return the series to request for a root's timeframe. Raises UsageError if none is set."""
        found = self.roots.get(root, {}).get(timeframe)
        if found is None and self.strategy_of(root, timeframe) == "parent":
            found = PARENT
        found = found or self.series.get(timeframe)
        if found is None:
            raise UsageError(
                f"series: no symbol for {timeframe}, which universe.yaml wants for {root}",
                subject="downloads.yaml",
                remedy="Add one.",
            )
        return found.of(root)


def parse_policy(text: str, name: str = "downloads.yaml") -> Policy:
    """Parse downloads.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Policy, text, name)


@cache
def load_policy() -> Policy:
    """Read the packaged downloads.yaml."""
    return parse_policy(read_packaged("downloads.yaml"))
