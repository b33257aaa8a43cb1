"""Values that the shell completes, from the universe and the home's plans.

The warehouse is not asked, since another process may hold its lock: what was loaded is read from
the readers' copy. A warehouse in BigQuery has none, and a completion is too short for its queries.
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


def loaded_files() -> list[tuple[str, str]]:
    """Return the start of each loaded file's sha256, with its path."""
    return [
        (file_id[:12], path) for file_id, path in _read("SELECT id, path FROM ops.source_files")
    ]


def loaded_jobs() -> list[str]:
    """Return the jobs with loaded files."""
    sql = "SELECT DISTINCT job_id FROM ops.source_files WHERE job_id IS NOT NULL ORDER BY job_id"
    return [job for (job,) in _read(sql)]


def loads() -> list[str]:
    """Return the ids of the loads, newest first."""
    return [load for (load,) in _read("SELECT DISTINCT load_id FROM ops.loads ORDER BY 1 DESC")]


def _read(sql: str) -> list[tuple[str, ...]]:
    """Return a query's rows from the readers' copy; none if there is no copy."""
    import duckdb

    try:
        path = load_settings().home.read_copy
        with duckdb.connect(str(path), read_only=True) as copy:
            return copy.execute(sql).fetchall()
    except (CbiError, duckdb.Error):
        return []
