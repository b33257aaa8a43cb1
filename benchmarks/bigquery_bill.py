"""Print what one day of six roots is billed on BigQuery, by the cost model.

    python benchmarks/bigquery_bill.py [--bars 50000000] [--statements]

Runs `cbi load`, `cbi build` and `cbi check` in a new home on DuckDB, and computes the bytes of each
statement as if its tables contained that many one-minute bars. Prints a Markdown table, as in
docs/bigquery.md; `--statements` also lists every statement.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from cbi_assets_tests.billing.cost_model import DOLLARS_PER_TIB
from cbi_assets_tests.billing.daily import BARS, bill_a_day
from cbi_assets_tests.billing.recorded import Total


def main() -> None:
    """Run the verbs and print their bill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--statements", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cbi-bill-") as folder:
        (Path(folder) / "drive").mkdir()
        totals = bill_a_day(Path(folder) / "home", Path(folder) / "drive", options.bars)
    print("| verb | jobs | billed statements | MB | by table (MB) | dollars |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for name, total in totals.items():
        print(_row(f"`cbi {name}`", total))
    bills = [item for total in totals.values() for item in total.bills]
    print(_row("**a day**", Total(bills, sum(total.jobs for total in totals.values()))))
    for name, total in totals.items() if options.statements else ():
        for item in total.bills:
            print(f"{name:6}{item.billed / 1e6:8,.0f} MB  {item.sql.splitlines()[0][:110]}")


def _row(name: str, total: Total) -> str:
    by_schema: Counter[str] = Counter()
    for table, size in total.by_table.items():
        by_schema[table.rpartition("databento_futures_")[2].removeprefix("market_data.")] += size
    large = [f"{table} {size / 1e6:,.0f}" for table, size in by_schema.most_common(4)]
    dollars = total.billed / 2**40 * DOLLARS_PER_TIB
    return (
        f"| {name} | {total.jobs} | {total.statements} | {total.billed / 1e6:,.0f} "
        f"| {', '.join(large)} | {dollars:.3f} |"
    )


if __name__ == "__main__":
    main()
