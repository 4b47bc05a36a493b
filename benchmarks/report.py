"""Format rows as a table or as JSON."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.result import LIMIT, ORIGINAL, Ratio, Row

HEADER = (
    f"{'benchmark':<46} {'fsync':<8} {'ratio':>7} {'quartiles':>15} {'needs':>6} {'':<5} "
    f"{'ours':>11} {'other':>11} {'unit':<11} against"
)
VERDICT = {True: "OK", False: "below", None: ""}


def lines(row: Row) -> list[str]:
    """Return a line for each ratio, and a line for the value if it has its own limit."""
    text = [_line(row, ratio) for ratio in row.ratios]
    if row.at_most is not None:
        verdict = "OK" if row.met else "above"
        text.append(
            f"{row.name:<46} {row.fsync:<8} {'':>7} {'':>15} {'':>6} {verdict:<5} "
            f"{_figure(row.ours):>11} {_figure(row.at_most):>11} {row.unit:<11} at most"
        )
    return text


def _line(row: Row, ratio: Ratio) -> str:
    spread = ratio.spread
    middle = f"{_figure(spread.lower)}..{_figure(spread.upper)}"
    needs = "" if ratio.required is None else f"{ratio.required:g}"
    return (
        f"{row.name:<46} {row.fsync:<8} {_figure(spread.median):>7} {middle:>15} {needs:>6} "
        f"{VERDICT[ratio.met]:<5} {_figure(row.ours):>11} {_figure(ratio.value):>11} "
        f"{row.unit:<11} {ratio.way}"
    )


def _figure(value: float) -> str:
    """Return a value with about three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def as_json(rows: list[Row]) -> str:
    """Return all rows as JSON."""
    return json.dumps([_plain(row) for row in rows], indent=2)


def _plain(row: Row) -> dict[str, Any]:
    values = {ratio.against: ratio.value for ratio in row.ratios}
    return {
        "name": row.name,
        "fsync": row.fsync,
        "unit": row.unit,
        "ours": row.ours,
        "limit": values.get(LIMIT),
        "original": values.get(ORIGINAL),
        "at_most": row.at_most,
        "met": row.met,
        "ratios": [
            {
                "against": ratio.against,
                "way": ratio.way,
                "value": ratio.value,
                "required": ratio.required,
                "met": ratio.met,
                **ratio.spread._asdict(),
            }
            for ratio in row.ratios
        ],
    }
