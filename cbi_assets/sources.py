"""The source hierarchy: whose bars may be published, as a validated model of sources.yaml."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cbi_assets.errors import UsageError


class DatabentoSource(BaseModel):
    """Datasets that may be published, and the vendor's own gaps as trade dates by root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...]
    demo_datasets: tuple[str, ...]
    known_gaps: dict[str, tuple[dt.date, ...]] = {}


class Sources(BaseModel):
    """All of sources.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    databento: DatabentoSource

    def datasets(self, demo: bool) -> tuple[str, ...]:
        """The datasets that a home takes: a demo's home the synthetic one, any other the real."""
        return self.databento.demo_datasets if demo else self.databento.datasets


def parse_sources(text: str, name: str = "sources.yaml") -> Sources:
    """Read the hierarchy from YAML. Raises UsageError naming the key that is wrong."""
    try:
        # as plain text: YAML's own dates fail without saying where
        return Sources.model_validate(yaml.load(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, ValidationError) as error:
        raise UsageError(f"{name}: {' '.join(str(error).split())}") from None


@cache
def load_sources() -> Sources:
    """The project's own hierarchy."""
    return parse_sources(resources.files("cbi_assets").joinpath("sources.yaml").read_text())
