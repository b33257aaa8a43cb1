"""Write the feature catalogue, docs/features.md, from features.yaml and measured coverage.

`make dictionary` runs this; a test compares the page with the files. `benchmarks/features.py`
measures the coverage in a built home.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cbi_assets.config.features import Feature, Features, load_features
from cbi_assets.formatting import markdown_table, percent

_HEAD = """\
# Features

Written by `make dictionary` from `cbi_assets/config/features.yaml`; don't edit it by hand. These
are columns of `features.daily_ml_matrix`, one STRUCT per section below;
`features.daily_ml_matrix_flat` and the training tables have each field as `<struct>_<field>`. The
other columns are in the [data dictionary](data-dictionary.md).

- **One contract.** Closes of a window are those of the front contract of their own dates, chained
  at rolls: the close of an earlier date is the row's close, divided by each close / prior close
  since, each of one contract. Over a roll the unadjusted series would jump instead. A window ends
  before a step that is unknown (a roll of `ROOT.v.0` whose outrights are not on the drive, a
  missing trade date): the feature is NULL until there are enough closes again.
- **Point in time.** A row needs nothing after its own session's close. Another market counts once
  its session has closed: HO's closes after ZL's, so ZL's row has HO's close of the trade date
  before, with ZL's own of that date. A session of the vendor's 1d bars counts from the end of its
  UTC day, a series of macro.yaml from its publication, with the value published first.
- **Finite memory.** An exponential average has 4 times its days, Wilder's 10 times; what is older
  weighs 0.03% and 0.003%. So a row is the same to the last bit whether one day is built or
  everything, and nothing has to be carried from row to row. TA-Lib, whose averages never forget,
  gives other digits from the first date on; the tests state how far apart the two are.
- **NULL, never 0**, where a window is not complete or a formula has no value.

A feature is an entry of features.yaml; one with another formula also needs a function in
`cbi_assets/features/price_features.py` or `pair_features.py`. `cbi build` then computes it for
all rows.

First date and share of NULLs are those of the sample drive, measured by `benchmarks/features.py`:
{measured}. `cbi.read("features.daily_ml_matrix", flat=True).null_count()` counts them in your home.
"""


def render(coverage: pl.DataFrame, catalogue: Features | None = None) -> str:
    """Return the page in Markdown: one section per STRUCT.

    `coverage` has column, root, rows, first_date and missing (rows without a value); a feature that
    a root does not have is not in it.
    """
    catalogue = catalogue or load_features()
    roots = coverage["root"].unique(maintain_order=True).to_list()
    measured = " and ".join(
        f"{rows:,} rows of {root}"
        for root, rows in coverage.group_by("root", maintain_order=True)
        .agg(pl.col("rows").first())
        .iter_rows()
    )
    found = {(c, root): rest for c, root, *rest in coverage.iter_rows()}
    columns = [*_COLUMNS, *(f"{root}: from, NULL" for root in roots)]
    lines = [_HEAD.replace("{measured}", measured)]
    for name, description in catalogue.structs.items():
        lines += [f"\n## {name}\n", f"{description[0].upper()}{description[1:]}.\n"]
        rows = [
            (*_row(f), *(_covered(found.get((f.flat_name, root))) for root in roots))
            for f in catalogue.of_struct(name)
        ]
        lines.append(markdown_table(columns, rows))
    return "\n".join(lines) + "\n"


def read_coverage(path: Path) -> pl.DataFrame:
    """Read what benchmarks/features.py wrote."""
    return pl.read_csv(path, schema_overrides={"first_date": pl.Date})


def _covered(measured: list[Any] | None) -> str:
    if measured is None:
        return ""
    rows, first, missing = measured
    return f"{first or 'no value'}, {percent(missing, rows)}"


_COLUMNS = ["column", "formula", "window", "unit", "roots", "after"]


def _row(feature: Feature) -> tuple[str, ...]:
    return (
        f"`{feature.flat_name}`",
        feature.formula,
        "; ".join(_window(feature)),
        feature.unit,
        ", ".join(feature.roots) or "all",
        feature.source,
    )


def _window(feature: Feature) -> Iterator[str]:
    if feature.window is not None:
        yield f"{feature.window} {feature.counts}"
    if feature.leg is not None or feature.terms:
        yield f"newest at most {feature.max_age_days} days old"


if __name__ == "__main__":
    sys.stdout.write(render(read_coverage(Path(sys.argv[1]))))
