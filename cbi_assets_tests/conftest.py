"""Shared fixtures: a project of its own for every test, deaf to the caller's environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.project import Project
from cbi_assets.settings import Settings

MakeProject = Callable[..., Project]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CBI_") or name in ("DATABENTO_API_KEY", "DAGSTER_HOME"):
            monkeypatch.delenv(name)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """An empty drive."""
    folder = tmp_path / "drive"
    folder.mkdir()
    return folder


@pytest.fixture
def make_project(tmp_path: Path, drive: Path) -> MakeProject:
    """Make a project: `make_project("other")` has a home of its own on the same drive."""

    def make(home: str = "home", demo: bool = False, **settings: Any) -> Project:
        settings = {"cbi_home": tmp_path / home, "cbi_drive": drive} | settings
        project = Project(Settings(_env_file=None, **settings))  # type: ignore[call-arg]
        project.home.create()
        if demo:
            project.home.demo_mark.touch()
        return project

    return make


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project with an empty home on the test's drive."""
    return make_project()
