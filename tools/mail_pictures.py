"""The picture of page 10: the route of an email, from the customer to the agent."""

from __future__ import annotations

from tools.drawing import Drawing


def mail_route() -> Drawing:
    """An email on its way through two systems, and the router between them with its event log."""
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
    d.text(475, 170, "after the post: what came of it", ink="soft", size=14)
    d.text(20, 30, "your program is blue", ink="blue", bold=True)
    d.text(
        605, 30, "if the response is lost, nobody knows", ink="orange", bold=True, anchor="middle"
    )
    return d
