"""Run cases in sandboxes, two at a time, and print a table of their outcomes."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from random import Random

from cbi_assets_tests.fuzz.cases import Case
from cbi_assets_tests.fuzz.good_jobs import JOB
from cbi_assets_tests.fuzz.oracle import (
    FAULTS,
    OUTCOMES,
    Verdict,
    judge,
    put_good_job,
    read_warehouse,
)
from cbi_assets_tests.fuzz.sandbox import (
    Finished,
    Product,
    Sandbox,
    empty_home,
    load_without_dagster,
)

Result = tuple[Case, Verdict, Finished]


def run_cases(
    cases: Sequence[Case],
    seed: int,
    scratch: Path,
    product: Product = load_without_dagster,
    keep: bool = False,
    home: Path | None = None,
) -> Iterator[Result]:
    """Run cases and yield their results in the same order.

    Each has a folder of its own in `scratch`, removed afterwards unless `keep`, and a copy of
    `home`, by default of one that the product makes for an empty drive.
    """
    workers = os.process_cpu_count() or 1
    sandboxes: SimpleQueue[Sandbox] = SimpleQueue()
    with ExitStack() as opened, ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            sandboxes.put(opened.enter_context(Sandbox(product)))
        if home is None:
            first = sandboxes.get()
            home = empty_home(first, scratch / "empty")
            sandboxes.put(first)

        def run(numbered: tuple[int, Case]) -> Result:
            number, case = numbered
            sandbox = sandboxes.get()
            folder = scratch / f"{number:04}"
            try:
                return (case, *run_case(case, seed, sandbox, home, folder))
            finally:
                sandboxes.put(sandbox)
                if not keep:
                    shutil.rmtree(folder)

        yield from pool.map(run, enumerate(cases))


def run_case(
    case: Case, seed: int, sandbox: Sandbox, home: Path, folder: Path
) -> tuple[Verdict, Finished]:
    """Write a case and a good job to a drive in `folder`, load it, and judge the outcome."""
    rng = Random(f"{seed} {case.name}")
    raw = folder / "drive" / "TrainingData" / "raw"
    job = raw / "databento_zl" / JOB
    job.mkdir(parents=True)
    (folder / "drive" / "TrainingData" / "staging").mkdir()
    shutil.copytree(home, folder / "home")
    put_good_job(
        raw / rng.choice(("databento_cl", "databento_zz"))
    )  # read before the case, or after
    case.write(job, rng)
    environment = {"CBI_HOME": str(folder / "home"), "CBI_DRIVE": str(folder / "drive")}
    finished = sandbox.run(environment, folder)
    loaded = read_warehouse(folder / "home" / "warehouse.duckdb")
    return judge(case, job, finished, loaded), finished


def outcome_table(results: Iterable[Result]) -> str:
    """Return the number of cases by kind and outcome; 80 columns wide."""
    by_kind: dict[str, Counter[str]] = {}
    for case, verdict, _ in results:
        by_kind.setdefault(case.kind, Counter())[verdict.outcome] += 1
    by_kind["all"] = sum(by_kind.values(), Counter())
    columns = (*OUTCOMES, *FAULTS)
    widths = [len(name) for name in columns]
    first = max(map(len, by_kind))
    heading = " ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True))
    lines = [f"{'':{first}} {heading}"]
    for kind, counts in by_kind.items():
        cells = " ".join(f"{counts[n] or '':>{w}}" for n, w in zip(columns, widths, strict=True))
        lines.append(f"{kind:{first}} {cells}")
    return "\n".join(line.rstrip() for line in lines)
