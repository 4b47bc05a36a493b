"""The mailroom's errors, each with its data and a message that says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from eventlab.errors import EventLabError


class MailroomError(EventLabError):
    """The base of all errors that the mailroom raises."""


class BadSetting(MailroomError):
    """A setting is missing or unusable. Data: ``name``, the environment variable."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name}: {reason}")


class SettingsMissing(BadSetting):
    """Several settings are missing. Data: ``names``, and ``name``, the first of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            ", ".join(names),
            "they are missing: set them (eventlab route --help explains each of them), or try "
            "--sandbox, which needs no settings",
        )
        self.name = names[0]


class SinceRequired(MailroomError):
    """The first round found too many old emails, and ``--since`` was not given.

    Data: ``limit``.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"the inbox contains more than {limit} emails that are older than a day, and no email "
            "has been routed yet: add --since DATE, the first day whose emails become work items "
            "(--since 1970-01-01 for all)"
        )


class GmailFailed(MailroomError):
    """Gmail rejected a request, or did not respond even after retries.

    Data: ``status`` (None: no response), ``reason``.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class ConsentRequired(GmailFailed):
    """The Gmail token has expired or was revoked, so the user must give consent again."""


class WorkItemRefused(MailroomError):
    """CXone permanently rejected the work item, so it was not created.

    Data: ``status``, ``reason``.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"CXone rejected the work item ({status}): {reason}")


class WorkItemUnsent(MailroomError):
    """CXone definitely did not create the work item: try again later. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the work item was not sent: {reason}")


class WorkItemInDoubt(MailroomError):
    """CXone may or may not have created the work item: the outcome is unknown. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"it is unknown whether CXone created the work item: {reason}")


class NotOnDisk(MailroomError):
    """The intent to send an email may not be on disk, so nothing was sent. Data: ``reason``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no email can be sent: {reason}")


class IntentLost(NotOnDisk):
    """A Redis failover lost an intent to send, so nothing was sent. The next round tries again."""
