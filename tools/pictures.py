"""Draw the pictures of mechanisms in notebooks/pictures, which the pages and the README show.

python -m tools.pictures
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from tools.drawing import Drawing, Fill
from tools.mail_pictures import mail_reading, mail_route
from tools.notebooks import NOTEBOOKS
from tools.service_pictures import lost_response
from tools.transfer_pictures import payment, write_skew
from tools.version_pictures import upcast, view_upgrade

FOLDER: Final = NOTEBOOKS / "pictures"


def eventlab() -> Drawing:
    """Draw the overview: a service appends events to Redis, and a projector makes documents."""
    d = Drawing(
        "Commands become events in Redis; a projector turns events into documents in MongoDB",
        1080,
        310,
    )
    d.box(15, 55, 220, 200, fill="panel", border="soft", round=10)
    d.box(350, 25, 380, 265, fill="panel", border="orange", round=10)
    d.box(845, 55, 220, 200, fill="panel", border="green", round=10)
    for x, text, ink, y in (
        (33, "Account service", "ink", 85),
        (370, "Redis", "orange", 55),
        (863, "MongoDB", "green", 85),
    ):
        d.text(x, y, text, ink=ink, on="panel", size=18, bold=True)
    for x, y, text in (
        (33, 120, "load the account"),
        (33, 148, "decide by its rules"),
        (33, 176, "append, expecting the"),
        (33, 196, "version it has seen"),
        (370, 88, "accountStream: all events, in commit order"),
        (370, 193, "aggregate logs: one per account"),
        (863, 120, "a document per account:"),
        (863, 142, "funds, version, …"),
        (863, 174, "and the checkpoint,"),
        (863, 196, "written in the same"),
        (863, 218, "transaction"),
    ):
        d.text(x, y, text, on="panel")
    for number, event in enumerate(("John 1", "Jane 1", "John 2", "John 3", "Jane 2")):
        john = event.startswith("John")
        d.box(370 + 68 * number, 102, 62, 34, event, fill="blue" if john else "past")
    for x, name, count in ((370, "John", 3), (560, "Jane", 2)):
        d.text(x, 232, name, on="panel", bold=True)
        for number in range(count):
            fill: Fill = "blue" if name == "John" else "past"
            d.box(x + 48 + 38 * number, 212, 34, 30, str(number + 1), fill=fill)
    d.text(370, 272, "A log has the events of one account.", ink="soft", on="panel")
    d.arrow((237, 120), (346, 120))
    d.arrow((348, 222), (239, 222))
    d.arrow((732, 120), (841, 120))
    for x, y, text in (
        (292, 92, "one script:"),
        (292, 110, "check, write"),
        (292, 212, "replay"),
        (787, 92, "projector,"),
        (787, 110, "in order"),
    ):
        d.text(x, y, text, ink="soft", anchor="middle", room=106)
    return d


def append() -> Drawing:
    """Draw four appends, in which the category stream and an aggregate log grow together."""
    d = Drawing(
        "Each append writes the event twice: to the category stream and to the aggregate log",
        1080,
        290,
    )
    events = [("John", 1), ("Jane", 1), ("John", 2), ("John", 3)]
    d.text(20, 92, "category stream", bold=True)
    d.text(20, 112, "all, in commit order", ink="soft")
    d.text(20, 170, "log of John", bold=True)
    d.text(20, 230, "log of Jane", bold=True)
    for step in range(1, 5):
        left = 180 + 225 * (step - 1)
        name, version = events[step - 1]
        d.box(left, 15, 215, 245, fill="panel", round=8)
        d.text(left + 12, 42, f"append {step}: {name} {version}", on="panel", bold=True)
        for number, (who, n) in enumerate(events[:step]):
            new: Fill = "blue" if number == step - 1 else "past"
            d.box(left + 8 + 50 * number, 78, 47, 34, f"{who[:2]} {n}", fill=new)
            row = 150 if who == "John" else 210
            d.box(left + 8 + 50 * (n - 1), row, 47, 34, str(n), fill=new)
    d.text(180, 280, "blue: the new event. Nothing that is already there ever changes.", ink="soft")
    return d


def _lanes(d: Drawing, *lanes: tuple[float, str, str]) -> None:
    for y, name, note in lanes:
        d.text(20, y - 2, name, bold=True)
        d.text(20, y + 18, note, ink="soft", size=13)
        d.line((150, y), (d.width - 20, y), dashed=True)


def lost_update() -> Drawing:
    """Draw the naive approach, in which two writers read the same version and both write."""
    d = Drawing("Read, decide, write: the second writer overwrites a decision", 1080, 270)
    _lanes(d, (50, "writer A", ""), (135, "the stream", ""), (220, "writer B", ""))
    d.box(170, 116, 90, 38, "version 1", fill="past")
    d.arrow((300, 116), (300, 72), ink="soft")
    d.box(245, 32, 110, 38, "reads 1", fill="panel", border="soft")
    d.arrow((400, 154), (400, 199))
    d.box(345, 201, 110, 38, "reads 1", fill="panel", border="soft")
    d.box(470, 32, 150, 38, "writes version 2", fill="panel", border="blue")
    d.arrow((545, 72), (545, 113), ink="blue")
    d.box(500, 116, 90, 38, "version 2", fill="blue")
    d.box(640, 201, 150, 38, "writes version 2", fill="panel", border="orange")
    d.arrow((715, 199), (715, 157), ink="orange")
    d.box(670, 116, 90, 38, "version 2", fill="orange")
    d.text(785, 118, "There are two versions 2.", ink="orange", bold=True)
    d.text(785, 160, "No error, and nobody noticed.", ink="orange")
    return d


def conflict() -> Drawing:
    """Draw a timeline of two writers; the late one gets a conflict and decides again."""
    d = Drawing("Check and write in one step: the late writer gets a conflict", 1080, 270)
    _lanes(d, (50, "writer A", ""), (135, "the store", ""), (220, "writer B", ""))
    d.box(160, 116, 80, 38, "version 1", fill="past", size=14)
    d.arrow((270, 116), (270, 72))
    d.box(225, 32, 90, 38, "reads 1", fill="panel", border="soft")
    d.arrow((345, 154), (345, 199))
    d.box(300, 201, 90, 38, "reads 1", fill="panel", border="soft")
    d.box(360, 32, 190, 38, "appends, expected=1", fill="panel", border="blue")
    d.arrow((455, 72), (455, 113), ink="blue")
    d.box(415, 116, 80, 38, "version 2", fill="blue", size=14)
    d.box(510, 201, 190, 38, "appends, expected=1", fill="panel", border="orange")
    d.arrow((580, 199), (580, 157), ink="orange")
    d.arrow((640, 137), (640, 198), ink="orange")
    d.box(530, 116, 160, 38, "conflict: it has 2", fill="orange")
    d.arrow((755, 154), (755, 199))
    d.box(710, 201, 90, 38, "reads 2", fill="panel", border="soft")
    d.text(755, 259, "decides again", ink="soft", anchor="middle")
    d.box(820, 201, 190, 38, "appends, expected=2", fill="panel", border="blue")
    d.arrow((915, 199), (915, 157), ink="blue")
    d.box(875, 116, 80, 38, "version 3", fill="blue", size=14)
    return d


def kill() -> Drawing:
    """Draw a kill between two steps: the work is never done, done twice, or done once."""
    d = Drawing("Two steps, and a kill between them: the order decides what goes wrong", 1080, 350)
    rows: list[tuple[str, str, list[tuple[str, Fill]], str, Fill]] = [
        ("ack first", "then the work", [("ack", "blue")], "never done", "orange"),
        ("work first", "then the ack", [("work", "blue")], "done twice", "orange"),
        ("one transaction", "both, or neither", [], "done once", "green"),
    ]
    d.text(180, 30, "first process", bold=True)
    d.text(560, 30, "the next process", bold=True)
    d.text(945, 30, "result", bold=True)
    for number, (name, note, done, result, mark) in enumerate(rows):
        y = 50 + 100 * number
        d.box(165, y, 360, 80, fill="panel", round=8)
        d.box(545, y, 360, 80, fill="panel", round=8)
        d.text(15, y + 36, name, bold=True)
        d.text(15, y + 56, note, ink="soft")
        d.box(180, y + 22, 90, 36, "receives 7", fill="past")
        d.arrow((272, y + 40), (298, y + 40))
        for step, (text, fill) in enumerate(done):
            d.box(300 + 110 * step, y + 22, 70, 36, text, fill=fill)
        if done:
            d.kill(405, y + 40)
            other = "work" if done[0][0] == "ack" else "ack"
            d.box(440, y + 22, 70, 36, other, fill="panel", border="soft")
        else:
            d.box(300, y + 22, 90, 36, "work + …", fill="panel", border="soft")
            d.kill(425, y + 40)
        if number == 0:
            d.box(560, y + 22, 90, 36, "receives 8", fill="past")
            d.text(665, y + 45, "7 is acknowledged: it stays lost", on="panel", ink="soft", size=14)
        else:
            d.box(560, y + 22, 90, 36, "receives 7", fill="past")
            d.arrow((652, y + 40), (678, y + 40))
        if number == 1:
            d.box(680, y + 22, 70, 36, "work", fill="orange")
            d.arrow((752, y + 40), (778, y + 40))
            d.box(780, y + 22, 70, 36, "ack", fill="blue")
        if number == 2:
            d.box(680, y + 22, 170, 36, "work + checkpoint", fill="green")
        d.box(925, y + 20, 140, 40, result, fill=mark, bold=True)
    return d


def consumer_group() -> Drawing:
    """Draw a consumer group, with its position in the stream and its pending events."""
    d = Drawing(
        "A consumer group delivers each event to one consumer, until it is acked", 1080, 350
    )
    d.text(20, 68, "the stream", bold=True)
    fills: list[Fill] = ["past", "past", "past", "blue", "past", "blue", "ground", "ground"]
    for number, fill in enumerate(fills):
        border = "soft" if fill == "ground" else ""
        d.box(130 + 80 * number, 45, 70, 36, str(number + 1), fill=fill, border=border)
    d.arrow((605, 122), (605, 86), ink="blue")
    d.text(605, 142, "the group has delivered up to 6", ink="blue", bold=True, anchor="middle")
    d.text(785, 58, "7 and 8 are new: they go to", ink="soft")
    d.text(785, 78, "the next one that asks", ink="soft")
    d.box(20, 170, 330, 160, fill="panel", round=8)
    d.text(35, 198, "consumer Ann", on="panel", bold=True)
    d.text(35, 222, "acknowledged 1, 3, 5", on="panel", ink="soft")
    d.box(35, 240, 70, 36, "6", fill="blue")
    d.text(118, 254, "pending: she works on it,", on="panel")
    d.text(118, 274, "until she acknowledges it", on="panel")
    d.box(375, 170, 330, 160, fill="panel", round=8)
    d.text(390, 198, "consumer Bob", on="panel", bold=True)
    d.text(390, 222, "acknowledged 2", on="panel", ink="soft")
    d.box(390, 240, 70, 36, "4", fill="blue")
    d.text(473, 263, "pending: but Bob died", on="panel")
    d.kill(672, 196)
    d.box(730, 170, 330, 160, fill="panel", round=8)
    d.text(745, 198, "so nothing is lost", on="panel", bold=True)
    d.text(745, 226, "4 stays in Bob's list. After", on="panel")
    d.text(745, 248, "claim_after seconds, Ann gets it:", on="panel")
    d.text(745, 270, "a second delivery of event 4.", on="panel")
    d.text(745, 308, "delivered at least once", on="panel", ink="orange", bold=True)
    d.arrow((425, 278), (425, 308), (70, 308), (70, 280), ink="orange", dashed=True)
    return d


def work_item() -> Drawing:
    """Draw the states of a work item, and who moves it from one state to the next."""
    d = Drawing("The states of a work item: an operator resolves what is in doubt", 1080, 400)
    d.text(20, 190, "email", bold=True)
    d.arrow((72, 185), (118, 185))
    d.box(120, 165, 120, 40, "received", fill="past", bold=True)
    d.box(400, 165, 130, 40, "submitting", fill="blue", bold=True)
    d.box(850, 165, 130, 40, "submitted", fill="green", bold=True)
    d.box(120, 300, 120, 40, "skipped", fill="green", bold=True)
    d.box(400, 30, 130, 40, "refused", fill="orange", bold=True)
    d.box(380, 285, 410, 70, fill="panel", round=8)
    d.box(640, 300, 130, 40, "in doubt", fill="orange", bold=True)
    d.box(400, 300, 130, 40, "held", fill="orange", bold=True)
    d.arrow((240, 178), (398, 178), ink="blue")
    d.text(319, 168, "submitting", anchor="middle", room=150)
    d.arrow((400, 196), (242, 196))
    d.text(319, 217, "unsent: tried again", ink="soft", anchor="middle", room=156, size=14)
    d.arrow((180, 205), (180, 298))
    d.text(192, 275, "not for an agent", ink="soft", size=14)
    d.arrow((530, 185), (848, 185), ink="green")
    d.text(690, 175, "CXone accepts it", anchor="middle")
    d.arrow((465, 165), (465, 72), ink="orange")
    d.text(477, 125, "CXone rejects it", ink="soft", size=14)
    d.arrow((440, 205), (440, 298), ink="orange")
    d.text(452, 250, "too many", ink="soft", size=14)
    d.text(452, 268, "attempts", ink="soft", size=14)
    d.arrow((530, 200), (700, 298), ink="orange")
    d.text(640, 245, "no response: CXone may have it", ink="soft", size=14)
    d.arrow((790, 320), (915, 320), (915, 207), dashed=True)
    d.text(925, 292, "confirmed")
    d.arrow((585, 355), (585, 380), (60, 380), (60, 215), (118, 200), dashed=True)
    d.text(90, 372, "resent")
    d.arrow((400, 50), (180, 50), (180, 163), dashed=True)
    d.text(270, 42, "resent")
    d.text(760, 388, "dashed: an operator decides", ink="soft")
    d.text(760, 40, "orange needs an operator", ink="orange", bold=True)
    d.text(760, 62, "green is finished", ink="green", bold=True)
    return d


def slices() -> Drawing:
    """Draw a category in slices, each with its own stream and its own checkpoint of a view."""
    d = Drawing("Slices: many streams for one category, in order for each aggregate", 1080, 330)
    d.text(20, 40, "aggregates", bold=True)
    d.text(330, 40, "slices, each in a slot of the cluster", bold=True)
    d.text(830, 40, "one view", bold=True)
    rows: list[tuple[str, list[str]]] = [
        ("accountStream#0", ["Ann 1", "Ann 2"]),
        ("accountStream#1", ["Bob 1", "Eve 1", "Bob 2"]),
        ("accountStream#2", ["Dan 1", "Dan 2", "Dan 3"]),
    ]
    d.box(830, 62, 235, 220, fill="panel", border="green", round=8)
    for number, (name, events) in enumerate(rows):
        y = 62 + 76 * number
        d.box(330, y, 370, 66, fill="panel", border="orange", round=8)
        d.text(342, y + 20, name, on="panel", size=13, ink="soft")
        for place, event in enumerate(events):
            d.box(342 + 76 * place, y + 28, 70, 30, event, fill="past")
        d.arrow((702, y + 33), (828, y + 33))
        d.text(845, y + 38, f"checkpoint of slice {number}", on="panel")
    for text, y, target in (
        ("Ann", 82, 95),
        ("Bob", 142, 168),
        ("Eve", 202, 174),
        ("Dan", 262, 247),
    ):
        d.box(20, y, 70, 34, text, fill="blue")
        d.arrow((92, y + 17), (328, target))
    d.text(
        20, 318, "crc32 of the id chooses the slice, so an aggregate is in one slice.", ink="soft"
    )
    d.text(765, 86, "projector", ink="soft", size=13, anchor="middle")
    d.text(642, 318, "Between two slices there is no order.", ink="orange", bold=True)
    return d


PICTURES: Final[dict[str, Callable[[], Drawing]]] = {
    "eventlab": eventlab,
    "append": append,
    "lost_update": lost_update,
    "conflict": conflict,
    "kill": kill,
    "consumer_group": consumer_group,
    "work_item": work_item,
    "slices": slices,
    "write_skew": write_skew,
    "payment": payment,
    "mail_route": mail_route,
    "mail_reading": mail_reading,
    "upcast": upcast,
    "view_upgrade": view_upgrade,
    "lost_response": lost_response,
}


def main() -> int:
    """Write all pictures to their files."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
