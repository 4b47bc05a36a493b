"""The emails that may need an operator's decision, such as those held or in doubt."""

from __future__ import annotations

from dataclasses import dataclass

from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.work_item import Status, WorkItem
from eventlab.mailroom.worklist import Worklist
from eventlab.store.store import EventStore


@dataclass(frozen=True, kw_only=True)
class HeldMail:
    """One email that may need an operator's decision.

    For an email that is being sent, ``deadline_seconds`` is the time left until the deadline; the
    value is negative once the deadline has passed. For any other email, ``deadline_seconds`` is
    None.
    """

    id: str
    status: Status
    domain: str
    reason: str
    deadline_seconds: int | None = None

    def __str__(self) -> str:
        """Return the email as one line of a table."""
        status = self.status.replace("_", " ")
        return f"{self.id:<18} {status:<10} {self.domain or '-':<24} {self.reason}"


def held_mails(store: EventStore) -> list[HeldMail]:
    """Return the emails that may need an operator's decision, oldest first.

    >>> [(mail.id, mail.status) for mail in held_mails(EventStore(lab.redis, "mailStream"))]
    [('18c2a0b1c2d3e4f5', 'in_doubt')]
    """
    worklist = Worklist(store)
    now = DurableLog(store).now()
    worklist.refresh()
    return [
        _held(item, now)
        for item in worklist.with_status("in_doubt", "held", "refused", "submitting")
    ]


def _held(item: WorkItem, now: int) -> HeldMail:
    if item.status != "submitting":
        return HeldMail(id=item.id, status=item.status, domain=item.domain, reason=item.reason)
    left = (item.deadline - now) // 1000
    if left > 0:
        reason = f"router {item.router} is sending it; its deadline is in {left} s"
    else:
        reason = (
            f"router {item.router} did not report an outcome before the deadline:"
            " the next round marks the email as in doubt"
        )
    return HeldMail(
        id=item.id, status=item.status, domain=item.domain, reason=reason, deadline_seconds=left
    )
