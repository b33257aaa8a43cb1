"""The rule of a build: a hash of all that its rows depend on besides bars and observations."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Final

from cbi_assets.session import Project

_PACKAGES: Final = ("market", "features", "build", "warehouse/sql/build")
"""What computes the rows. A change to any of it builds every row again, so none is forgotten."""

_LIBRARIES: Final = ("polars", "numpy")


def build_rule(project: Project) -> str:
    """Return the rule: it changes with the code, its libraries, and these settings."""
    settings = (project.universe, project.regimes, project.macro, project.features)
    return _hash("\n".join([_code(), *map(repr, settings)]))


@cache
def _code() -> str:
    package = resources.files("cbi_assets")
    texts = [
        file.read_text()
        for folder in _PACKAGES
        for file in sorted(package.joinpath(folder).iterdir(), key=lambda file: file.name)
        if file.name.endswith((".py", ".sql"))
    ]
    return _hash("\n".join([*texts, *map(version, _LIBRARIES)]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
