"""DataFrames and figures of events, in one style.

Every figure has a title and units, is legible at half size, and is safe for color-blind readers.
Each file contains the figures for one subject; `style.py` contains the code that all of them use.
"""

from __future__ import annotations

from eventlab.charts.frames import frame
from eventlab.charts.mailroom import funnel
from eventlab.charts.money import balance
from eventlab.charts.projections import ladder
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW, show
from eventlab.charts.subscriptions import pending
from eventlab.charts.timing import bars, growth

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "YELLOW",
    "balance",
    "bars",
    "frame",
    "funnel",
    "growth",
    "ladder",
    "pending",
    "show",
]
