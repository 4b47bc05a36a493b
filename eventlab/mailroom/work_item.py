"""A work item: what is known of one mail on its way from Gmail to CXone, and what may be done with it."""

from __future__ import annotations

from typing import Any, Final, Literal

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected
from eventlab.events import Data, Event, Recorded

Status = Literal[
    "new", "received", "submitting", "submitted", "refused", "in_doubt", "held", "skipped"
]

#: Nothing more happens to these by itself, and no person is asked.
DONE: Final = frozenset({"submitted", "skipped"})


class WorkItemRule(CommandRejected):
    """A work item's rules say no. Data: ``id``, ``status``."""

    def __init__(self, id: str, status: Status, reason: str) -> None:
        self.id, self.status = id, status
        super().__init__(f"mail {id}: {reason}")


class WorkItem(Aggregate):
    """One mail of the inbox, under its Gmail id. Its events hold no address, no subject and no text of the mail.

    A mail is ``received``; a router says that it is ``submitting`` it, and until when its attempt may arrive; then it
    is ``submitted``, ``refused``, ``unsent`` (certainly: it will be tried again, and after many times is ``held``), or
    ``in_doubt``. A person has it ``resent`` or ``confirmed``. What is not for an agent is ``skipped``. An attempt
    whose answer comes late may still close what is in doubt; one that was overtaken by another attempt is ``late``.
    Times are in milliseconds since 1970, by Redis' clock.

    >>> item = WorkItem("18c2a0b1c2d3e4f5")
    >>> item.receive({"domain": "example.com", "date": 1767225600000})
    >>> attempt = item.submit(router="hub", now=1767225601000, deadline=1767225761000)
    >>> item.accepted(attempt, "412345678900000001")
    >>> item.status, item.contact_id
    ('submitted', '412345678900000001')
    """

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.status: Status = "new"
        self.date = 0  # when Gmail took the mail in
        self.domain = ""
        self.attempt = 0  # the number of the newest one
        self.open: list[int] = []  # attempts of which it is not known what came
        self.tries = 0  # that came to nothing, since a person last decided
        self.due = 0  # not before this time
        self.router, self.deadline = "", 0
        self.taken = 0  # how many work items CXone is known to hold
        self.contact_id: str | None = None
        self.reason = ""
        self.changed_at = "0-0"

    # --------------------------------------------------------------------------------------------------- the inbox

    def receive(self, found: Data) -> None:
        """Take a mail of the inbox in; ``found`` has at least its ``date``. One that was skipped may come back."""
        if self.status not in ("new", "skipped"):
            raise self._no("it has been received before")
        self.record("received", found)

    def skip(self, reason: str) -> None:
        """Leave out a mail that is not for an agent, or that is gone."""
        if self.status not in ("new", "received"):
            raise self._no(f"it is {self.status}, and cannot be left out any more")
        self.record("skipped", {"reason": reason})

    # ----------------------------------------------------------------------------------------------- the attempts

    def submit(self, *, router: str, now: int, deadline: int) -> int:
        """Say that a router is about to send it, and when nothing of that can arrive any more; give the attempt."""
        if self.status != "received":
            raise self._no(f"it is {self.status}, and not to be sent")
        if now < self.due:
            raise self._no(f"it is not to be sent before {_seconds(self.due - now)} from now")
        attempt = self.attempt + 1
        self.record("submitting", {"router": router, "deadline": deadline, "attempt": attempt})
        return attempt

    def accepted(self, attempt: int, contact_id: str | None) -> None:
        """CXone took it, and gave it a contact id, or none."""
        self._close(attempt, "submitted", {"contact_id": contact_id})

    def refused(self, attempt: int, status: int, reason: str) -> None:
        """CXone refused it for good."""
        self._close(attempt, "refused", {"status": status, "reason": reason})

    def unsent(self, attempt: int, reason: str, *, again: int, limit: int | None) -> None:
        """An attempt that certainly did not arrive: it is tried again after a time, or held after ``limit`` times.

        Without a limit it does not count as a try: nobody but the router itself was in the way.
        """
        self._close(attempt, *self._nothing_came(reason, again, limit))

    def doubted(self, attempt: int, reason: str) -> None:
        """An attempt that may have arrived, or not."""
        if (
            self.status == "submitting" and attempt == self.attempt
        ):  # else somebody already knows more, or as little
            self.record("in_doubt", {"attempt": attempt, "reason": reason})

    def expire(self, now: int) -> None:
        """Hold what another router was about to send, and of which it has not said what came before its deadline."""
        self._must_be_over(now)
        reason = (
            f"router {self.router} was to send it, and has not said by its deadline what came of it"
        )
        self.record("in_doubt", {"attempt": self.attempt, "reason": reason})

    def postpone(self, reason: str, *, again: int, limit: int) -> None:
        """It could not even be tried: later, or held after ``limit`` times."""
        self._must_wait("put off")
        self.record(*self._nothing_came(reason, again, limit))

    def hold(self, reason: str) -> None:
        """Leave it to a person, because something was not foreseen."""
        self._must_wait("held")
        self.record("held", {"reason": reason})

    # -------------------------------------------------------------------------------------------------- the person

    def resend(self, now: int) -> None:
        """A person wants it sent once more, knowing that CXone may have it already. Rejected before the deadline."""
        if self.status == "submitting":
            self.expire(now)
        if self.status not in ("in_doubt", "held", "refused"):
            raise self._no(_NOT_OPEN[self.status])
        self.record("resent")

    def confirm(self, now: int, contact_id: str | None = None) -> None:
        """A person has seen that CXone has it. Rejected before the deadline."""
        if self.status == "submitting":
            self.expire(now)
        if self.status not in ("in_doubt", "held"):
            raise self._no(
                "CXone refused it" if self.status == "refused" else _NOT_OPEN[self.status]
            )
        self.record("confirmed", {"contact_id": contact_id})

    # ------------------------------------------------------------------------------------------------------- state

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the state."""
        data = event.data
        if isinstance(event, Recorded) and event.type != "late":
            self.changed_at = event.position
        self.reason = data.get("reason", self.reason)
        match event.type:
            case "received":
                self.status, self.reason = "received", ""
                self.date, self.domain = data.get("date", 0), data.get("domain", "")
            case "submitting":
                self.status, self.attempt = "submitting", data["attempt"]
                self.router, self.deadline = data["router"], data["deadline"]
                self.open.append(self.attempt)
            case "submitted":
                self._known(data)
                self.status, self.contact_id, self.reason = (
                    "submitted",
                    data["contact_id"] or self.contact_id,
                    "",
                )
                self.taken += 1
            case "confirmed":
                self._known(data)
                self.status, self.contact_id, self.reason = "submitted", data["contact_id"], ""
            case "late":
                self._known(data)
                if data["outcome"] == "submitted":
                    self.taken, self.contact_id = (
                        self.taken + 1,
                        self.contact_id or data["contact_id"],
                    )
            case "unsent":
                self._known(data)
                self.status, self.due = "received", data["again"]
                self.tries += data.get("counted", True)
            case "resent":
                self.status, self.due, self.tries = "received", 0, 0
            case "refused" | "held":
                self._known(data)
                self.status = "refused" if event.type == "refused" else "held"
            case "in_doubt" | "skipped":
                self.status = "in_doubt" if event.type == "in_doubt" else "skipped"

    def _known(self, data: Data) -> None:
        if data.get("attempt") in self.open:
            self.open.remove(data["attempt"])

    def _close(self, attempt: int, type: str, data: Data) -> None:
        if attempt not in self.open:
            raise self._no(f"what came of attempt {attempt} is known already")
        data = {"attempt": attempt, **data}
        if attempt != self.attempt:
            self.record("late", {"outcome": type, **data})
        elif self.taken and type != "submitted":  # an older attempt arrived meanwhile
            self.record("confirmed", {"attempt": attempt, "contact_id": self.contact_id})
        else:
            self.record(type, data)

    def _nothing_came(
        self, reason: str, again: int, limit: int | None
    ) -> tuple[str, dict[str, Any]]:
        if limit is None:
            return "unsent", {"reason": reason, "again": again, "counted": False}
        if self.tries + 1 < limit:
            return "unsent", {"reason": reason, "again": again}
        return "held", {"reason": f"tried {self.tries + 1} times; {reason}"}

    def _must_wait(self, done: str) -> None:
        if self.status != "received":
            raise self._no(f"it is {self.status}, and cannot be {done}")

    def _must_be_over(self, now: int) -> None:
        if self.status != "submitting":
            raise self._no(f"it is {self.status}: no router is about to send it")
        if now <= self.deadline:
            left = _seconds(self.deadline - now)
            raise self._no(
                f"router {self.router} may still be sending it: wait for its deadline, {left} from now"
            )

    def _no(self, reason: str) -> WorkItemRule:
        return WorkItemRule(self.id, self.status, reason)


_NOT_OPEN: Final[dict[Status, str]] = {
    "new": "no such mail has been received",
    "received": "it is not sent yet, and will be by itself",
    "submitting": "a router is sending it",
    "submitted": "CXone has it: there is nothing to decide",
    "refused": "CXone refused it",
    "skipped": "it was left out, and will be received if it comes into the inbox again",
}


def _seconds(milliseconds: int) -> str:
    return f"{max(1, milliseconds // 1000)} s"
