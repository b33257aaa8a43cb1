from __future__ import annotations

import datetime as dt
import re

import pytest
import yaml

from cbi_assets.config.universe import FOUND, load_universe, parse_universe, select_timeframes
from cbi_assets.errors import UsageError
from cbi_assets.market.rolls import RollRule
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.market.ticks import Tick

ONE = """
history_start: 2010-06-06
roots:
  ZL: {tier: 1, name: Soybean Oil, exchange: CBOT, calendar: grains, months: FHKNQUVZ,
       tick: 0.01, units: US cents per pound, timeframes: [1d, 1h],
       roll: {months: FHKNZ, deadline: first_notice}}
"""


def names(text: str) -> set[str]:
    return set(text.split())


AUDIT = names(
    "ZL MES ZS ZM ES CL HO NG RB ZC ZW NQ MNQ RTY M2K GC SI HG "
    "BZ QM PA PL ZR ZO LE GF HE 6E 6B 6J 6C 6L"
)
FOUND_ON_THE_DRIVE = names(
    "YM MYM EMD NIY ZN ZF ZT ZB TN UB ZQ SR1 SR3 2YY 5YY 10Y 30Y 6A 6N 6S 6M 6Z 6R M6A M6B M6E "
    "BTC MBT ETH MET MCL QG QH QU CU MGC SIL QO QI ALI KE XC XK XW DC DY LBR CJ KT TT YO CPO"
)


CBOE = names("VX VXM")


def test_universe_has_the_84_roots_of_the_drive_and_cboes_two() -> None:
    tiers = {name: root.tier for name, root in load_universe().roots.items()}
    assert (len(AUDIT), len(FOUND_ON_THE_DRIVE)) == (32, 52)
    assert len(tiers) == 86
    assert set(tiers) == AUDIT | FOUND_ON_THE_DRIVE | CBOE
    assert {name for name, tier in tiers.items() if tier == FOUND} == FOUND_ON_THE_DRIVE


def test_each_root_is_in_the_dataset_of_its_exchange() -> None:
    universe = load_universe()
    assert universe.datasets() == ("GLBX.MDP3", "XCBF.PITCH")
    assert universe.datasets(["ZL", "ES"]) == ("GLBX.MDP3",)
    for name, root in universe.roots.items():
        assert (root.dataset == "XCBF.PITCH") == (name in CBOE) == (root.exchange == "CFE")


def test_timeframes_are_those_wanted() -> None:
    roots = load_universe().roots
    special = {
        "ZL": ("1d", "1h", "1m"),
        "MES": ("1d", "1h", "1m"),
        "ZS": ("1d", "1m"),
        "ZM": ("1d", "1m"),
    }
    assert roots["ES"].timeframes == ("1d",)
    for name, root in roots.items():
        if name in special:
            assert root.timeframes == special[name]
        elif name in FOUND_ON_THE_DRIVE:
            assert root.timeframes == ()
        else:
            assert "1d" in root.timeframes


@pytest.mark.parametrize(
    ("root", "listed", "first_day"),
    [
        ("ZL", "2010-06-06", "2010-06-06"),
        # Mondays, whose sessions open on the Sunday before, in UTC too
        ("MES", "2019-05-06", "2019-05-05"),
        ("MNQ", "2019-05-06", "2019-05-05"),
        ("M2K", "2019-05-06", "2019-05-05"),
        ("RTY", "2017-07-10", "2017-07-09"),
        ("BTC", "2017-12-18", "2017-12-17"),
        ("TN", "2016-01-11", "2016-01-10"),
    ],
)
def test_first_trade_date_is_the_listing_and_the_first_day_the_one_before(
    root: str, listed: str, first_day: str
) -> None:
    universe = load_universe()
    assert universe.first_trade_date(root) == dt.date.fromisoformat(listed)
    assert universe.wanted_from(root) == dt.date.fromisoformat(first_day)


def test_symbols_of_every_root_parse_to_that_root() -> None:
    for name, root in load_universe().roots.items():
        for month in root.months:
            assert parse_symbol(f"{name}{month}5").root == name
        assert parse_symbol(f"{name}.v.0").root == name


def test_calendars_assign_each_root_its_sector() -> None:
    calendars = load_universe().calendars()
    grains = {name for name, calendar in calendars.items() if calendar == "grains"}
    assert grains == {"ZL", "ZS", "ZM", "ZC", "ZW", "KE", "ZR", "ZO"}
    assert {calendars[name] for name in ("LE", "GF", "HE")} == {"livestock"}
    equity = {name for name, calendar in calendars.items() if calendar == "equity"}
    assert equity == {"ES", "NQ", "MES", "MNQ", "RTY", "M2K", "YM", "MYM", "EMD"}
    assert {calendars[name] for name in ("ZN", "UB", "ZQ", "SR3", "10Y")} == {"rates"}
    assert {calendars[name] for name in ("BTC", "MBT", "ETH", "MET")} == {"crypto"}


def test_a_coarser_tick_begins_an_era_and_a_finer_one_counts_from_the_start() -> None:
    universe = load_universe()
    of_pa = [tick for tick in universe.ticks() if tick.root == "PA"]
    day = dt.date
    assert of_pa == [
        Tick("PA", day.min, day(2018, 5, 4), 50_000_000),
        Tick("PA", day(2018, 5, 5), day(2020, 12, 4), 100_000_000),
        Tick("PA", day(2020, 12, 5), day.max, 500_000_000),
    ]
    # coarser since 2021-12-06
    assert [tick for tick in universe.ticks() if tick.root == "ETH"] == [
        Tick("ETH", day.min, day(2021, 12, 3), 250_000_000),
        Tick("ETH", day(2021, 12, 4), day.max, 500_000_000),
    ]
    # 0.000025 to 2014-07-11 and 0.00001 since: their common divisor is 0.000005
    assert [tick for tick in universe.ticks() if tick.root == "6M"] == [
        Tick("6M", day.min, day(2014, 7, 11), 5_000),
        Tick("6M", day(2014, 7, 12), day.max, 10_000),
    ]
    others = [tick for tick in universe.ticks() if tick.root not in ("PA", "ETH", "6M")]
    assert len(others) == len(universe.roots) - 3
    # 0.000001 until 2015-06-19, when legs of spreads already traded on half of it
    assert universe.roots["6J"].earlier_ticks == {day(2015, 6, 19): 0.000001}
    assert Tick("6J", day.min, day.max, 500) in others
    # the Treasuries' fractions of a point: 1/32, 1/64, 1/128, 1/256
    nanos = {tick.root: tick.tick_nanos for tick in others}
    assert [nanos[root] for root in ("ZB", "ZN", "ZF", "ZT")] == [
        31_250_000, 15_625_000, 7_812_500, 3_906_250,
    ]  # fmt: skip


def test_roll_rules_name_the_eligible_months() -> None:
    universe = load_universe()
    named = {
        name: root.roll.months
        for name, root in universe.roots.items()
        if root.roll.months and root.tier < FOUND
    }
    assert named == {
        "PA": "HMUZ", "PL": "FJNV",
        "6E": "HMUZ", "6B": "HMUZ", "6J": "HMUZ", "6C": "HMUZ",
        "ZL": "FHKNZ",
        "ZS": "FHKNX",
        "ZM": "FHKNZ",
        "GC": "GJMQZ",
        "SI": "HKNUZ",
        "HG": "HKNUZ",
    }  # fmt: skip
    rules = universe.roll_rules()
    assert rules["ZL"] == RollRule("FHKNZ", "first_notice")
    assert rules["CL"] == RollRule("FGHJKMNQUVXZ", "crude_oil")  # all that are listed
    # no source states the others' rules
    unknown = names("ALI QI QH QU DC DY LBR CJ KT TT YO CPO")
    assert set(universe.roots) - set(rules) == unknown


def test_roll_rules_name_the_deadline_of_every_root() -> None:
    by_rule: dict[str, set[str]] = {}
    for name, rule in load_universe().roll_rules().items():
        by_rule.setdefault(rule.deadline, set()).add(name)
    grains, metals = "ZL ZS ZM ZC ZW ZR ZO KE XC XK XW", "GC SI HG PA PL MGC SIL"
    assert by_rule == {
        "first_notice": names(f"{grains} {metals}"),
        "third_friday": names("ES MES NQ MNQ RTY M2K YM MYM EMD"),
        "crude_oil": {"CL"},
        "mini_crude_oil": {"QM", "MCL"},
        "natural_gas": {"NG"},
        "brent": {"BZ"},
        "last_day_of_prior_month": {"HO", "RB", "6L"},
        "live_cattle": {"LE"},
        "lean_hogs": {"HE"},
        "feeder_cattle": {"GF"},
        "two_days_before_third_wednesday": names("6E 6B 6J 6A 6N 6S 6M 6Z M6A M6B M6E"),
        "day_before_third_wednesday": {"6C"},
        "first_intention": names("ZB ZN ZF ZT UB TN"),
        "last_day_of_month": names("ZQ SR1 2YY 5YY 10Y 30Y CU"),
        "last_friday": {"BTC", "MBT", "ETH", "MET"},
        "day_before_second_friday": {"NIY"},
        "three_month_sofr": {"SR3"},
        "mini_natural_gas": {"QG"},
        "third_last_day_of_prior_month": {"QO"},
        "fifteenth": {"6R"},
        "vix": CBOE,
    }


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("tier: 1", "teir: 1, tier: 1", "roots.ZL.teir"),
        ("history_start", "history_begin", "history_start"),
        ("2010-06-06", "2010-06-31", "history_start"),
        ("2010-06-06", "yesterday", "history_start"),
        ("tick: 0.01", "tick: 0.01, listed: 2019-02-30", "roots.ZL.listed"),
        ("tick: 0.01", "tick: 0", "roots.ZL.tick"),
        ("tick: 0.01", "tick: 0.0100000000001", "roots.ZL.tick"),
        ("tick: 0.01", "tick: 0.01, earlier_ticks: {2018-05-04: -1}", "roots.ZL.earlier_ticks"),
        ("tick: 0.01", "tick: 0.01, earlier_ticks: {soon: 1}", "roots.ZL.earlier_ticks"),
        ("FHKNQUVZ", "FHKNQUVA", "roots.ZL.months"),
        ("FHKNQUVZ", "ZF", "roots.ZL.months"),
        ("FHKNQUVZ", "FF", "roots.ZL.months"),
        ("FHKNQUVZ", "''", "roots.ZL.months"),
        ("[1d, 1h]", "[1d, 2h]", "roots.ZL.timeframes.1"),
        ("[1d, 1h]", "[]", "roots.ZL: timeframes are named by every root but those of tier 5"),
        ("tier: 1", "tier: 5", "roots.ZL: timeframes are named by every root but those of tier 5"),
        ("CBOT", "NYSE", "roots.ZL.exchange"),
        ("grains", "beans", "roots.ZL.calendar"),
        ("tier: 1", "tier: 6", "roots.ZL.tier"),
        ("ZL:", "zl:", "roots.zl"),
        (", units: US cents per pound", "", "roots.ZL.units"),
        (",\n       roll: {months: FHKNZ, deadline: first_notice}", "", "roots.ZL.roll"),
        ("deadline: first_notice", "deadline: last_notice", "roots.ZL.roll.deadline"),
        (", deadline: first_notice", "", "roots.ZL.roll.deadline"),
        ("FHKNZ", "FHZN", "roots.ZL.roll.months"),
        ("FHKNZ", "''", "roots.ZL.roll.months"),
        (
            "FHKNZ",
            "FHKNX",
            "roots.ZL: roll.months names X, which months does not list",
        ),
    ],
)
def test_wrong_key_of_the_universe_is_named_in_one_line(old: str, new: str, where: str) -> None:
    assert old in ONE
    with pytest.raises(UsageError) as raised:
        parse_universe(ONE.replace(old, new, 1), "mine.yaml")
    message = str(raised.value)
    assert message.startswith(f"mine.yaml: {where}")
    assert message.endswith("Correct that key.")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["roots: [", "a: b: c", ": :\n\t- x"])
def test_universe_that_is_not_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_universe(text, "mine.yaml")
    assert str(raised.value).startswith("mine.yaml: not YAML: ")
    assert "\n" not in str(raised.value)


def test_example_universe_parses() -> None:
    universe = parse_universe(ONE)
    assert list(universe.roots) == ["ZL"]
    assert yaml.safe_load(ONE)["roots"]["ZL"]["tick"] == universe.roots["ZL"].tick


def test_select_returns_roots_in_file_order_and_refuses_unknown_ones() -> None:
    universe = load_universe()
    assert universe.select() == tuple(universe.roots)
    assert universe.select(("MES", "ZL")) == ("ZL", "MES")
    with pytest.raises(UsageError, match=r"^--symbol XX: not a root of the universe\."):
        universe.select(("ZL", "XX"))


def test_select_timeframes_returns_longest_first_and_refuses_unknown_ones() -> None:
    assert select_timeframes() == ("1d", "1h", "1m")
    assert select_timeframes(("1m", "1d")) == ("1d", "1m")
    with pytest.raises(UsageError, match=re.escape("Use one of 1d, 1h, 1m.")):
        select_timeframes(("5m",))
