"""The pictures of pages 04 and 07: upcasting of old events, and a new version of a view.

Both show a change that readers do not notice.
"""

from __future__ import annotations

from tools.drawing import Drawing, Fill


def upcast() -> Drawing:
    """Draw three stored events and two upcasters, which convert events only when they are read."""
    d = Drawing("Old events are converted when read; what is stored never changes", 1080, 320)
    columns = ((15, 250), (445, 210), (845, 220))
    d.box(15, 55, 250, 225, fill="panel", border="soft", round=8)
    d.box(845, 55, 220, 225, fill="panel", border="green", round=8)
    for x, width, text in ((15, 250, "the log, as written"), (845, 220, "what is read")):
        d.text(x + width / 2, 40, text, bold=True, anchor="middle")
    d.text(555, 40, "upcasters, one after another", ink="blue", bold=True, anchor="middle")
    for x, name in ((320, "cents"), (705, "todays_\nnames")):
        d.box(x, 65, 90, 205, name, fill="panel", border="blue", bold=True)
    rows: list[list[tuple[str, Fill]]] = [
        [
            ('deposited\nsum: "1.15"', "past"),
            ("deposited\namount: 115", "blue"),
            ("deposit\namount: 115", "blue"),
        ],
        [
            ("deposited\namount: 500", "past"),
            ("deposited\namount: 500", "past"),
            ("deposit\namount: 500", "blue"),
        ],
        [("deposit\namount: 70", "past")] * 3,
    ]
    for number, row in enumerate(rows):
        y = 70 + 70 * number
        for (x, width), (text, fill) in zip(columns, row, strict=True):
            inset = 75 if x == 15 else 30
            d.box(x + inset, y, width - inset - 20, 54, text, fill=fill)
        for left, right in ((245, 320), (410, 475), (635, 705), (795, 875)):
            d.arrow((left, y + 27), (right - 2, y + 27))
    for number, name in enumerate(("2017", "2018", "today")):
        d.text(30, 102 + 70 * number, name, on="panel", ink="soft")
    d.text(140, 304, "never rewritten", ink="soft", bold=True, anchor="middle")
    d.text(555, 304, "blue: converted in memory", ink="blue", anchor="middle")
    d.text(955, 304, "one format", ink="green", bold=True, anchor="middle")
    return d


def view_upgrade() -> Drawing:
    """Draw a timeline: a newer version of a view is built beside the live one and swapped in."""
    d = Drawing("A new version of a view is built beside the live one, then swapped in", 1080, 300)
    for y, name in ((75, "queries get"), (150, "older projector"), (225, "newer projector")):
        d.text(20, y + 5, name, bold=True)
    for x, text in ((612, "fence"), (762, "swap: one rename")):
        d.line((x, 32), (x, 262), ink="soft", dashed=True)
        d.text(x, 24, text, bold=True, anchor="middle")
    d.box(175, 54, 587, 42, "the documents of version 1", fill="past")
    d.box(762, 54, 298, 42, "the documents of version 2", fill="green")
    d.box(175, 129, 435, 42, "applies new events to version 1", fill="past")
    d.box(614, 129, 146, 42, "waits", fill="panel", border="soft")
    d.box(764, 129, 296, 42, "stops: ViewVersionMismatch", fill="panel", border="orange")
    d.box(175, 204, 435, 42, "builds version 2 beside it, from the first event", fill="blue")
    d.box(614, 204, 146, 42, "the last events", fill="blue")
    d.box(764, 204, 296, 42, "applies new events to version 2", fill="blue")
    d.text(20, 287, "time", ink="soft", size=13)
    d.arrow((55, 283), (150, 283), ink="soft")
    d.text(1060, 287, "No query ever finds half a view.", ink="green", bold=True, anchor="end")
    return d
