"""downloads.yaml as a validated model: which symbols give a timeframe's bars, and the estimates."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cbi_assets.config.yaml_files import packaged, parse_config
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar

SType = Literal["parent", "continuous", "raw_symbol"]
"""The kinds of symbol that Databento resolves a request by (`stype_in`)."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PerSector = dict[Timeframe, dict[Calendar, Positive]]


class Series(BaseModel):
    """The symbol that gives a timeframe's bars; `{root}` in it stands for the root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stype_in: SType
    symbol: str

    def of(self, root: str) -> Series:
        """The series of one root."""
        return Series(stype_in=self.stype_in, symbol=self.symbol.replace("{root}", root))

    @property
    def held_as(self) -> str:
        """How its bars are told in a raw table: `outright` for a parent, else the symbol."""
        return "outright" if self.stype_in == "parent" else self.symbol


class Estimates(BaseModel):
    """What a request holds and costs where nobody was asked. Prices are USD per 10^9 bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes_per_record: int = Field(gt=0)
    usd_per_gb: dict[Timeframe, Positive]
    price_source: str
    records_per_trade_date: dict[SType, PerSector]
    record_source: str


class Policy(BaseModel):
    """All of downloads.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    series: dict[Timeframe, Series]
    roots: dict[str, dict[Timeframe, Series]] = {}
    unavailable: dict[str, str] = {}
    estimates: Estimates

    def series_of(self, root: str, timeframe: Timeframe) -> Series:
        """The series that gives the root's bars in a timeframe. Raises UsageError for none."""
        found = self.roots.get(root, {}).get(timeframe) or self.series.get(timeframe)
        if found is None:
            raise UsageError(
                f"downloads.yaml: series: no symbol for {timeframe}, which universe.yaml wants of "
                f"{root}. Name one."
            )
        return found.of(root)


def parse_policy(text: str, name: str = "downloads.yaml") -> Policy:
    """Read a policy from YAML. Raises UsageError naming the key that is wrong."""
    return parse_config(Policy, text, name)


@cache
def load_policy() -> Policy:
    """The project's own policy."""
    return parse_policy(packaged("downloads.yaml"))
