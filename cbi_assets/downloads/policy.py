"""downloads.yaml as a validated model: which symbols give a timeframe's bars, and the estimates."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cbi_assets.downloads.model import SType
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar

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
    try:
        # as plain text, as the other configuration files are read
        return Policy.model_validate(yaml.load(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{name}: {where}: {first['msg']}. Correct that key.") from None


@cache
def load_policy() -> Policy:
    """The project's own policy."""
    return parse_policy(resources.files("cbi_assets").joinpath("downloads.yaml").read_text())
