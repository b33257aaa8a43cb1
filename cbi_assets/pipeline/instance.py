"""The Dagster instance of a home: its configuration, and where the project's files lie."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

import cbi_assets
from cbi_assets.config.settings import Home

_PACKAGE = Path(cbi_assets.__file__).parent


def project_file(name: str) -> Path:
    """`dagster.yaml` or `workspace.yaml`: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name


def prepare_instance(home: Home) -> Path:
    """Make the home's DAGSTER_HOME hold the project's dagster.yaml; give its path."""
    home.create()
    wanted = project_file("dagster.yaml").read_text()
    target = home.dagster / "dagster.yaml"
    if not target.exists() or target.read_text() != wanted:
        target.write_text(wanted)
    return home.dagster


def open_instance(home: Home) -> dg.DagsterInstance:
    """The home's instance, without a word to the environment."""
    return dg.DagsterInstance.from_config(str(prepare_instance(home)))
