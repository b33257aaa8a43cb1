"""The model of macro.yaml: macro and policy series, and when their values are published."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from cbi_assets.config.sources import Kind
from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged

Group = Literal["macro", "policy"]
"""The column of daily_ml_matrix that a series belongs to."""

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name} is not a time zone") from None
    return name


class NotBefore(YamlModel):
    """Reference dates `first` to `last`, whose values were published at `at` (local) or later."""

    first: dt.date
    last: dt.date
    at: dt.datetime
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_order(self) -> NotBefore:
        if self.last < self.first or self.at.date() < self.last:
            raise ValueError("set first ≤ last ≤ at")
        return self


class Publication(YamlModel):
    """When a value is published, counted from its reference date; macro.yaml explains the keys."""

    counted_from: Literal["reference", "month_end"] = "reference"
    days: int = Field(default=0, ge=0)
    business_days: int = Field(default=0, ge=0)
    weekday: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"] | None = None
    holidays: Literal["move", "ignore"] = "move"
    time: dt.time
    zone: Annotated[str, AfterValidator(_check_zone)]
    source: str = Field(min_length=1)
    not_before: tuple[NotBefore, ...] = ()

    @model_validator(mode="after")
    def _check_lag(self) -> Publication:
        if self.counted_from == "reference" and not self.days and not self.business_days:
            raise ValueError("set days or business_days: values are published after their date")
        return self


class Origin(YamlModel):
    """Where to find a series: the file's layout, the series' names there, and their dates."""

    layout: str
    names: tuple[str, ...] = Field(min_length=1)
    day: Literal["any", "first", "other"] = "any"
    since: dt.date = dt.date(1900, 1, 2)
    until: dt.date = dt.date(2199, 12, 31)


class Series(YamlModel):
    """One series. `group` is its column in the matrix; its source must be allowed its `kind`."""

    model_config = ConfigDict(populate_by_name=True)

    title: str = Field(min_length=1)
    group: Group
    kind: Kind
    unit: str = Field(min_length=1)
    publication: str
    max_age_days: int = Field(gt=0)
    origins: tuple[Origin, ...] = Field(alias="from", min_length=1)


SeriesId = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")]


class Macro(YamlModel):
    """All of macro.yaml, in the file's order."""

    publications: dict[str, Publication]
    series: dict[SeriesId, Series]

    @model_validator(mode="after")
    def _check_references(self) -> Macro:
        taken: dict[tuple[str, str], list[tuple[str, Origin]]] = {}
        for series_id, series in self.series.items():
            if series.publication not in self.publications:
                raise ValueError(f"{series_id}: there is no publication {series.publication}")
            for origin in series.origins:
                for name in origin.names:
                    others = taken.setdefault((origin.layout, name), [])
                    for other, its in others:
                        if _overlap(origin, its):
                            raise ValueError(
                                f"{other} and {series_id} both use {name} on the same dates"
                            )
                    others.append((series_id, origin))
        return self

    def publication_of(self, series_id: str) -> Publication:
        """Return when the series' values are published."""
        return self.publications[self.series[series_id].publication]

    def of_group(self, group: Group) -> tuple[str, ...]:
        """Return the group's series in the file's order: the fields of its STRUCT."""
        return tuple(name for name, series in self.series.items() if series.group == group)


def _overlap(one: Origin, other: Origin) -> bool:
    same_days = "any" in (one.day, other.day) or one.day == other.day
    return same_days and one.since <= other.until and other.since <= one.until


def parse_macro(text: str, name: str = "macro.yaml") -> Macro:
    """Parse macro.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Macro, text, name, "series")


@cache
def load_macro() -> Macro:
    """Read the packaged macro.yaml."""
    return parse_macro(read_packaged("macro.yaml"))
