"""The macro and policy series and when their values were published, as a validated model of
macro.yaml."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from cbi_assets.config.sources import Kind
from cbi_assets.config.yaml_files import packaged, parse_config

Group = Literal["macro", "policy"]
"""The column of daily_ml_matrix that a series stands in."""

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def _is_a_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name} is no time zone") from None
    return name


class NotBefore(BaseModel):
    """Reference dates, both ends included, whose values came out at `at` (local) or later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: dt.date
    last: dt.date
    at: dt.datetime
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_in_order(self) -> NotBefore:
        if self.last < self.first or self.at.date() < self.last:
            raise ValueError("give first ≤ last ≤ at")
        return self


class Publication(BaseModel):
    """When a value is published, from the date that it describes; see macro.yaml's head."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    counted_from: Literal["reference", "month_end"] = "reference"
    days: int = Field(default=0, ge=0)
    business_days: int = Field(default=0, ge=0)
    weekday: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"] | None = None
    holidays: Literal["move", "ignore"] = "move"
    time: dt.time
    zone: Annotated[str, AfterValidator(_is_a_zone)]
    source: str = Field(min_length=1)
    not_before: tuple[NotBefore, ...] = ()

    @model_validator(mode="after")
    def _comes_after_its_day(self) -> Publication:
        if self.counted_from == "reference" and not self.days and not self.business_days:
            raise ValueError("a value is published a day after its reference date or later")
        return self


class Origin(BaseModel):
    """Where a series stands in a file: its layout, its names there, and which of their dates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str
    names: tuple[str, ...] = Field(min_length=1)
    day: Literal["any", "first", "other"] = "any"
    since: dt.date = dt.date(1900, 1, 2)
    until: dt.date = dt.date(2199, 12, 31)


class Series(BaseModel):
    """One series. `group` is its column in the matrix, `kind` what its source must be allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    title: str = Field(min_length=1)
    group: Group
    kind: Kind
    unit: str = Field(min_length=1)
    publication: str
    max_age_days: int = Field(gt=0)
    origins: tuple[Origin, ...] = Field(alias="from", min_length=1)


SeriesId = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")]


class Macro(BaseModel):
    """All of macro.yaml, in its order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publications: dict[str, Publication]
    series: dict[SeriesId, Series]

    @model_validator(mode="after")
    def _hangs_together(self) -> Macro:
        taken: dict[tuple[str, str], list[tuple[str, Origin]]] = {}
        for series_id, series in self.series.items():
            if series.publication not in self.publications:
                raise ValueError(f"{series_id}: no publication is called {series.publication}")
            for origin in series.origins:
                for name in origin.names:
                    others = taken.setdefault((origin.layout, name), [])
                    for other, its in others:
                        if _meet(origin, its):
                            raise ValueError(f"{other} and {series_id} both take {name}")
                    others.append((series_id, origin))
        return self

    def publication_of(self, series_id: str) -> Publication:
        """When the series' values are published."""
        return self.publications[self.series[series_id].publication]

    def of_group(self, group: Group) -> tuple[str, ...]:
        """The group's series, in the file's order: the fields of its STRUCT."""
        return tuple(name for name, series in self.series.items() if series.group == group)


def _meet(one: Origin, other: Origin) -> bool:
    same_days = "any" in (one.day, other.day) or one.day == other.day
    return same_days and one.since <= other.until and other.since <= one.until


def parse_macro(text: str, name: str = "macro.yaml") -> Macro:
    """Read the series from YAML. Raises UsageError naming the key that is wrong."""
    return parse_config(Macro, text, name, "series")


@cache
def load_macro() -> Macro:
    """The project's own series."""
    return parse_macro(packaged("macro.yaml"))
