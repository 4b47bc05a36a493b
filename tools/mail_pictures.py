"""The pictures of pages 10 and 11: an email's route, and how its bytes become text."""

from __future__ import annotations

from tools.drawing import Drawing


def mail_route() -> Drawing:
    """Draw an email's path through two systems, and the router between them with its event log."""
    d = Drawing("The route of an email: the router connects two systems", 1080, 260)
    d.box(20, 60, 95, 50, "customer", fill="panel", border="soft")
    d.box(195, 60, 100, 50, "Gmail\ninbox", fill="past", bold=True)
    d.box(405, 60, 110, 50, "router", fill="blue", bold=True)
    d.box(695, 60, 165, 50, "CXone\npoint of contact", fill="past", bold=True)
    d.box(960, 60, 100, 50, "agent", fill="panel", border="soft")
    d.arrow((115, 85), (193, 85))
    d.text(154, 75, "email", anchor="middle")
    d.arrow((295, 85), (403, 85), ink="blue")
    d.text(350, 75, "new emails", anchor="middle", room=105)
    d.arrow((515, 76), (693, 76), ink="blue")
    d.text(605, 66, "posts a work item", anchor="middle", room=170)
    d.arrow((695, 96), (517, 96), ink="orange", dashed=True)
    d.text(605, 116, "response, or none", ink="orange", anchor="middle", room=170)
    d.arrow((860, 85), (958, 85))
    d.text(909, 75, "contact", anchor="middle", room=90)
    d.box(380, 185, 160, 50, "event log\nin Redis", fill="blue", bold=True)
    d.arrow((460, 110), (460, 183), ink="blue")
    d.text(475, 152, "before the post: what it is about to do", ink="soft", size=14)
    d.text(475, 170, "after the post: the outcome", ink="soft", size=14)
    d.text(20, 30, "your program is blue", ink="blue", bold=True)
    d.text(
        605, 30, "if the response is lost, nobody knows", ink="orange", bold=True, anchor="middle"
    )
    return d


def mail_reading() -> Drawing:
    """Draw how an email is read: its header names the author, and its parts become one text."""
    d = Drawing("From a stranger's bytes to words: an agent sees nothing else", 1080, 320)
    d.box(20, 50, 200, 220, fill="panel", border="soft", round=8)
    d.text(120, 78, "email: raw bytes", on="panel", bold=True, anchor="middle")
    d.box(40, 95, 160, 60, "header fields", fill="past")
    d.box(40, 185, 160, 60, "body: a tree\nof parts", fill="past")
    d.box(370, 90, 210, 70, "who wrote it?\na person or a program?", fill="blue")
    d.box(370, 180, 210, 70, "one text,\nits charset checked", fill="blue")
    d.box(770, 95, 200, 150, "work item:\nthe facts,\nthen the words,\nin plain text", fill="green")
    d.arrow((200, 125), (368, 125), ink="blue")
    d.text(295, 115, "parse", anchor="middle", room=130)
    d.arrow((200, 215), (368, 215), ink="blue")
    d.text(295, 205, "choose, decode", anchor="middle", room=140)
    d.arrow((580, 125), (768, 125), ink="green")
    d.text(674, 115, "facts", anchor="middle", room=120)
    d.arrow((580, 215), (768, 215), ink="green")
    d.text(674, 205, "words", anchor="middle", room=120)
    d.arrow((970, 170), (1002, 170))
    d.text(1040, 175, "agent", bold=True, anchor="middle")
    d.arrow((475, 90), (475, 40), (598, 40), dashed=True)
    d.text(608, 36, "skipped: a reaction, or our own automatic email", ink="soft", size=14)
    d.text(608, 56, "held: too many emails from one sender", ink="soft", size=14)
    d.arrow((475, 250), (475, 290), (598, 290), dashed=True)
    d.text(608, 286, "left out: hidden text, scripts, tags", ink="soft", size=14)
    d.text(608, 306, "shortened, if it is too long: quoted emails", ink="soft", size=14)
    return d
