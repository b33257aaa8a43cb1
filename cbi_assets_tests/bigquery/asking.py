"""Run `cbi config --check` against a proxy that denies single paths with BigQuery's own bodies."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cbi_assets.config.settings import Settings
from cbi_assets.warehouse.access_checks import check_access
from cbi_assets.warehouse.findings import Finding
from cbi_assets_tests.bigquery.proxy import Answer, Proxy, Request, Rule

PROJECT = "cbi-tests"
JOBS = "/(queries|jobs)$"
ROLES = ["bigquery.jobUser", "billing", "bigquery.readSessionUser"]


def deny(
    proxy: Proxy,
    path: str,
    status: int,
    reason: str,
    message: str,
    method: str = "POST",
    when: Callable[[Request], bool] = lambda request: True,
    detail: dict[str, Any] | None = None,
) -> None:
    """Deny every request to a path with the body that BigQuery sends."""
    errors = [{"message": message, "domain": "global", "reason": reason}]
    error = {"code": status, "message": message, "errors": errors, **(detail or {})}
    answer(proxy, method, path, status, {"error": error}, when)


def answer(
    proxy: Proxy,
    method: str,
    path: str,
    status: int,
    body: dict[str, Any],
    when: Callable[[Request], bool] = lambda request: True,
) -> None:
    """Answer every request to a path instead of the emulator."""
    answered = Answer.of(body, status)
    proxy.add(Rule(method, path, lambda exchange: exchange.answer(answered), when, times=None))


def check(settings: dict[str, Any]) -> list[Finding]:
    """Return the findings; assert that the environment is unchanged."""
    before = dict(os.environ)
    found = list(check_access(Settings(_env_file=None, **settings)))  # type: ignore[call-arg]
    assert dict(os.environ) == before
    assert all("\n" not in finding.text for finding in found)
    return found


def missing(found: list[Finding]) -> dict[str, str]:
    """Return the text of each missing finding by name."""
    return {finding.name: finding.text for finding in found if finding.verdict == "missing"}
