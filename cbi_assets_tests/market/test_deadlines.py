"""Deadlines against the exchange's published dates."""

from __future__ import annotations

import datetime as dt
from typing import get_args

import pytest

from cbi_assets.config.universe import load_universe
from cbi_assets.market.deadlines import DeadlineRule, deadline
from cbi_assets.market.sessions import trade_dates
from cbi_assets.market.symbology import MONTH_CODES


def deadline_of(contract: str) -> dt.date | None:
    """Return the contract's deadline by the rule in universe.yaml."""
    root = load_universe().roots[contract[:-5]]
    month = MONTH_CODES.index(contract[-5]) + 1
    assert root.roll_rule is not None
    return deadline(root.roll_rule.deadline, int(contract[-4:]), month, root.calendar)


@pytest.mark.parametrize(
    ("contract", "date"),
    [
        ("ZLZ2025", "2025-11-28"),  # first notice day; Thanksgiving is the 27th
        ("ZSX2025", "2025-10-31"),
        ("ZCH2026", "2026-02-27"),
        ("ZLF2026", "2025-12-31"),
        ("GCZ2025", "2025-11-28"),
        ("PLF2026", "2025-12-31"),
        ("ESZ2025", "2025-12-19"),
        ("MNQM2025", "2025-06-20"),
        ("ESM2026", "2026-06-18"),  # the third Friday is Juneteenth
        ("CLF2026", "2025-12-19"),  # the 25th is Christmas: 3 business days before the 24th
        ("CLZ2025", "2025-11-20"),  # the 25th is a Tuesday
        ("CLK2020", "2020-04-21"),  # the 25th is a Saturday
        ("QMZ2025", "2025-11-19"),
        ("NGF2026", "2025-12-29"),
        ("HOZ2025", "2025-11-28"),
        ("RBF2026", "2025-12-31"),
        ("BZG2026", "2025-12-30"),  # London's second-to-last business day of December
        ("BZV2026", "2026-08-28"),  # London is closed on the 31st
        ("BZH2026", "2026-01-29"),  # a date early: London's last business day is the 30th
        ("LEZ2025", "2025-12-01"),
        ("LEJ2024", "2024-04-01"),
        ("HEZ2025", "2025-12-12"),
        ("HEN2025", "2025-07-15"),  # the 4th is a holiday
        ("GFX2025", "2025-11-20"),  # the Thursday before Thanksgiving
        ("GFF2026", "2026-01-29"),
        ("GFK2026", "2026-05-21"),  # Memorial Day is three days before the last Thursday
        ("6EZ2025", "2025-12-15"),
        ("6JH2026", "2026-03-16"),
        ("6CZ2025", "2025-12-16"),
        ("6LF2026", "2025-12-31"),
        ("ZNM2025", "2025-05-29"),  # first intention day; delivery starts on Monday, June 2
        ("ZBZ2025", "2025-11-26"),  # delivery starts on Monday, December 1; the 27th is a holiday
        ("ZQX2025", "2025-11-28"),
        ("10YZ2025", "2025-12-31"),
        ("BTCZ2025", "2025-12-26"),
        ("BTCH2024", "2024-03-28"),  # the last Friday is Good Friday
        ("NIYZ2025", "2025-12-11"),  # the second Friday is the 12th
        ("SR3Z2024", "2025-03-18"),  # its reference quarter ends on the third Wednesday of March
        ("QGF2026", "2025-12-26"),  # a business day before NGF2026
        ("QOG2026", "2026-01-28"),
        ("VXZ2025", "2025-12-17"),
        ("VXMH2022", "2022-03-15"),  # April's third Friday, 2022-04-15, is Good Friday
        ("6RM2022", "2022-06-15"),
        ("6RU2013", "2013-09-16"),  # the 15th is a Sunday
    ],
)
def test_deadline_equals_the_exchanges_published_date(contract: str, date: str) -> None:
    assert deadline_of(contract) == dt.date.fromisoformat(date)


@pytest.mark.parametrize("rule", get_args(DeadlineRule))
def test_deadlines_are_trade_dates_in_the_order_of_their_months(rule: DeadlineRule) -> None:
    days = set(trade_dates("energy"))
    found = [deadline(rule, y, m, "energy") for y in range(2010, 2041) for m in range(1, 13)]
    # a contract that ends in the months after its own has no deadline at the calendar's end
    after = {"three_month_sofr": 3, "vix": 1}.get(rule, 0)
    assert found[len(found) - after :] == [None] * after
    found = found[: len(found) - after]
    assert set(found) <= days
    assert found == sorted(set(found), key=str)


@pytest.mark.parametrize("month", [(2000, 12), (2041, 1)])
def test_deadline_is_none_outside_the_calendar(month: tuple[int, int]) -> None:
    assert deadline("third_friday", *month, "equity") is None
