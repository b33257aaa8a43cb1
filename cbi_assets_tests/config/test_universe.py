from __future__ import annotations

import datetime as dt
import re

import pytest
import yaml

from cbi_assets.config.universe import load_universe, parse_universe, select_timeframes
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


def test_universe_has_the_32_roots_of_the_audit() -> None:
    wanted = "ZL MES ZS ZM ES CL HO NG RB ZC ZW NQ MNQ RTY M2K GC SI HG"
    others = "BZ QM PA PL ZR ZO LE GF HE 6E 6B 6J 6C 6L"
    assert len(load_universe().roots) == 32
    assert set(load_universe().roots) == set(f"{wanted} {others}".split())


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
        else:
            assert "1d" in root.timeframes


@pytest.mark.parametrize(
    ("root", "first"),
    [
        ("ZL", "2010-06-06"),
        ("MES", "2019-05-05"),
        ("MNQ", "2019-05-05"),
        ("M2K", "2019-05-05"),
        ("RTY", "2017-07-09"),
    ],
)
def test_wanted_from_is_the_later_of_history_start_and_listing(root: str, first: str) -> None:
    assert load_universe().wanted_from(root) == dt.date.fromisoformat(first)


def test_symbols_of_every_root_parse_to_that_root() -> None:
    for name, root in load_universe().roots.items():
        for month in root.months:
            assert parse_symbol(f"{name}{month}5").root == name
        assert parse_symbol(f"{name}.v.0").root == name


def test_calendars_assign_each_root_its_sector() -> None:
    calendars = load_universe().calendars()
    grains = {name for name, calendar in calendars.items() if calendar == "grains"}
    assert grains == {"ZL", "ZS", "ZM", "ZC", "ZW", "ZR", "ZO"}
    assert {calendars[name] for name in ("LE", "GF", "HE")} == {"livestock"}
    assert {calendars[name] for name in ("ES", "NQ", "MES", "MNQ", "RTY", "M2K")} == {"equity"}


def test_ticks_have_the_eras_of_palladium_and_one_of_every_other_root() -> None:
    universe = load_universe()
    of_pa = [tick for tick in universe.ticks() if tick.root == "PA"]
    day = dt.date
    assert of_pa == [
        Tick("PA", day.min, day(2018, 5, 4), 50_000_000),
        Tick("PA", day(2018, 5, 5), day(2020, 12, 4), 100_000_000),
        Tick("PA", day(2020, 12, 5), day.max, 500_000_000),
    ]
    others = [tick for tick in universe.ticks() if tick.root != "PA"]
    assert len(others) == len(universe.roots) - 1
    assert Tick("6J", day.min, day.max, 500) in others


def test_roll_rules_name_the_eligible_months() -> None:
    universe = load_universe()
    named = {name: root.roll.months for name, root in universe.roots.items() if root.roll.months}
    assert named == {
        "ZL": "FHKNZ",
        "ZS": "FHKNX",
        "ZM": "FHKNZ",
        "GC": "GJMQZ",
        "SI": "HKNUZ",
        "HG": "HKNUZ",
    }
    rules = universe.roll_rules()
    assert rules["ZL"] == RollRule("FHKNZ", "first_notice")
    assert rules["CL"] == RollRule("FGHJKMNQUVXZ", "crude_oil")  # all that are listed
    assert set(rules) == set(universe.roots)


def test_roll_rules_name_the_deadline_of_every_root() -> None:
    by_rule: dict[str, set[str]] = {}
    for name, rule in load_universe().roll_rules().items():
        by_rule.setdefault(rule.deadline, set()).add(name)
    assert by_rule == {
        "first_notice": {"ZL", "ZS", "ZM", "ZC", "ZW", "ZR", "ZO", "GC", "SI", "HG", "PA", "PL"},
        "third_friday": {"ES", "MES", "NQ", "MNQ", "RTY", "M2K"},
        "crude_oil": {"CL"},
        "mini_crude_oil": {"QM"},
        "natural_gas": {"NG"},
        "brent": {"BZ"},
        "last_day_of_prior_month": {"HO", "RB", "6L"},
        "live_cattle": {"LE"},
        "lean_hogs": {"HE"},
        "feeder_cattle": {"GF"},
        "two_days_before_third_wednesday": {"6E", "6B", "6J"},
        "day_before_third_wednesday": {"6C"},
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
        ("[1d, 1h]", "[]", "roots.ZL.timeframes"),
        ("CBOT", "NYSE", "roots.ZL.exchange"),
        ("grains", "beans", "roots.ZL.calendar"),
        ("tier: 1", "tier: 5", "roots.ZL.tier"),
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
