"""How far a file, or a job as a whole, can be trusted."""

from __future__ import annotations

from typing import Final, Literal

Trust = Literal["verified", "unverified", "refused", "ignored"]
"""verified: its job's manifest is intact and lists it with these bytes. unverified: no manifest
lists it; it loads, and is counted. refused: it is, or may be, of bars and does not load, for the
reason it gives. ignored: something else.
"""

TRUSTS: Final[tuple[Trust, ...]] = ("refused", "unverified", "verified", "ignored")
"""Every state; a job has the first of them that any of its files has."""
