"""Find a plan by its file or the start of its hash."""

from __future__ import annotations

import re
from pathlib import Path

from cbi_assets.config.settings import Home
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import UsageError


def find_plan(home: Home, name: str) -> Plan:
    """Return the plan in the file `name`, or the one in this home whose hash starts with it.

    Raises UsageError if there is none, or several.
    """
    path = Path(name).expanduser()
    if path.is_file() or not re.fullmatch(r"[0-9a-f]{4,64}", name):
        return Plan.load(path)
    found = sorted(home.plans.glob(f"{name[:12]}*.json"))
    if len(found) > 1:
        raise UsageError(
            f"several plans start like that: {', '.join(other.stem for other in found)}",
            subject=name,
            remedy="Give more of the hash.",
        )
    if not found:
        raise UsageError(
            f"no plan of {home.root} starts like that",
            subject=name,
            remedy="`cbi plan` makes a plan.",
        )
    plan = Plan.load(found[0])
    if not plan.plan_hash.startswith(name):
        raise UsageError(
            f"the plan in {found[0]} is {plan.plan_hash}", subject=name, remedy="Run `cbi plan`."
        )
    return plan
