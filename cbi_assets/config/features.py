"""The model of features.yaml: the catalogue of features computed from the roots' closes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from cbi_assets.config.macro import load_macro
from cbi_assets.config.universe import load_universe
from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged

PriceMeasure = Literal[
    "growth",
    "lag",
    "sma",
    "ema",
    "rsi",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bollinger_upper",
    "bollinger_lower",
    "atr",
    "garman_klass",
    "parkinson",
]
"""What is computed from one root's sessions."""

PairMeasure = Literal["correlation", "beta"]
"""What is computed from pairs of returns."""

SpreadMeasure = Literal["spread", "ratio"]
"""What is computed from several roots' closes of one trade date."""

_FIXED = ("macd", "macd_signal", "macd_histogram")

Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")]


@dataclass(frozen=True)
class Feature:
    """One field of a STRUCT of daily_ml_matrix, as docs/features.md shows it.

    `leg` is a root or a series of macro.yaml. `roots` is empty if all rows have the feature.
    """

    struct: str
    name: str
    measure: str
    window: int | None
    counts: str
    leg: str | None
    terms: tuple[tuple[str, float], ...]
    divisor: float
    roots: tuple[str, ...]
    max_age_days: int
    formula: str
    unit: str
    source: str

    @property
    def flat_name(self) -> str:
        """Its column in daily_ml_matrix_flat and in the training tables."""
        return f"{self.struct}_{self.name}"

    def is_of(self, root: str) -> bool:
        """Return whether rows of the root have the feature."""
        return not self.roots or root in self.roots


class Family(YamlModel):
    """Features that differ in their window or leg only; features.yaml explains the keys."""

    struct: Name
    measure: PriceMeasure | PairMeasure | SpreadMeasure
    name: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_{}]*$")]
    windows: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = ()
    counts: Literal["trade dates", "sessions", "pairs"]
    legs: dict[Name, str] = Field(default_factory=dict)
    terms: dict[str, float] = Field(default_factory=dict)
    divisor: float = Field(default=1, gt=0)
    roots: tuple[str, ...] = ()
    max_age_days: int = Field(default=7, gt=0)
    formula: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_keys(self) -> Family:
        is_pair = self.measure in get_args(PairMeasure)
        is_spread = self.measure in get_args(SpreadMeasure)
        if bool(self.windows) == (is_spread or self.measure in _FIXED):
            raise ValueError(f"{self.measure}: windows are missing or out of place")
        if bool(self.legs) != is_pair:
            raise ValueError(f"{self.measure}: legs are missing or out of place")
        if bool(self.terms) != is_spread or (self.measure == "ratio" and len(self.terms) != 2):
            raise ValueError(f"{self.measure}: terms are missing or out of place")
        if (is_pair or is_spread) and not self.roots:
            raise ValueError(f"{self.measure}: name its roots")
        roots = load_universe().roots
        for root in (*self.roots, *self.terms):
            if root not in roots:
                raise ValueError(f"{root} is not in universe.yaml")
        for leg in self.legs.values():
            if leg not in roots and leg not in load_macro().series:
                raise ValueError(f"{leg} is neither in universe.yaml nor in macro.yaml")
        return self

    def features(self) -> Iterator[Feature]:
        """Yield the family's features, by leg, then by window."""
        legs: list[tuple[str, str | None]] = [*self.legs.items()] or [("", None)]
        for label, leg in legs:
            for window in self.windows or (None,):
                named = {"window": window, "leg": label}
                yield Feature(
                    struct=self.struct,
                    name=self.name.format(**named),
                    measure=self.measure,
                    window=window,
                    counts=self.counts,
                    leg=leg,
                    terms=tuple(self.terms.items()),
                    divisor=self.divisor,
                    roots=self.roots,
                    max_age_days=self.max_age_days,
                    formula=self.formula.format(window=window, leg=leg),
                    unit=self.unit,
                    source=self.source.format(window=window, leg=leg),
                )


class Features(YamlModel):
    """All of features.yaml, in the file's order."""

    structs: dict[Name, Annotated[str, Field(min_length=1)]]
    families: tuple[Family, ...]

    @model_validator(mode="after")
    def _check_names(self) -> Features:
        taken: set[str] = set()
        for feature in self.every:
            if feature.struct not in self.structs:
                raise ValueError(f"there is no struct {feature.struct}")
            if feature.name in taken:
                raise ValueError(f"two features have the name {feature.name}")
            taken.add(feature.name)
        return self

    @cached_property
    def every(self) -> tuple[Feature, ...]:
        """All features, in the file's order."""
        return tuple(feature for family in self.families for feature in family.features())

    def of_struct(self, struct: str) -> tuple[Feature, ...]:
        """Return the fields of a STRUCT column, in the file's order."""
        return tuple(feature for feature in self.every if feature.struct == struct)

    def legs_of(self, root: str) -> tuple[str, ...]:
        """Return the other roots whose bars the root's features need, in the file's order."""
        series = load_macro().series
        legs: dict[str, None] = {}
        for feature in self.every:
            if feature.is_of(root):
                legs |= dict.fromkeys(name for name, _ in feature.terms)
                if feature.leg is not None and feature.leg not in series:
                    legs[feature.leg] = None
        legs.pop(root, None)
        return tuple(legs)


def parse_features(text: str, name: str = "features.yaml") -> Features:
    """Parse features.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Features, text, name, "families")


@cache
def load_features() -> Features:
    """Read the packaged features.yaml."""
    return parse_features(read_packaged("features.yaml"))
