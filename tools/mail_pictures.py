"""The picture of page 10: the route of an email, from the customer to the agent."""

from __future__ import annotations

from tools.drawing import Drawing


def mail_route() -> Drawing:
    """An email on its way through two systems, and the router between them with its event log."""
    d = Drawing("The route of an email: the router stands between two systems", 1080, 260)
    d.box(20, 60, 110, 50, "customer", fill="panel", border="soft")
    d.box(215, 60, 120, 50, "Gmail\ninbox", fill="past", bold=True)
    d.box(450, 60, 120, 50, "router", fill="blue", bold=True)
    d.box(725, 60, 140, 50, "CXone\npoint of contact", fill="past", bold=True)
    d.box(950, 60, 110, 50, "agent", fill="panel", border="soft")
    d.arrow((130, 85), (213, 85))
    d.text(172, 75, "email", anchor="middle")
    d.arrow((335, 85), (448, 85), ink="blue")
    d.text(392, 75, "new emails", anchor="middle", room=110)
    d.arrow((570, 76), (723, 76), ink="blue")
    d.text(646, 66, "posts a work item", anchor="middle", room=152)
    d.arrow((723, 96), (572, 96), ink="orange", dashed=True)
    d.text(646, 116, "response, or none", ink="orange", anchor="middle", room=152)
    d.arrow((865, 85), (948, 85))
    d.text(907, 75, "contact", anchor="middle", room=80)
    d.box(430, 185, 160, 50, "event log\nin Redis", fill="blue", bold=True)
    d.arrow((510, 110), (510, 183), ink="blue")
    d.text(525, 152, "before the post: what it is about to do", ink="soft", size=14)
    d.text(525, 170, "after the post: what came of it", ink="soft", size=14)
    d.text(20, 30, "your program is blue", ink="blue", bold=True)
    d.text(646, 30, "a lost response: nobody knows", ink="orange", bold=True, anchor="middle")
    return d
