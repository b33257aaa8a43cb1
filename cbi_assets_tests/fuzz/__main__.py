"""Load mutated files and print what became of them; see docs/fuzzing.md."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

from cbi_assets_tests.fuzz.cases import all_cases, sample
from cbi_assets_tests.fuzz.run_cases import Result, outcome_table, run_cases
from cbi_assets_tests.fuzz.sandbox import load_by_command_line

COMMAND_LINE = 20
"""How many cases are also loaded by `cbi load` in an interpreter of its own, Dagster and all."""


def main() -> int:
    """Run the chosen cases, print the table, and return 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which bytes are mutated (default: 1)")
    parser.add_argument("--count", type=int, default=700, help="how many cases (default: 700)")
    parser.add_argument(
        "--case", default="", help="only cases whose name contains this, and keep them"
    )
    parser.add_argument(
        "--part", default="1/1", help="run only this part of the cases, such as 2/5 (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="list the cases, run none")
    options = parser.parse_args()
    cases = all_cases(options.seed)
    if options.case:
        cases = [case for case in cases if options.case in case.name]
    else:
        cases = sample(cases, options.count, options.seed)
    part, parts = map(int, options.part.split("/"))
    cases = cases[part - 1 :: parts]
    if options.list:
        sys.stdout.writelines(f"{case.name}\n" for case in cases)
        return 0
    scratch = Path(tempfile.mkdtemp(prefix="cbi-fuzz-"))
    started = time.monotonic()
    results: list[Result] = []
    by_command_line = [] if options.case else sample(cases, COMMAND_LINE, options.seed)
    for result in chain(
        run_cases(cases, options.seed, scratch / "forked", keep=bool(options.case)),
        run_cases(by_command_line, options.seed, scratch / "cli", load_by_command_line),
    ):
        results.append(result)
        case, verdict, _ = result
        if verdict.is_fault:
            print(f"{verdict.outcome}: {case.name}: {verdict.detail}", flush=True)
        elif options.case:
            print(f"{verdict.outcome}: {case.name}")
    faults = sum(verdict.is_fault for _, verdict, _ in results)
    peak = max((finished.peak for _, _, finished in results), default=0)
    print(outcome_table(results))
    print(
        f"{len(results)} cases of seed {options.seed} in {time.monotonic() - started:.0f} s, "
        f"peak memory {peak >> 20} MiB, {faults} faults"
    )
    if options.case:
        print(f"drives, homes and output: {scratch}")
    else:
        shutil.rmtree(scratch)
    if faults:
        print(f"repeat one: make fuzz SEED={options.seed} CASE='its name'")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
