"""macro.yaml and sources.yaml: their content, and one line for a wrong key."""

from __future__ import annotations

import pytest

from cbi_assets.config.macro import load_macro, parse_macro
from cbi_assets.config.sources import load_sources, parse_sources
from cbi_assets.errors import UsageError

ONE = """
publications:
  h15: {business_days: 1, time: "16:15", zone: America/New_York, source: the Fed}
series:
  rate: {title: t, group: macro, kind: macro, unit: percent, publication: h15, max_age_days: 5,
         from: [{layout: indicators, names: [rate], day: first}]}
  other: {title: t, group: policy, kind: policy, unit: events, publication: h15, max_age_days: 5,
          from: [{layout: indicators, names: [rate], day: other}]}
"""

STAGING = """
databento: {demo_dataset: DEMO.SYNTH}
staging:
  sources:
    FRED: {names: [FRED], kinds: [macro]}
  refused: [{starts: yahoo, reason: no}]
  declared: [{id: mine, source: FRED, date: date, columns: [date, a], reason: mine}]
stitch:
  {root: ZL, source: Yahoo_Finance, boundary: 2010-06-06, scale: 1.0, adjustment: none,
   close_kind: settlement, close_only_before: 2007-01-01,
   columns: {date: d, open: o, high: h, low: l, close: c, volume: v}}
"""


def test_groups_list_their_series_in_file_order() -> None:
    macro = parse_macro(ONE)
    assert macro.of_group("macro") == ("rate",)
    assert macro.of_group("policy") == ("other",)


def test_every_series_has_a_source_allowed_to_supply_it() -> None:
    kinds = {kind for s in load_sources().staging.sources.values() for kind in s.kinds}
    assert {series.kind for series in load_macro().series.values()} <= kinds


def test_every_publication_states_its_source_and_is_used() -> None:
    macro = load_macro()
    assert all(publication.source for publication in macro.publications.values())
    assert {series.publication for series in macro.series.values()} == set(macro.publications)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("kind: macro", "kind: price", "series.rate.kind"),
        ("zone: America/New_York", "zone: Mars/Base", "publications.h15.zone"),
        ('time: "16:15"', "time: noon", "publications.h15.time"),
        ("business_days: 1", "business_days: 0", "publications.h15"),
        ("publication: h15", "publication: h16", "series: rate: there is no publication h16"),
        ("max_age_days: 5", "max_age_days: 0", "series.rate.max_age_days"),
        ("rate: {", "Rate!: {", "series.Rate!"),
        ("day: first", "day: any", "series: rate and other both use rate"),
        ("unit: percent", "unit: percent, note: x", "series.rate.note"),
    ],
)
def test_wrong_key_of_macro_is_named_in_one_line(old: str, new: str, where: str) -> None:
    assert old in ONE
    with pytest.raises(UsageError) as raised:
        parse_macro(ONE.replace(old, new, 1), "mine.yaml")
    assert str(raised.value).startswith(f"mine.yaml: {where}")
    assert "\n" not in str(raised.value)


def test_series_that_share_a_name_must_not_overlap_in_dates() -> None:
    disjoint = ONE.replace("day: first", "until: 2020-01-01").replace(
        "day: other", "since: 2020-01-02"
    )
    assert len(parse_macro(disjoint).series) == 2
    with pytest.raises(UsageError, match="both use rate"):
        parse_macro(disjoint.replace("since: 2020-01-02", "since: 2020-01-01"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("kinds: [macro]", "kinds: [price]", "kinds"),
        ("names: [FRED]", "names: [Yahoo_Finance]", "is both allowed and refused"),
        ("source: FRED", "source: BIS", "BIS is not listed under sources"),
        ("columns: [date, a], ", "", "set columns or name"),
        ("FRED: {names", "BIS: {names: [FRED], kinds: [macro]}\n    FRED: {names", "two sources"),
        ("adjustment: none", "adjustment: ratio", "adjustment"),
        ("scale: 1.0", "scale: 0", "scale"),
    ],
)
def test_inconsistent_sources_are_refused(old: str, new: str, what: str) -> None:
    assert old in STAGING
    with pytest.raises(UsageError, match=what):
        parse_sources(STAGING.replace(old, new, 1), "mine.yaml")


def test_packaged_sources_refuse_yahoo_but_for_the_stitch() -> None:
    sources = load_sources()
    assert sources.staging.refusal_reason("Yahoo_Finance") is not None
    assert sources.staging.refusal_reason("yahoo_finance_myr") is not None
    assert sources.staging.refusal_reason("FRED") is None
    assert sources.stitch is not None
    assert str(sources.stitch.boundary) == "2010-06-06"
    assert (sources.stitch.scale, sources.stitch.adjustment) == (1.0, "none")
