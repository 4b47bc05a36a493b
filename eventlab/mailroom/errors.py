"""Every error of the mailroom, with its data and a sentence that says what to do."""

from __future__ import annotations

from eventlab.errors import EventLabError


class MailroomError(EventLabError):
    """The base of every error that the mailroom raises on purpose."""


class BadSetting(MailroomError):
    """A setting is missing or cannot be used. Data: ``name``, the environment variable."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name}: {reason}")


class GmailFailed(MailroomError):
    """Gmail said no, or could not be reached, after all retries. Data: ``status`` (None: no answer), ``reason``."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


class TokenDead(GmailFailed):
    """Gmail's token is of no use any more; only a person can give consent again."""


class WorkItemRefused(MailroomError):
    """CXone refused the work item for good: it holds none of it. Data: ``status``, ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"CXone refused the work item ({status}): {reason}")


class WorkItemUnsent(MailroomError):
    """The work item has certainly not been taken: try again later. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the work item was not sent: {reason}")


class WorkItemInDoubt(MailroomError):
    """CXone may have taken the work item, or not: nobody can know from here. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"it is not known whether CXone took the work item: {reason}")


class NotOnDisk(MailroomError):
    """Redis does not say that an intent is on its disk: nothing was sent. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no mail can be sent: {reason}")
