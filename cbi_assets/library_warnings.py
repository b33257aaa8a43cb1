"""Hide the deprecation warnings of the libraries' own modules, which no user can fix."""

from __future__ import annotations

import warnings


def ignore_library_warnings() -> None:
    """Put filters for these warnings before all others.

    Call this where a library that warns is imported, and again after `import databento`, which puts
    a filter first that shows every DeprecationWarning. All versions are pinned.
    """
    # pandas 2 uses NumPy timedeltas that NumPy 2.5 deprecates
    for module in ("pandas", "dagster"):
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{module}\b")
