"""docs/data-dictionary.md and docs/features.md match the table specs and features.yaml."""

from __future__ import annotations

from pathlib import Path

from cbi_assets.config.features import load_features
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS, Column, TableSpec, feature_page, struct
from cbi_assets.tables.dictionary import render

PAGE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "run `make dictionary` and commit the page"


def test_page_of_features_is_up_to_date() -> None:
    page = PAGE.with_name("features.md").read_text()
    coverage = feature_page.read_coverage(PAGE.parent / "data" / "feature-coverage.csv")
    assert page == feature_page.render(coverage), "run `make dictionary` and commit the page"
    features = load_features().every
    # one root has all of them
    assert set(coverage["column"]) == {feature.flat_name for feature in features}
    for feature in features:
        assert f"\n| `{feature.flat_name}` | {feature.formula} |" in page


def test_render_describes_every_table_column_and_field() -> None:
    page = render()
    for spec in (*ALL_TABLES, *ALL_VIEWS):
        section = page.split(f"\n## {spec.id}\n")[1].split("\n## ")[0]
        assert spec.description in section
        for column in spec.columns:
            assert f"\n| `{column.name}` |" in section
            for field in column.fields:
                row = f"\n| `{column.name}.{field.name}` | `{field.type}` | yes |"
                assert f"{row} {field.unit or ''} | {field.description} |" in section


def test_render_writes_a_section_per_table() -> None:
    spec = TableSpec(
        dataset="ops",
        name="things",
        description="One row a thing.",
        columns=(
            Column("id", "STRING", "a | b"),
            Column("at", "TIMESTAMP", "when", required=False, unit="UTC"),
            struct(
                "pair",
                "both",
                (
                    Column("n", "INT64", "how many", unit="bars"),
                    Column("many", "ARRAY<STRING>", "which ones"),
                ),
            ),
        ),
        key=("id", "at"),
        partition_by="at",
        cluster_by=("id",),
    )
    assert render([spec]).partition("- `ops`")[2] == (
        ": [things](#opsthings)\n\n"
        "## ops.things\n\n"
        "One row a thing.\n\n"
        "One row per `id`, `at`. Partitioned by month of `at`. Clustered by `id`.\n\n"
        "| column | type | may be NULL | unit | what it is |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| `id` | `STRING` |  |  | a \\| b |\n"
        "| `at` | `TIMESTAMP` | yes | UTC | when |\n"
        "| `pair` | `STRUCT` |  |  | both |\n"
        "| `pair.n` | `INT64` | yes | bars | how many |\n"
        "| `pair.many` | `ARRAY<STRING>` | yes |  | which ones |\n"
    )
