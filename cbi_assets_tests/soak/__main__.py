"""Simulate a year of mornings without a person, and check that nothing is lost or forgotten."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cbi_assets_tests.soak.outcome import assert_all_is_well
from cbi_assets_tests.soak.year import begin_year, live_through


def main() -> None:
    """Run the simulation; raises AssertionError if the outcome is wrong."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which troubles when (default: 1)")
    parser.add_argument("--mornings", type=int, default=260, help="weekdays (default: 260)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cbi-soak-") as folder,
        begin_year(Path(folder), options.seed) as year,
    ):
        live_through(year, options.mornings)
        assert_all_is_well(year)
    print(f"{options.mornings} mornings of seed {options.seed}: nothing lost or doubled")


if __name__ == "__main__":
    main()
