"""The project's YAML files as validated models, read and refused in one way."""

from __future__ import annotations

from importlib import resources

import yaml
from pydantic import BaseModel, ValidationError

from cbi_assets.errors import UsageError


def parse_config[Model: BaseModel](
    model: type[Model], text: str, name: str, whole: str = "the whole file"
) -> Model:
    """Read YAML into a model. Raises UsageError that names the file and the key that is
    wrong; `whole` stands for a key where a fault is of none."""
    try:
        # as plain text: YAML's own dates fail without saying where
        return model.model_validate(yaml.load(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or whole
        raise UsageError(f"{name}: {where}: {first['msg']}. Correct that key.") from None


def packaged(name: str) -> str:
    """The text of the project's own file."""
    return resources.files("cbi_assets.config").joinpath(name).read_text()
