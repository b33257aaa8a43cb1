"""Find a plan by what a user types: its file, or the start of its hash."""

from __future__ import annotations

import re
from pathlib import Path

from cbi_assets.config.settings import Home
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import UsageError


def find_plan(home: Home, given: str) -> Plan:
    """The plan in the file `given`, or the one of this home whose hash starts with it.

    Raises UsageError where there is none, or several.
    """
    path = Path(given).expanduser()
    if path.is_file() or not re.fullmatch(r"[0-9a-f]{4,64}", given):
        return Plan.load(path)
    found = sorted(home.plans.glob(f"{given[:12]}*.json"))
    if len(found) > 1:
        names = ", ".join(other.stem for other in found)
        raise UsageError(f"{given}: {names} start like that. Give more of the hash.")
    if not found:
        raise UsageError(
            f"{given}: no plan of {home.root} starts like that. `cbi plan` writes one."
        )
    plan = Plan.load(found[0])
    if not plan.plan_hash.startswith(given):
        raise UsageError(f"{given}: the plan in {found[0]} is {plan.plan_hash}. Run `cbi plan`.")
    return plan
