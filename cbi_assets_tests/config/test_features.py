"""features.yaml declares each feature once, and a wrong key is named."""

from __future__ import annotations

import pytest

from cbi_assets.config.features import load_features, parse_features
from cbi_assets.errors import UsageError
from cbi_assets.tables import DAILY_ML_MATRIX_FLAT

STRUCTS = "structs: {s: prices}\n"
SMA = (
    "struct: s, measure: sma, name: 'a_{window}', counts: sessions, formula: f, unit: u, source: x"
)


def test_columns_of_the_view_are_described_by_the_catalogue() -> None:
    described = {c.name: (c.description, c.unit, c.type) for c in DAILY_ML_MATRIX_FLAT.columns}
    features = load_features().every
    assert len({feature.flat_name for feature in features}) == len(features) == 57
    for feature in features:
        expected = (feature.formula, feature.unit, "FLOAT64")
        assert described[feature.flat_name] == expected


def test_family_has_a_feature_per_leg_and_window() -> None:
    pairs = (
        "struct: s, measure: beta, name: 'b_{leg}_{window}', windows: [2, 3], "
        "legs: {es: ES, dollar: dollar_index}, roots: [ZL], counts: pairs, "
        "formula: '{window} of {leg}', unit: u, source: x"
    )
    features = parse_features(f"{STRUCTS}families: [{{{pairs}}}]")
    found = [(f.flat_name, f.leg, f.window, f.formula) for f in features.every]
    assert found == [
        ("s_b_es_2", "ES", 2, "2 of ES"),
        ("s_b_es_3", "ES", 3, "3 of ES"),
        ("s_b_dollar_2", "dollar_index", 2, "2 of dollar_index"),
        ("s_b_dollar_3", "dollar_index", 3, "3 of dollar_index"),
    ]
    # a series has no bars
    assert features.legs_of("ZL") == ("ES",)
    assert features.legs_of("ES") == ()


@pytest.mark.parametrize(
    ("family", "problem"),
    [
        (SMA, "families.0: sma: windows are missing or out of place"),
        (f"{SMA}, windows: [5], legs: {{es: ES}}", "families.0: sma: legs are missing or out"),
        (f"{SMA}, windows: [5], terms: {{ES: 1}}", "families.0: sma: terms are missing or out"),
        (f"{SMA}, windows: [0]", "families.0.windows.0: "),
        (f"{SMA}, windows: [5, 5]", "families: two features have the name a_5"),
        (f"{SMA}, windows: [5], roots: [XX]", "families.0: XX is not in universe.yaml"),
        (f"{SMA}, windows: [5]".replace("s,", "t,", 1), "families: there is no struct t"),
        (
            f"{SMA}, windows: [5], legs: {{a: XX}}, roots: [ZL]".replace("sma", "beta"),
            "families.0: XX is neither in universe.yaml nor in macro.yaml",
        ),
        (
            f"{SMA}, windows: [5], legs: {{es: ES}}".replace("sma", "beta"),
            "families.0: beta: name its roots",
        ),
        (
            f"{SMA}, terms: {{ES: 1}}, roots: [ZL]".replace("sma", "ratio"),
            "families.0: ratio: terms are missing or out of place",
        ),
    ],
)
def test_wrong_key_is_named(family: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_features(f"{STRUCTS}families: [{{{family}}}]")
    assert str(raised.value).startswith(f"features.yaml: {problem}")
