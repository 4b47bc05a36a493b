"""The pictures of page 08: write skew between two decisions, and the states of a payment."""

from __future__ import annotations

from tools.drawing import Drawing


def write_skew() -> Drawing:
    """Draw write skew: two tellers read both purses and each writes one, without a conflict."""
    d = Drawing("Write skew: each decision changes what the other one has read", 1080, 310)
    for y, name in ((45, "John's teller"), (240, "Jane's teller")):
        d.text(20, y + 5, name, bold=True)
        d.line((150, y), (d.width - 20, y), dashed=True)
    for y, name in ((120, "John's purse"), (170, "Jane's purse")):
        d.text(20, y + 5, name, ink="soft")
        d.line((150, y), (690, y), dashed=True)
        d.box(160, y - 18, 120, 36, "version 1: 50", fill="past")
    for x, y, edge in ((300, 45, 102), (300, 240, 188)):
        d.arrow((x + 65, edge), (x + 65, y + (21 if y == 45 else -21)), ink="soft")
        d.box(x, y - 19, 130, 38, "reads 50 + 50", fill="panel", border="soft")
        d.box(x + 150, y - 19, 190, 38, "80 <= 100: allowed", fill="panel", border="soft")
        d.box(x + 360, y - 19, 190, 38, "saves, expected=1", fill="panel", border="blue")
    d.arrow((755, 66), (755, 99), ink="blue")
    d.box(690, 102, 130, 36, "version 2: -30", fill="blue")
    d.arrow((755, 219), (755, 191), ink="blue")
    d.box(690, 152, 130, 36, "version 2: -30", fill="blue")
    d.text(845, 128, "No conflict: each purse", ink="orange", bold=True)
    d.text(845, 150, "was at version 1.", ink="orange", bold=True)
    d.text(845, 178, "Together they have -60.", ink="orange")
    d.text(150, 297, "time", ink="soft", size=13)
    d.arrow((185, 293), (300, 293), ink="soft")
    return d


def payment() -> Drawing:
    """Draw the events of a payment between banks, and the process manager's step after each."""
    d = Drawing("A payment between two banks: each event says what has to happen next", 1080, 250)
    d.box(20, 60, 140, 42, "requested", fill="past", bold=True)
    d.box(440, 60, 140, 42, "withdrawn", fill="blue", bold=True)
    d.box(900, 60, 140, 42, "arrived", fill="green", bold=True)
    d.box(20, 180, 140, 42, "rejected", fill="green", bold=True)
    d.box(440, 180, 140, 42, "bounced", fill="orange", bold=True)
    d.box(900, 180, 140, 42, "refunded", fill="green", bold=True)
    d.arrow((160, 81), (438, 81), ink="blue")
    d.text(300, 71, "withdraw at home", anchor="middle")
    d.arrow((580, 81), (898, 81), ink="green")
    d.text(740, 71, "deposit at the other bank", anchor="middle")
    d.arrow((90, 102), (90, 178), ink="green")
    d.text(102, 145, "the bank rejects it: nothing has moved", ink="soft", size=14)
    d.arrow((510, 102), (510, 178), ink="orange")
    d.text(522, 145, "the other bank rejects it", ink="soft", size=14)
    d.arrow((580, 201), (898, 201), ink="green")
    d.text(740, 191, "deposit at home", anchor="middle")
    d.text(740, 224, "the compensation", ink="soft", anchor="middle", size=14)
    d.text(
        20, 30, "Each arrow is a step. After a kill, it runs again with the same key.", ink="soft"
    )
    d.text(900, 30, "green: finished", ink="green", bold=True)
    return d
