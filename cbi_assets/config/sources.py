"""The model of sources.yaml: the datasets that may be published, the sources allowed in staging,
and the stitch of Yahoo's ZL."""

from __future__ import annotations

import datetime as dt
from fnmatch import fnmatch
from functools import cache
from typing import Literal

from pydantic import Field, model_validator

from cbi_assets.config.universe import Exchange, Root
from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged
from cbi_assets.market.sessions import Calendar


class VendorGap(YamlModel):
    """Trade dates missing at the vendor for all roots of some exchanges or calendars."""

    exchanges: tuple[Exchange, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    dates: tuple[dt.date, ...] = Field(min_length=1)


class DatabentoSource(YamlModel):
    """The dataset of a demo, and trade dates missing at the vendor."""

    demo_dataset: str
    known_gaps: tuple[VendorGap, ...] = ()

    def gaps_of(self, root: Root | None) -> set[dt.date]:
        """Return the trade dates missing at the vendor for a root; none for an unknown one."""
        return {
            date
            for gap in self.known_gaps
            if root and (root.exchange in gap.exchanges or root.calendar in gap.calendars)
            for date in gap.dates
        }


Kind = Literal["macro", "policy", "positioning", "spot"]
"""What a source may supply from staging. Prices of the universe's futures are not among these."""


class StagingSource(YamlModel):
    """One source: its names in rows, and the kinds of series that it may supply."""

    names: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = Field(min_length=1)


class RefusedSource(YamlModel):
    """Sources whose name starts with `starts`, in any letter case, and why they are refused."""

    starts: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class DeclaredFile(YamlModel):
    """A file without a source column, recognized by its columns, its name, or both."""

    id: str = Field(min_length=1)
    source: str
    date: str
    reason: str = Field(min_length=1)
    columns: tuple[str, ...] = ()
    name: str = ""

    @model_validator(mode="after")
    def _check_recognizable(self) -> DeclaredFile:
        if not self.columns and not self.name:
            raise ValueError(f"{self.id}: set columns or name")
        return self

    def matches(self, name: str, columns: tuple[str, ...]) -> bool:
        """Return whether a file of that name with those columns is the declared one."""
        by_columns = not self.columns or set(self.columns) == set(columns)
        return by_columns and (not self.name or fnmatch(name, self.name)) and self.date in columns


class Staging(YamlModel):
    """What may be loaded from staging, by source."""

    sources: dict[str, StagingSource] = Field(default_factory=dict)
    refused: tuple[RefusedSource, ...] = ()
    declared: tuple[DeclaredFile, ...] = ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Staging:
        names = [name for source in self.sources.values() for name in source.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are named {', '.join(twice)}")
        for name in names:
            if reason := self.refusal_reason(name):
                raise ValueError(f"{name} is both allowed and refused ({reason})")
        for declared in self.declared:
            if declared.source not in self.sources:
                raise ValueError(f"{declared.id}: {declared.source} is not listed under sources")
        return self

    def refusal_reason(self, name: str) -> str | None:
        """Return why rows that name this source are refused, None if no rule refuses them."""
        found = (r.reason for r in self.refused if name.lower().startswith(r.starts.lower()))
        return next(found, None)

    def source_keys(self) -> dict[str, str]:
        """Return each source's key by its names in rows."""
        return {name: key for key, source in self.sources.items() for name in source.names}


class StitchColumns(YamlModel):
    """The columns of the bridge's file."""

    date: str
    open: str
    high: str
    low: str
    close: str
    volume: str


class Stitch(YamlModel):
    """How Yahoo's series precedes Databento's.

    `boundary` is the first date without Yahoo rows; `scale` multiplies Yahoo's prices.
    """

    root: str
    source: str
    boundary: dt.date
    scale: float = Field(gt=0, allow_inf_nan=False)
    adjustment: Literal["none"]
    close_kind: Literal["settlement", "last_trade"]
    close_only_before: dt.date
    columns: StitchColumns


class Sources(YamlModel):
    """All of sources.yaml."""

    databento: DatabentoSource
    staging: Staging = Staging()
    stitch: Stitch | None = None


def parse_sources(text: str, name: str = "sources.yaml") -> Sources:
    """Parse sources.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Sources, text, name)


@cache
def load_sources() -> Sources:
    """Read the packaged sources.yaml."""
    return parse_sources(read_packaged("sources.yaml"))
