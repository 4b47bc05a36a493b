"""Run the benchmarks: ``python -m benchmarks [--quick] [--json] [NAME ...]``."""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks.bench import private_bench
from benchmarks.report import HEADER, as_json, lines
from benchmarks.result import Row
from benchmarks.sizes import FULL, QUICK
from benchmarks.suite import BENCHMARKS


def main() -> None:
    """Run the requested benchmarks, and print a row for each result."""
    asked = _arguments()
    rows: list[Row] = []
    if not asked.json:
        # Other load slows down two processes that wait for each other the most, so the rows for
        # one event get worse first.
        print(
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the start\n\n{HEADER}",
            flush=True,
        )
    with private_bench(QUICK if asked.quick else FULL) as bench:
        for name in asked.names or BENCHMARKS:
            if sys.stderr.isatty():
                print(f"… {name}", end="\r", file=sys.stderr, flush=True)
            some = BENCHMARKS[name](bench)
            rows += some
            for line in [] if asked.json else [line for row in some for line in lines(row)]:
                print(line, flush=True)
    if asked.json:
        print(as_json(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Compare eventlab with the bare command and the original, in the same run",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use smaller stores and fewer slices (takes under a minute)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)"
    )
    asked = parser.parse_args()
    for name in asked.names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}: choose from {', '.join(BENCHMARKS)}")
    return asked


if __name__ == "__main__":
    main()
