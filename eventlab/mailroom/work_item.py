"""A work item: one email on its way from Gmail to CXone, and the rules for handling it."""

from __future__ import annotations

from typing import Any, Final, Literal

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected
from eventlab.events import Data, Event, Recorded

Status = Literal[
    "new", "received", "submitting", "submitted", "refused", "in_doubt", "held", "skipped"
]

#: An email with one of these statuses needs no further action by a router or an operator.
DONE: Final = frozenset({"submitted", "skipped"})


class WorkItemCommandRejected(CommandRejected):
    """A work item's rules rejected a command. Data: ``id``, ``status``."""

    def __init__(self, id: str, status: Status, reason: str) -> None:
        self.id = id
        self.status = status
        super().__init__(f"email {id}: {reason}")


class WorkItem(Aggregate):
    """One email in the inbox, identified by its Gmail id.

    An email's events contain no address, subject or text. An email is first ``received``. A router
    then records that it is ``submitting`` the email, and the deadline after which the request can
    no longer reach CXone. The outcome is ``submitted``, ``refused``, ``unsent`` or ``in_doubt``.
    After ``unsent``, CXone definitely has no work item: the email is retried, and is ``held`` after
    too many attempts. An operator can resend an email (``resent``) or confirm that CXone has it
    (``confirmed``). An email that is not for an agent is ``skipped``. A late response can still
    resolve an email that is ``in_doubt``; if a newer attempt has begun by then, the response is
    recorded as ``late``. Times are in milliseconds since 1970, according to Redis's clock.

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
        self.date = 0  # when Gmail received the email
        self.domain = ""
        self.thread_id = ""
        self.attempt = 0  # the number of the newest attempt
        self.open_attempts: list[int] = []  # those whose outcome is unknown
        self.failed_attempts = 0  # since an operator's last decision
        self.released = False  # an operator decided to send it
        self.due = 0  # it must not be sent before this time
        self.router = ""
        self.deadline = 0
        self.accepted_count = 0  # how many work items CXone is known to have for it
        self.contact_id: str | None = None
        self.reason = ""
        self.changed_at = "0-0"

    # ------------------------------------------------------------------------------------ the inbox

    def receive(self, facts: Data) -> None:
        """Record that the email was received. ``facts`` must contain at least its ``date``.

        Call this again for a skipped email that returns to the inbox.
        """
        if self.status not in ("new", "skipped"):
            raise self._rejected("it has already been received")
        self.record("received", facts)

    def skip(self, reason: str) -> None:
        """Skip an email that is not for an agent or no longer exists."""
        if self.status not in ("new", "received"):
            raise self._rejected(f"it is {self.status} and can no longer be skipped")
        self.record("skipped", {"reason": reason})

    # --------------------------------------------------------------------------------- the attempts

    def submit(self, *, router: str, now: int, deadline: int) -> int:
        """Record that a router is about to send the email; return the number of the attempt.

        No request of the attempt can reach CXone after ``deadline``.
        """
        if self.status != "received":
            raise self._rejected(f"it is {self.status} and must not be sent")
        if now < self.due:
            raise self._rejected(f"it must not be sent for another {_seconds(self.due - now)}")
        attempt = self.attempt + 1
        self.record("submitting", {"router": router, "deadline": deadline, "attempt": attempt})
        return attempt

    def accepted(self, attempt: int, contact_id: str | None) -> None:
        """Record that CXone accepted the email, with or without a contact id."""
        self._close(attempt, "submitted", {"contact_id": contact_id})

    def refused(self, attempt: int, status: int, reason: str) -> None:
        """Record that CXone rejected the email permanently."""
        self._close(attempt, "refused", {"status": status, "reason": reason})

    def unsent(self, attempt: int, reason: str, *, retry_at: int, max_attempts: int | None) -> None:
        """Record that CXone definitely did not accept an attempt.

        The email is due again at ``retry_at``, or is held after ``max_attempts`` failed
        attempts. If ``max_attempts`` is None, the attempt does not count, because CXone did not
        cause the failure.
        """
        self._close(attempt, *self._failed(reason, retry_at, max_attempts))

    def doubted(self, attempt: int, reason: str) -> None:
        """Record that the outcome of an attempt is unknown."""
        # Otherwise, the outcome is known by now, or the doubt is already recorded.
        if self.status == "submitting" and attempt == self.attempt:
            self.record("in_doubt", {"attempt": attempt, "reason": reason})

    def expire(self, now: int) -> None:
        """Mark the email as in doubt if its router reported no outcome before the deadline."""
        self._must_be_past_deadline(now)
        reason = f"router {self.router} did not report an outcome before its deadline"
        self.record("in_doubt", {"attempt": self.attempt, "reason": reason})

    def postpone(self, reason: str, *, retry_at: int, max_attempts: int) -> None:
        """Postpone an email if no attempt could be made, or hold it after ``max_attempts``."""
        self._must_be_received("postponed")
        self.record(*self._failed(reason, retry_at, max_attempts))

    def hold(self, reason: str) -> None:
        """Hold an email for review and record the reason."""
        self._must_be_received("held")
        self.record("held", {"reason": reason})

    # --------------------------------------------------------------------------------- the operator

    def resend(self, now: int) -> None:
        """Record that the email must be sent again, even if CXone may already have it.

        The command is rejected unless the email is held, in doubt or refused. An email that is
        being sent is first marked as in doubt if its deadline has passed.
        """
        if self.status == "submitting":
            self.expire(now)
        if self.status not in ("in_doubt", "held", "refused"):
            raise self._rejected(_NOTHING_TO_DECIDE[self.status])
        self.record("resent")

    def confirm(self, now: int, contact_id: str | None = None) -> None:
        """Record that an operator has seen the email in CXone.

        The command is rejected unless the email is held or in doubt. An email that is being sent
        is first marked as in doubt if its deadline has passed.
        """
        if self.status == "submitting":
            self.expire(now)
        if self.status == "refused":
            raise self._rejected("CXone rejected it")
        if self.status not in ("in_doubt", "held"):
            raise self._rejected(_NOTHING_TO_DECIDE[self.status])
        self.record("confirmed", {"contact_id": contact_id})

    # ------------------------------------------------------------------------------------ the state

    def apply(self, event: Event | Recorded) -> None:
        """Apply one event to the state."""
        data = event.data
        if isinstance(event, Recorded) and event.type != "late":
            self.changed_at = event.position
        self.reason = data.get("reason", self.reason)
        if event.type != "in_doubt" and data.get("attempt") in self.open_attempts:
            self.open_attempts.remove(data["attempt"])  # its outcome is known now
        match event.type:
            case "received":
                self.status = "received"
                self.reason = ""
                self.date = data.get("date", 0)
                self.domain = data.get("domain", "")
                self.thread_id = data.get("thread_id", "")
            case "submitting":
                self.status = "submitting"
                self.attempt = data["attempt"]
                self.router = data["router"]
                self.deadline = data["deadline"]
                self.open_attempts.append(self.attempt)
            case "submitted":
                self.status = "submitted"
                self.contact_id = data["contact_id"] or self.contact_id
                self.reason = ""
                self.accepted_count += 1
            case "confirmed":
                self.status = "submitted"
                self.contact_id = data["contact_id"]
                self.reason = ""
            case "late":
                if data["outcome"] == "submitted":
                    self.accepted_count += 1
                    self.contact_id = self.contact_id or data["contact_id"]
            case "unsent":
                self.status = "received"
                self.due = data["again"]
                self.failed_attempts += data.get("counted", True)
            case "resent":
                self.status = "received"
                self.released = True
                self.due = 0
                self.failed_attempts = 0
            case "refused" | "held" | "in_doubt" | "skipped":
                self.status = event.type

    def _close(self, attempt: int, type: str, data: Data) -> None:
        if attempt not in self.open_attempts:
            raise self._rejected(f"the outcome of attempt {attempt} is already known")
        data = {"attempt": attempt, **data}
        if attempt != self.attempt:
            self.record("late", {"outcome": type, **data})
        elif self.accepted_count and type != "submitted":  # an older attempt arrived meanwhile
            self.record("confirmed", {"attempt": attempt, "contact_id": self.contact_id})
        else:
            self.record(type, data)

    def _failed(
        self, reason: str, retry_at: int, max_attempts: int | None
    ) -> tuple[str, dict[str, Any]]:
        """Return the type and the data of the event that records a failed attempt."""
        if max_attempts is None:
            return "unsent", {"reason": reason, "again": retry_at, "counted": False}
        if self.failed_attempts + 1 < max_attempts:
            return "unsent", {"reason": reason, "again": retry_at}
        return "held", {"reason": f"failed {self.failed_attempts + 1} times; {reason}"}

    def _must_be_received(self, done: str) -> None:
        if self.status != "received":
            raise self._rejected(f"it is {self.status} and cannot be {done}")

    def _must_be_past_deadline(self, now: int) -> None:
        if self.status != "submitting":
            raise self._rejected(f"it is {self.status}: no router is sending it")
        if now <= self.deadline:
            left = _seconds(self.deadline - now)
            raise self._rejected(
                f"router {self.router} may still be sending it: "
                f"wait for its deadline, {left} from now"
            )

    def _rejected(self, reason: str) -> WorkItemCommandRejected:
        return WorkItemCommandRejected(self.id, self.status, reason)


_NOTHING_TO_DECIDE: Final[dict[Status, str]] = {
    "new": "no such email has been received",
    "received": "it has not been sent yet and will be sent automatically",
    "submitting": "a router is sending it",
    "submitted": "CXone has it: there is nothing to decide",
    "skipped": "it was skipped and will be received if it returns to the inbox",
}


def _seconds(milliseconds: int) -> str:
    return f"{max(1, milliseconds // 1000)} s"
