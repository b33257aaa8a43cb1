"""Verify a download after loading: is every wanted trade date published, or a gap at Databento?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbi_assets.downloads.wanted import Coverage, Wanted


@dataclass(frozen=True)
class Verdict:
    """Trade dates of one root and timeframe: wanted = published + gaps + missing.

    `ranges` are the missing trade dates, first and last included.
    """

    root: str
    timeframe: str
    series: str
    wanted: int
    published: int
    gaps: int
    missing: int
    ranges: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.missing == 0


def verify(wanted: Wanted) -> list[Verdict]:
    """Return a verdict on every wanted root and timeframe, in the universe's order."""
    return [_verdict(coverage) for coverage in wanted.coverages]


def verdict_document(wanted: Wanted) -> dict[str, Any]:
    """Return the verdicts for --json."""
    verdicts = verify(wanted)
    return {
        "through": wanted.through,
        "whole": all(verdict.is_complete for verdict in verdicts),
        "coverage": verdicts,
    }


def _verdict(coverage: Coverage) -> Verdict:
    return Verdict(
        root=coverage.root,
        timeframe=coverage.timeframe,
        series=coverage.series.symbol,
        wanted=coverage.wanted,
        published=coverage.published,
        gaps=len(coverage.known_gaps) + len(coverage.reported_gaps),
        missing=coverage.missing,
        ranges=tuple(
            f"{missing.trade_dates[0]} to {missing.trade_dates[-1]}" for missing in coverage.ranges
        ),
    )
