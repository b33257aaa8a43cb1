"""What the shell offers for an option's value: from the universe and the home's plans, never from
the warehouse, which another process may hold."""

from __future__ import annotations

from cbi_assets.config.settings import load_settings
from cbi_assets.errors import CbiError


def roots() -> list[tuple[str, str]]:
    """The universe's roots, each with its name."""
    from cbi_assets.config.universe import load_universe

    return [(name, root.name) for name, root in load_universe().roots.items()]


def timeframes() -> list[str]:
    """The raw tables' timeframes."""
    from cbi_assets.market.bars import TIMEFRAMES

    return list(TIMEFRAMES)


def warehouses() -> list[str]:
    """Both warehouses."""
    return ["bigquery", "duckdb"]


def plans() -> list[str]:
    """The start of the hash of each plan in the home; none where the settings lead nowhere."""
    try:
        folder = load_settings().home.plans
    except CbiError:
        return []  # a shell that completes has no place for an error; the command will tell it
    return sorted(path.stem for path in folder.glob("*.json"))
