"""Values that the shell completes, from the universe and the home's plans.

The warehouse is not asked: another process may hold its lock.
"""

from __future__ import annotations

from cbi_assets.config.settings import load_settings
from cbi_assets.errors import CbiError


def roots() -> list[tuple[str, str]]:
    """Return each root of the universe with its name."""
    from cbi_assets.config.universe import load_universe

    return [(name, root.name) for name, root in load_universe().roots.items()]


def timeframes() -> list[str]:
    """Return the raw tables' timeframes."""
    from cbi_assets.market.bars import TIMEFRAMES

    return list(TIMEFRAMES)


def warehouses() -> list[str]:
    """Return both warehouses' names."""
    return ["bigquery", "duckdb"]


def plans() -> list[str]:
    """Return the first characters of each plan's hash; none if the settings are wrong."""
    try:
        folder = load_settings().home.plans
    except CbiError:
        return []  # an error has no place in a completion; the command itself reports it
    return sorted(path.stem for path in folder.glob("*.json"))
