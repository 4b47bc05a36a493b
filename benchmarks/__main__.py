"""Measure: ``python -m benchmarks [--quick] [--json] [NAME ...]``."""

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
    """Run the works that were asked for, and print what they came to."""
    asked = _arguments()
    rows: list[Row] = []
    if not asked.json:
        # Two processes that answer each other suffer most from what else runs: the rows of one event sink first.
        print(
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start\n\n{HEADER}",
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
        description="eventlab beside the bare command and the original's way, in one run",
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller stores, fewer slices: under a minute"
    )
    parser.add_argument("--json", action="store_true", help="for a machine")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no {name!r}: give any of {', '.join(BENCHMARKS)}")
    return asked


if __name__ == "__main__":
    main()
