"""Read YAML files into validated models."""

from __future__ import annotations

from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cbi_assets.errors import UsageError

# A base loader keeps scalars as text: YAML's own date parser fails without naming the key. That of
# libyaml is ten times as fast; PyYAML may be built without it.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class YamlModel(BaseModel):
    """Base of the models of YAML files: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_config[Model: YamlModel](
    model: type[Model], text: str, name: str, top_key: str = "the whole file"
) -> Model:
    """Parse YAML into a model.

    Parameters
    ----------
    model : type[Model]
        The model of the whole file.
    text : str
        The file's content.
    name : str
        The file's name, for error messages.
    top_key : str
        Key to name in an error that no single key causes.

    Raises
    ------
    UsageError
        If the text is not YAML, or a key is wrong; names the file and the first wrong key.
    """
    try:
        return model.model_validate(yaml.load(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise UsageError(
            f"not YAML: {' '.join(str(error).split())}",
            subject=name,
            remedy="Correct the syntax there.",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or top_key
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{key}: {problem}", subject=name, remedy="Correct that key.") from None


def read_packaged(name: str) -> str:
    """Return the text of one of the YAML files in this folder."""
    return resources.files("cbi_assets.config").joinpath(name).read_text()
