"""Measure features and targets in a built home, for docs/features.md and docs/training.md.

    python benchmarks/features.py --home HOME [--roots ES,ZL] [--targets ES,NQ]

Reads the home's warehouse and writes, under docs/:

  data/feature-coverage.csv    of each feature and root: rows, first date with a value, rows without
  images/targets-by-horizon.png   share of rows whose roll-consistent target differs from
                                  close[t+h] / close[t] - 1, by horizon
  images/notebook.png             what the cells of notebook.md draw, of 5-date targets of ES

`make dictionary` then renders docs/features.md. The figures there are of the sample drive.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl

from cbi_assets.build.training import read_inputs
from cbi_assets.config.features import load_features
from cbi_assets.config.settings import Settings
from cbi_assets.features.folds import FoldSizes, walk_forward
from cbi_assets.features.targets import daily_targets
from cbi_assets.session import Project, Session, open_session
from cbi_assets.tables import DAILY_ML_MATRIX_FLAT

DOCS = Path(__file__).parents[1] / "docs"
HORIZONS = (1, 2, 3, 5, 10, 15, 21, 30, 42, 63)
DIFFERENT = 1e-9
"""A larger difference of two returns is not a rounding error."""


def measure_coverage(session: Session, roots: list[str]) -> pl.DataFrame:
    """Return column, root, rows, first_date and missing of every feature that the root has."""
    found = []
    for root in roots:
        rows = session.warehouse.query(
            f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}` WHERE symbol = @root ORDER BY data_date",
            {"root": root},
        )
        for feature in load_features().every:
            if feature.is_of(root):
                known = rows.filter(pl.col(feature.flat_name).is_not_null())
                found.append(
                    {
                        "column": feature.flat_name,
                        "root": root,
                        "rows": rows.height,
                        "first_date": known["data_date"].min(),
                        "missing": rows.height - known.height,
                    }
                )
    return pl.DataFrame(found, schema_overrides={"first_date": pl.Date})


def measure_targets(session: Session, roots: list[str]) -> pl.DataFrame:
    """Return root, horizon, targets, and the share from which the unadjusted one differs."""
    found = []
    for root in roots:
        inputs = read_inputs(session, root)
        assert inputs.steps is not None
        rows = inputs.matrix.select("data_date", "ingestion_ts")
        for horizon in HORIZONS:
            targets = daily_targets(rows, inputs.steps, horizon).drop_nulls("target")
            gap = (targets["target"] - targets["target_unadjusted"]).abs()
            found.append(
                {
                    "root": root,
                    "horizon": horizon,
                    "targets": targets.height,
                    "share": (gap > DIFFERENT).mean(),
                    "mean_gap": gap.mean(),
                }
            )
    return pl.DataFrame(found)


def draw(measured: pl.DataFrame) -> bytes:
    """Return the plot as PNG."""
    import vl_convert

    def panel(field: str, title: str, precision: str) -> dict[str, Any]:
        return {
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "horizon", "type": "quantitative", "title": "trade dates ahead"},
                "y": {
                    "field": field,
                    "type": "quantitative",
                    "axis": {"format": precision},
                    "title": title,
                },
                "color": {"field": "root", "type": "nominal"},
                "strokeDash": {"field": "root", "type": "nominal"},
            },
            "width": 280,
            "height": 220,
        }

    chart = {
        "data": {"values": measured.to_dicts()},
        "hconcat": [
            panel("share", "rows on which the two differ", "%"),
            panel("mean_gap", "mean difference", ".1%"),
        ],
    }
    return bytes(vl_convert.vegalite_to_png(chart, scale=1))


def run_notebook(session: Session, root: str, horizon: int) -> bytes:
    """Run notebook.md's cells on a root that has no training table; return the picture as PNG."""
    inputs = read_inputs(session, root)
    assert inputs.steps is not None
    flat = session.warehouse.query(
        f"SELECT * FROM `{DAILY_ML_MATRIX_FLAT.id}` WHERE symbol = @root ORDER BY data_date",
        {"root": root},
    )
    rows = inputs.matrix.select("data_date", "ingestion_ts")
    targets = daily_targets(rows, inputs.steps, horizon).select("data_date", "target")
    known = flat.join(targets, on="data_date").with_columns(training_weight=1.0)
    sizes = session.project.training.folds
    parts = walk_forward(
        flat["data_date"].to_list(), horizon, FoldSizes(sizes.train, sizes.valid, sizes.test)
    )

    def rows_of(fold: int, role: str) -> pl.DataFrame:
        (dates,) = parts.filter(fold=fold, role=role).to_dicts()
        inside = pl.col("data_date").is_between(dates["from_date"], dates["to_date"])
        return known.filter(inside).drop_nulls("target")

    folds = [
        (rows_of(fold, "train"), rows_of(fold, "valid")) for fold in parts["fold"].unique().sort()
    ]
    numeric = [name for name, kind in flat.schema.items() if kind.is_numeric()]
    cells = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "notebook.md").read_text(), re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {
        "cbi": SimpleNamespace(folds=lambda table: folds, feature_columns=lambda table: numeric)
    }
    for cell in cells[1:]:
        exec(compile(cell, "notebook.md", "exec"), names)
    chart = names["chart"] | {"width": 560}
    return bytes(names["vl_convert"].vegalite_to_png(chart, scale=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--roots", default="ES,ZL")
    parser.add_argument("--targets", default="ES,NQ")
    options = parser.parse_args()
    settings = Settings(_env_file=None, cbi_home=options.home, cbi_warehouse="duckdb")  # type: ignore[call-arg]
    with open_session(Project(settings), now=dt.datetime.now(dt.UTC)) as session:
        coverage = measure_coverage(session, options.roots.split(","))
        measured = measure_targets(session, options.targets.split(","))
        notebook = run_notebook(session, options.roots.split(",")[0], horizon=5)
    coverage.write_csv(DOCS / "data" / "feature-coverage.csv")
    (DOCS / "images" / "targets-by-horizon.png").write_bytes(draw(measured))
    (DOCS / "images" / "notebook.png").write_bytes(notebook)
    with pl.Config(tbl_rows=-1):
        print(measured)


if __name__ == "__main__":
    main()
