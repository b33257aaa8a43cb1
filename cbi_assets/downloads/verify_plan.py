"""After loading: is what was wanted published, or lacking at the vendor; and if not, what is
missing, by root and timeframe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbi_assets.downloads.wanted import Coverage, Wanted


@dataclass(frozen=True)
class Verdict:
    """wanted = published + gaps + missing, in trade dates. `ranges` are the missing trade dates,
    first and last included."""

    root: str
    timeframe: str
    series: str
    wanted: int
    published: int
    gaps: int
    missing: int
    ranges: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Nothing is missing."""
        return self.missing == 0


def verify(wanted: Wanted) -> list[Verdict]:
    """The verdict on every wanted root and timeframe, in the universe's order."""
    return [_judge(coverage) for coverage in wanted.coverages]


def verdict_document(wanted: Wanted) -> dict[str, Any]:
    """The verdicts for --json."""
    verdicts = verify(wanted)
    return {
        "through": wanted.through,
        "whole": all(verdict.whole for verdict in verdicts),
        "coverage": verdicts,
    }


def _judge(coverage: Coverage) -> Verdict:
    return Verdict(
        root=coverage.root,
        timeframe=coverage.timeframe,
        series=coverage.series.symbol,
        wanted=coverage.wanted,
        published=coverage.published,
        gaps=len(coverage.known_gaps) + len(coverage.told_gaps),
        missing=coverage.missing,
        ranges=tuple(
            f"{found.trade_dates[0]} to {found.trade_dates[-1]}" for found in coverage.ranges
        ),
    )
