"""The picture of page 09, in which a response is lost and the request is retried."""

from __future__ import annotations

from tools.drawing import Drawing


def lost_response() -> Drawing:
    """Draw a timeline: the first response is lost; the repeat finds the key and stores nothing."""
    d = Drawing("A lost response: the same key gets the same response again", 1080, 320)
    for y, name in ((60, "client"), (160, "service"), (260, "the store")):
        d.text(20, y + 5, name, bold=True)
        d.line((110, y), (d.width - 20, y), dashed=True)
    d.box(130, 40, 190, 40, "deposit 500, key k", fill="panel", border="soft")
    d.box(150, 140, 150, 40, "first instance", fill="panel", border="soft")
    d.box(120, 240, 210, 40, "stores event and key k", fill="blue")
    d.arrow((225, 80), (225, 138))
    d.arrow((225, 180), (225, 238), ink="blue")
    d.text(237, 214, "k is new: append", ink="blue")
    d.arrow((300, 160), (420, 160), (420, 115), ink="orange")
    d.kill(420, 98)
    d.text(440, 104, "the response is lost", ink="orange", bold=True)
    d.box(560, 40, 190, 40, "deposit 500, key k", fill="panel", border="soft")
    d.text(655, 28, "again, with the same key", bold=True, anchor="middle")
    d.arrow((655, 80), (655, 138))
    d.box(575, 140, 160, 40, "second instance", fill="panel", border="soft")
    d.arrow((655, 180), (655, 238))
    d.text(667, 214, "k is known: append nothing", ink="soft")
    d.box(550, 240, 210, 40, "finds key k and its event", fill="past")
    d.arrow((735, 160), (940, 160), (940, 82), ink="green")
    d.box(820, 40, 240, 40, "200, the same response", fill="green", bold=True)
    d.text(1060, 308, "two requests, one event", ink="green", bold=True, anchor="end")
    return d
