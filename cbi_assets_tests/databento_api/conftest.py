"""A separate vendor for every test, and a home that may buy from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbi_assets.session import Project
from cbi_assets_tests.databento_api.buying import NOW, publish_tuesday
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import copy_home


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    """Run Databento on loopback, with the tests' clock.

    Its jobs are done at the second poll, or at the `LOOKS`th of a module that says so.
    """
    looks = getattr(request.module, "LOOKS", 2)
    with run_vendor(Vendor(now=lambda: NOW, looks=looks)) as running:
        yield running


@pytest.fixture
def vendor_in_settings(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the settings name the vendor, and its key."""
    monkeypatch.setenv("CBI_DATABENTO_ENDPOINT", vendor.url)
    monkeypatch.setenv("DATABENTO_API_KEY", vendor.key)


@pytest.fixture(scope="module")
def home_of_tuesday(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home to copy, in which four trade dates of ZL are missing."""
    project, drive = copy_home(new_home, tmp_path_factory.mktemp("published"))
    publish_tuesday(project, drive)
    return project.home.root


@pytest.fixture
def published(home_of_tuesday: Path, project: Project) -> Project:
    """The test's project, with the tables of `home_of_tuesday`."""
    shutil.rmtree(project.home.root)
    shutil.copytree(home_of_tuesday, project.home.root)
    return project
