"""What `cbi config --check` asks of a project, and a service that refuses: with the bodies that
BigQuery sends, answered for single paths by the proxy before the emulator."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cbi_assets.config.settings import Settings
from cbi_assets.warehouse.access_checks import Finding, check_access
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
    """Refuse the requests to a path for good, with the body that BigQuery sends."""
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
    """Answer the requests to a path in the service's place."""
    answered = Answer.of(body, status)
    proxy.add(Rule(method, path, lambda exchange: exchange.answer(answered), when, times=None))


def check(settings: dict[str, Any]) -> list[Finding]:
    """What is found; nothing is left in the environment or the project."""
    before = dict(os.environ)
    found = list(check_access(Settings(_env_file=None, **settings)))  # type: ignore[call-arg]
    assert dict(os.environ) == before
    assert all("\n" not in finding.text for finding in found)
    return found


def missing(found: list[Finding]) -> dict[str, str]:
    """The text of what is missing, by its name."""
    return {finding.name: finding.text for finding in found if finding.verdict == "missing"}
