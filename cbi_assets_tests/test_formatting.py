"""How numbers, dates and tables are written for people."""

from __future__ import annotations

import datetime as dt

import pytest

from cbi_assets.formatting import dollars, markdown_table, percent, plural, price, size, span


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0, 0), "–"),
        (percent(0, 1000), "0%"),
        (percent(1, 1000), "1%"),
        (percent(999, 1000), "99%"),
        (percent(1000, 1000), "100%"),
        (price(5617.083333333333), "5,617.083333"),
        (price(48.0), "48"),
        (price(100.0), "100"),
        (price(None), "unknown"),
        (size(999), "999 bytes"),
        (size(5_200_000), "5.2 MB"),
        (size(1_000_000_000), "1.0 GB"),
        (dollars(1234.5), "1,234.50 USD"),
        (plural(1, "file"), "1 file"),
        (plural(1200, "series", "series"), "1,200 series"),
        (span(dt.date(2025, 1, 2), dt.date(2025, 1, 2)), "2025-01-02"),
        (span(None, None), ""),
    ],
)
def test_value_is_formatted(shown: str, expected: str) -> None:
    assert shown == expected


def test_markdown_table_aligns_right_and_escapes_pipes_and_line_breaks() -> None:
    assert markdown_table(["name", "rows"], [["a|b", "1"], ["c\nd", "20"]], right=["rows"]) == (
        "| name | rows |\n| --- | ---: |\n| a\\|b | 1 |\n| c d | 20 |"
    )
