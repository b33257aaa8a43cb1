from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.config.universe import load_universe
from cbi_assets.market.deadlines import deadline
from cbi_assets.market.symbology import (
    MONTH_CODES,
    Symbol,
    contract_name,
    contract_year,
    describe_symbols,
    name_contracts,
    parse_symbol,
)

roots = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=4)
months = st.integers(1, 12)
# days after the 28th add nothing: a contract's year depends on the month only
days = st.builds(dt.date, st.integers(2010, 2039), months, st.integers(1, 28))


@pytest.mark.parametrize(
    ("symbol", "parsed"),
    [
        ("ESZ5", Symbol("outright", "ES", 12, "5")),
        ("CLZ30", Symbol("outright", "CL", 12, "30")),
        ("6EH5", Symbol("outright", "6E", 3, "5")),
        ("M2KM25", Symbol("outright", "M2K", 6, "25")),
        ("ZLF6", Symbol("outright", "ZL", 1, "6")),
        ("CLM5-CLU6", Symbol("spread", "CL")),
        ("ESH5-ESM5", Symbol("spread", "ES")),
        ("M2KH5-M2KM5", Symbol("spread", "M2K")),
        ("RB:HO G6-H6", Symbol("spread", "RB")),
        ("CL:BF Z4-M5-Z5", Symbol("spread", "CL")),
        ("UD:CL: GN 2540925", Symbol("spread", "CL")),
        ("UD:ZL: VT 1234567", Symbol("spread", "ZL")),
        ("VX/M6", Symbol("outright", "VX", 6, "6")),
        ("VXM/M6", Symbol("outright", "VXM", 6, "6")),
        ("VX/N6:1:S - VX/Q6:1:B", Symbol("spread", "VX")),
        ("VX.v.0", Symbol("continuous", "VX")),
        ("ZL.v.0", Symbol("continuous", "ZL")),
        ("ZL.n.0", Symbol("continuous", "ZL")),
        ("MES.c.1", Symbol("continuous", "MES")),
        ("ZL.FUT", Symbol("other", "ZL")),
        ("ES.OPT", Symbol("other", "ES")),
        ("VIX", Symbol("other", "VIX")),
    ],
)
def test_parse_symbol_knows_the_vendors_notations(symbol: str, parsed: Symbol) -> None:
    assert parse_symbol(symbol) == parsed


@pytest.mark.parametrize(
    ("symbol", "on", "contract"),
    [
        ("ESU2", dt.date(2012, 3, 1), "ESU2012"),
        ("ESU2", dt.date(2022, 3, 1), "ESU2022"),
        ("ESU2", dt.date(2012, 9, 21), "ESU2012"),  # in its own month it is still this decade's
        ("ESU2", dt.date(2012, 10, 1), "ESU2022"),  # a month later it can only be the next
        ("ZLZ5", dt.date(2025, 1, 6), "ZLZ2025"),
        ("ZLF5", dt.date(2025, 1, 6), "ZLF2025"),
        ("ZLF5", dt.date(2024, 12, 31), "ZLF2025"),
        ("ZLZ4", dt.date(2025, 1, 6), "ZLZ2034"),
        ("CLZ0", dt.date(2019, 6, 1), "CLZ2020"),
        ("CLZ30", dt.date(2019, 6, 1), "CLZ2030"),
        ("CLZ30", dt.date(2031, 6, 1), "CLZ2030"),  # two digits are explicit
        ("VX/M6", dt.date(2026, 1, 6), "VXM2026"),
        ("ESH5-ESM5", dt.date(2025, 1, 6), None),
        ("ZL.v.0", dt.date(2025, 1, 6), None),
        ("ZL.FUT", dt.date(2025, 1, 6), None),
    ],
)
def test_contract_name_has_a_four_digit_year_for_outrights_only(
    symbol: str, on: dt.date, contract: str | None
) -> None:
    assert contract_name(symbol, on, {}) == contract


@pytest.mark.parametrize(
    ("symbol", "on", "contract"),
    [
        # SR3H5 names March 2025, when its reference quarter begins; it trades to Tuesday,
        # 2025-06-17, the day before the third Wednesday of June
        ("SR3H5", dt.date(2025, 5, 6), "SR3H2025"),
        ("SR3H5", dt.date(2025, 6, 17), "SR3H2025"),
        ("SR3H5", dt.date(2025, 7, 1), "SR3H2035"),  # 2025's is over
        ("SR3H5", dt.date(2025, 3, 19), "SR3H2025"),
        ("SR3Z4", dt.date(2025, 3, 18), "SR3Z2024"),  # over the turn of a year
        ("SR3Z9", dt.date(2020, 1, 2), "SR3Z2019"),  # and of a decade
        ("SR3Z4", dt.date(2025, 4, 1), "SR3Z2034"),
        ("DCH5", dt.date(2025, 4, 1), "DCH2025"),
        ("DCH5", dt.date(2025, 5, 1), "DCH2035"),
        # these settle at the end of their own month
        ("SR1H5", dt.date(2025, 3, 31), "SR1H2025"),
        ("SR1H5", dt.date(2025, 4, 1), "SR1H2035"),
        ("ZQH5", dt.date(2025, 4, 1), "ZQH2035"),
    ],
)
def test_contract_name_knows_the_roots_that_trade_past_their_contract_month(
    symbol: str, on: dt.date, contract: str
) -> None:
    assert contract_name(symbol, on, load_universe().months_after()) == contract


def test_months_after_cover_every_roots_last_trade_day() -> None:
    for name, root in load_universe().roots.items():
        if (rule := root.roll_rule) is not None:
            last = [
                (found.year - year) * 12 + found.month - month
                for year in range(2011, 2031)
                for month in range(1, 13)
                if (found := deadline(rule.deadline, year, month, root.calendar))
            ]
            assert max(last) <= root.months_after, name


@pytest.mark.full
@settings(deadline=None)
@given(
    root=roots,
    month=months,
    year=st.integers(2010, 2050),
    early=st.integers(0, 119),
    after=st.integers(0, 11),
)
def test_contract_name_recovers_a_one_digit_year(
    root: str, month: int, year: int, early: int, after: int
) -> None:
    """A contract seen in any of the 120 months up to the last that it trades in gets its year."""
    code = MONTH_CODES[month - 1]
    seen = year * 12 + (month - 1) + after - early
    on = dt.date(seen // 12, seen % 12 + 1, 15)
    assert parse_symbol(f"{root}{code}{year % 10}") == Symbol("outright", root, month, str(year)[3])
    assert contract_name(f"{root}{code}{year % 10}", on, {root: after}) == f"{root}{code}{year}"


@settings(deadline=None)
@given(root=roots, month=months, year=st.integers(2000, 2099), on=days)
def test_contract_name_recovers_a_two_digit_year(
    root: str, month: int, year: int, on: dt.date
) -> None:
    code = MONTH_CODES[month - 1]
    symbol = f"{root}{code}{year % 100:02}"
    assert parse_symbol(symbol) == Symbol("outright", root, month, f"{year % 100:02}")
    assert contract_name(symbol, on, {}) == f"{root}{code}{year}"


@settings(deadline=None)
@given(digit=st.integers(0, 9), month=months, on=days)
def test_contract_year_is_the_first_that_matches_one_digit(
    digit: int, month: int, on: dt.date
) -> None:
    fitting = (
        year
        for year in range(on.year, on.year + 20)
        if year % 10 == digit and dt.date(year, month, 1) >= on.replace(day=1)
    )
    assert contract_year(str(digit), month, on) == next(fitting)


few_roots = st.sampled_from(["SR3", "DC", "ZL"])
outrights = st.builds(
    lambda root, code, digits: f"{root}{code}{digits}",
    roots | few_roots,
    st.sampled_from(MONTH_CODES),
    st.from_regex(r"[0-9]{1,2}", fullmatch=True),
)
others = st.sampled_from(["ZL.v.0", "ZL.FUT", "ESH5-ESM5", "RB:HO G6-H6", "UD:CL: GN 2540925"])


@pytest.mark.full
@settings(deadline=None, max_examples=50)
@given(
    seen=st.lists(st.tuples(outrights | others, days), min_size=1, max_size=30),
    months_after=st.dictionaries(few_roots, st.integers(1, 11)),
)
def test_name_contracts_agrees_with_contract_name(
    seen: list[tuple[str, dt.date]], months_after: dict[str, int]
) -> None:
    frame = pl.DataFrame(seen, schema={"symbol": pl.String, "on": pl.Date}, orient="row")
    described = describe_symbols(frame["symbol"].unique().to_list())
    named = frame.join(described, on="symbol", how="left", maintain_order="left").with_columns(
        name_contracts(pl.col("on"), months_after)
    )
    expected = [contract_name(symbol, on, months_after) for symbol, on in seen]
    assert named["contract"].to_list() == expected
    assert named["kind"].to_list() == [parse_symbol(symbol).kind for symbol, _ in seen]
    assert named["root"].to_list() == [parse_symbol(symbol).root for symbol, _ in seen]


@settings(deadline=None)
@given(text=st.text(max_size=20))
def test_parse_symbol_finds_a_kind_for_any_text(text: str) -> None:
    assert parse_symbol(text).kind in ("outright", "spread", "continuous", "other")
