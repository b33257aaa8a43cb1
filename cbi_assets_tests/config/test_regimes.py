"""regimes.yaml equals the user's table, and a wrong key is named in one line."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from cbi_assets.config.regimes import BASELINE, load_regimes, parse_regimes
from cbi_assets.errors import UsageError

USERS_TABLE = [
    ("tech_bubble_1998_2000", "1998-01-01", "2000-03-31", 50),
    ("commodity_emergence_2000_2003", "2000-04-01", "2003-12-31", 75),
    ("china_supercycle_2004_2007", "2004-01-01", "2007-07-31", 100),
    ("financial_crisis_2008_2009", "2007-08-01", "2009-06-30", 200),
    ("qe_commodity_boom_2010_2011", "2009-07-01", "2011-12-31", 150),
    ("plateau_transition_2012_2014", "2012-01-01", "2014-06-30", 100),
    ("commodity_crash_2014_2016", "2014-07-01", "2016-12-31", 250),
    ("pre_tradewar_2017", "2017-01-01", "2017-12-31", 125),
    ("tradewar_escalation_2018_2019", "2018-01-01", "2019-12-31", 300),
    ("covid_shock_2020", "2020-01-01", "2020-12-31", 350),
    ("covid_recovery_2021", "2021-01-01", "2021-06-30", 200),
    ("inflation_surge_2021_2022", "2021-07-01", "2022-12-31", 400),
    ("disinflation_2023", "2023-01-01", "2023-10-31", 250),
    ("trump_anticipation_2024", "2023-11-01", "2025-01-19", 400),
    ("trump_second_term", "2025-01-20", "2029-01-20", 600),
    ("baseline", "1900-01-01", "2099-12-31", 100),
]

TWO = """
regimes:
  - {name: calm, start_date: 2020-01-01, end_date: 2020-12-31, weight: 50}
  - {name: storm, start_date: 2021-01-01, end_date: 2021-12-31, weight: 200.5}
"""


def test_regimes_equal_the_users_table_in_its_order() -> None:
    found = [
        (regime.name, str(regime.start_date), str(regime.end_date), regime.weight)
        for regime in load_regimes().regimes
    ]
    assert found == USERS_TABLE


def test_regimes_follow_each_other_without_gap_or_overlap() -> None:
    named = [regime for regime in load_regimes().regimes if regime.name != BASELINE]
    for earlier, later in itertools.pairwise(named):
        assert later.start_date - earlier.end_date == dt.timedelta(days=1)


def test_example_regimes_parse() -> None:
    assert [regime.weight for regime in parse_regimes(TWO).regimes] == [50.0, 200.5]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("2020-12-31", "2019-12-31", "regimes.0.end_date"),
        ("2021-12-31", "2020-12-31", "regimes.1.end_date"),
        ("2021-01-01", "2021-02-30", "regimes.1.start_date"),
        ("2021-01-01", "soon", "regimes.1.start_date"),
        ("weight: 50", "weight: heavy", "regimes.0.weight"),
        ("weight: 50", "weight: -1", "regimes.0.weight"),
        ("weight: 50", "weight: .nan", "regimes.0.weight"),
        ("weight: 50", "wieght: 50", "regimes.0.weight"),
        ("weight: 50", "weight: 50, note: x", "regimes.0.note"),
        ("name: calm", "name: ''", "regimes.0.name"),
        ("name: storm", "name: calm", "regimes"),
        ("2021-01-01", "2020-01-01", "regimes"),
        ("regimes:", "regime:", "regimes"),
    ],
)
def test_wrong_key_of_regimes_is_named_in_one_line(old: str, new: str, where: str) -> None:
    assert old in TWO
    with pytest.raises(UsageError) as raised:
        parse_regimes(TWO.replace(old, new, 1), "mine.yaml")
    message = str(raised.value)
    assert message.startswith(f"mine.yaml: {where}: ")
    assert message.endswith("Correct that key.")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["regimes: [", "a: b: c"])
def test_regimes_that_are_not_yaml_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^mine\.yaml: not YAML: .*$"):
        parse_regimes(text, "mine.yaml")


@pytest.mark.parametrize("text", ["", "regimes: []", "[]"])
def test_file_without_regimes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^mine\.yaml: regimes: "):
        parse_regimes(text, "mine.yaml")


def test_regime_may_last_one_day() -> None:
    (regime, _) = parse_regimes(TWO.replace("2020-12-31", "2020-01-01")).regimes
    assert regime.start_date == regime.end_date


def test_baseline_may_start_on_the_date_of_another_regime() -> None:
    regimes = parse_regimes(TWO.replace("storm", "baseline").replace("2021-01-01", "2020-01-01"))
    assert [regime.name for regime in regimes.by_precedence()] == ["calm", "baseline"]
