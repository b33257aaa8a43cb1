"""The model of training.yaml: which training tables there are, and the sizes of their folds."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from cbi_assets.config.universe import load_universe
from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged

Bar = Literal["1m", "5m", "15m", "30m", "1h", "4h"]


class Folds(YamlModel):
    """Trade dates of the first training, of each validation and of each test."""

    train: int = Field(ge=1)
    valid: int = Field(ge=1)
    test: int = Field(ge=1)


class TrainingTable(YamlModel):
    """One training table: its root, and how many trade dates or bars its targets look ahead."""

    root: str
    horizon: int = Field(ge=1, le=1000)
    bar: Bar | None = None
    folds: Folds | None = None

    @field_validator("root")
    @classmethod
    def _check_root(cls, root: str) -> str:
        if root not in load_universe().roots:
            raise ValueError(f"{root} is not in universe.yaml")
        return root


class Training(YamlModel):
    """All of training.yaml, in the file's order."""

    folds: Folds
    tables: dict[Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")], TrainingTable]

    @model_validator(mode="after")
    def _check_names(self) -> Training:
        if "folds" in self.tables:
            raise ValueError("folds is the name of the table of folds")
        return self

    def folds_of(self, table: str) -> Folds:
        """Return the sizes of a table's folds."""
        return self.tables[table].folds or self.folds


def parse_training(text: str, name: str = "training.yaml") -> Training:
    """Parse training.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Training, text, name, "tables")


@cache
def load_training() -> Training:
    """Read the packaged training.yaml."""
    return parse_training(read_packaged("training.yaml"))
