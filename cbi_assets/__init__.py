"""Trustworthy ingest, audit and features for CME futures bars from Databento.

In a notebook, `import cbi_assets as cbi` and read the tables: `cbi.read`, `cbi.bars`, `cbi.rolls`,
`cbi.continuous`, `cbi.macro`, `cbi.folds` and `cbi.feature_columns`, of cbi_assets.reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbi_assets.reading import (
        bars,
        continuous,
        feature_columns,
        folds,
        macro,
        read,
        rolls,
    )

__version__ = "0.1.0"

__all__ = ["bars", "continuous", "feature_columns", "folds", "macro", "read", "rolls"]


def __getattr__(name: str) -> Any:
    # No command reads this way, and none should wait for what it imports.
    if name in __all__:
        from cbi_assets import reading

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
