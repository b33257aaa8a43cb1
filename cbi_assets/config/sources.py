"""The source hierarchy, as a validated model of sources.yaml: whose bars may be published, who may
give what from staging, and how Yahoo's ZL is stitched on."""

from __future__ import annotations

import datetime as dt
from fnmatch import fnmatch
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cbi_assets.config.yaml_files import packaged, parse_config


class DatabentoSource(BaseModel):
    """Datasets that may be published, and the vendor's own gaps as trade dates by root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...]
    demo_datasets: tuple[str, ...]
    known_gaps: dict[str, tuple[dt.date, ...]] = {}


Kind = Literal["macro", "policy", "positioning", "spot"]
"""What a source may give from staging. Prices of the universe's futures are none of these."""


class StagingSource(BaseModel):
    """One source: how rows name it, and the kinds of series it may give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = Field(min_length=1)


class RefusedSource(BaseModel):
    """Sources whose name starts with `starts`, in any letter case, and why they give nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    starts: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class DeclaredFile(BaseModel):
    """A file without a column of sources: known by its columns or its name, or by both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    source: str
    date: str
    reason: str = Field(min_length=1)
    columns: tuple[str, ...] = ()
    name: str = ""

    @model_validator(mode="after")
    def _is_known_by_something(self) -> DeclaredFile:
        if not self.columns and not self.name:
            raise ValueError(f"{self.id}: give its columns or its name")
        return self

    def is_of(self, name: str, columns: tuple[str, ...]) -> bool:
        """Whether a file of that name with those columns is the declared one."""
        by_columns = not self.columns or set(self.columns) == set(columns)
        return by_columns and (not self.name or fnmatch(name, self.name)) and self.date in columns


class Staging(BaseModel):
    """What staging's sources may give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, StagingSource] = {}
    refused: tuple[RefusedSource, ...] = ()
    declared: tuple[DeclaredFile, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Staging:
        names = [name for source in self.sources.values() for name in source.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are named {', '.join(twice)}")
        for name in names:
            if reason := self.why_refused(name):
                raise ValueError(f"{name} is allowed and refused at once ({reason})")
        for declared in self.declared:
            if declared.source not in self.sources:
                raise ValueError(f"{declared.id}: {declared.source} is not among the sources")
        return self

    def why_refused(self, name: str) -> str | None:
        """Why rows of the source of this name are refused, where a rule says so."""
        found = (r.reason for r in self.refused if name.lower().startswith(r.starts.lower()))
        return next(found, None)

    def named(self) -> dict[str, str]:
        """The sources by what rows call them."""
        return {name: key for key, source in self.sources.items() for name in source.names}


class StitchColumns(BaseModel):
    """Where the bridge's file has its date, prices and volume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: str
    open: str
    high: str
    low: str
    close: str
    volume: str


class Stitch(BaseModel):
    """How Yahoo's series is put before Databento's: `boundary` is the first date that it may not
    give; `scale` multiplies its prices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str
    source: str
    boundary: dt.date
    scale: float = Field(gt=0, allow_inf_nan=False)
    adjustment: Literal["none"]
    close_kind: Literal["settlement", "last_trade"]
    close_only_before: dt.date
    columns: StitchColumns


class Sources(BaseModel):
    """All of sources.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    databento: DatabentoSource
    staging: Staging = Staging()
    stitch: Stitch | None = None

    def datasets(self, demo: bool) -> tuple[str, ...]:
        """The datasets that a home takes: a demo's home the synthetic one, any other the real."""
        return self.databento.demo_datasets if demo else self.databento.datasets


def parse_sources(text: str, name: str = "sources.yaml") -> Sources:
    """Read the hierarchy from YAML. Raises UsageError naming the key that is wrong."""
    return parse_config(Sources, text, name)


@cache
def load_sources() -> Sources:
    """The project's own hierarchy."""
    return parse_sources(packaged("sources.yaml"))
