"""The books of the files of a home, for tests."""

from __future__ import annotations

from cbi_assets.ledger.books import books_by_file
from cbi_assets.session import Project
from cbi_assets_tests.helpers import open_warehouse

BOOKS = ("records", "published", "duplicates", "quarantined", "conflicts", "outside_universe",
         "not_loaded")  # fmt: skip


def books(project: Project) -> dict[str, tuple[int, ...]]:
    """Return each file's books by file name, in the order of BOOKS; asserts that they balance."""
    with open_warehouse(project) as warehouse:
        rows = books_by_file(warehouse)
    assert set(rows["difference"]) <= {0}
    return {row["path"].split("/")[-1]: tuple(row[c] for c in BOOKS) for row in rows.to_dicts()}
