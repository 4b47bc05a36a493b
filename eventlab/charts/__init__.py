"""Events as DataFrames and figures, in one look.

Every figure is titled, says its units, is legible at half size, and is safe for the colour-blind. Each file holds the
figures of one subject; `style.py` is what they share.
"""

from __future__ import annotations

from eventlab.charts.followers import pending, shifts, timeline
from eventlab.charts.frames import frame
from eventlab.charts.mailroom import by_sender, funnel, stays
from eventlab.charts.money import balance
from eventlab.charts.projections import by_day, ladder, lag
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW
from eventlab.charts.timing import bars, growth, race, shares, waits

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "YELLOW",
    "balance",
    "bars",
    "by_day",
    "by_sender",
    "frame",
    "funnel",
    "growth",
    "ladder",
    "lag",
    "pending",
    "race",
    "shares",
    "shifts",
    "stays",
    "timeline",
    "waits",
]
