"""Selects the emails that are for an agent, and the facts to record about each of them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self, get_args

from eventlab.events import Data
from eventlab.mailroom.address_match import folded, is_in
from eventlab.mailroom.correspondent import correspondent
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.automatic import Kind
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.variables import BLOCKLIST, SENDER_CAP, SKIPPED_KINDS, VARIABLES

#: Gmail also lists emails with these labels in the inbox, although they were not received there.
NOT_FOR_AGENTS: Final = ("DRAFT", "SENT", "SPAM", "TRASH", "CHAT")
INBOX: Final = "INBOX"
DOMAIN: Final = re.compile(r"[\w.-]{1,253}")  # anything else is not a domain
#: The kind of an automatic email from one of our addresses, such as our own automatic reply.
LOOP: Final = "loop"
KINDS: Final = (*get_args(Kind), LOOP)
NONE: Final = "none"
HOUR_SECONDS: Final = 3600
BLOCKED: Final = "its sender is on the blocklist"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The rules, besides Gmail's labels, that decide which emails become work items.

    Emails of ``skipped_kinds`` and emails from a sender on the ``blocklist`` are skipped. The
    blocklist contains addresses, as returned by ``folded``, and entries such as ``@domain``, which
    match subdomains too. ``sender_cap`` is how many emails from one sender may become work items in
    one clock hour; any further emails are held for review. A ``sender_cap`` of 0 means no limit.
    """

    skipped_kinds: frozenset[str] = frozenset({"reaction", LOOP})
    blocklist: frozenset[str] = frozenset()
    sender_cap: int = int(VARIABLES[SENDER_CAP].default)

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Self:
        """Parse the values of the environment variables.

        Raises ``BadSetting``, which names every invalid entry.

        >>> Selection.parse({"EVENTLAB_SKIPPED_KINDS": "list, bulk"}).sender_cap
        100
        """
        kinds = _listed(values.get(SKIPPED_KINDS) or VARIABLES[SKIPPED_KINDS].default)
        kinds = [] if kinds == [NONE] else [kind.lower() for kind in kinds]
        _reject(SKIPPED_KINDS, [kind for kind in kinds if kind not in KINDS], "a kind of mail")
        blocked = _listed(values.get(BLOCKLIST, ""))
        wrong = [one for one in blocked if not _is_sender(one)]
        _reject(BLOCKLIST, wrong, "an address or an @domain")
        cap = values.get(SENDER_CAP) or VARIABLES[SENDER_CAP].default
        if not re.fullmatch(r"\d{1,6}", cap, re.ASCII):
            raise BadSetting(SENDER_CAP, "it must be a whole number from 0 to 999999")
        return cls(
            skipped_kinds=frozenset(kinds),
            blocklist=frozenset(map(folded, blocked)),
            sender_cap=int(cap),
        )

    def reason_to_skip(self, message: Message, own: Collection[str] = ()) -> str | None:
        """Return the reason to skip an email, or None to accept it; ``own`` holds our addresses.

        >>> Selection().reason_to_skip(message)
        'its kind is reaction'
        """
        reason = reason_to_skip(message.label_ids)
        if reason is not None:
            return reason
        senders = (message.sender.address, correspondent(message, own).address)
        if any(one and is_in(one, self.blocklist) for one in senders):
            return BLOCKED
        kind = message.automatic.kind if message.automatic else ""
        if kind and LOOP in self.skipped_kinds and _is_own(message, own):
            return f"it is a {LOOP}: an automated email from our own address"
        return f"its kind is {kind}" if kind in self.skipped_kinds else None


def reason_to_skip(label_ids: Collection[str]) -> str | None:
    """Return the reason to skip an email with these Gmail labels, or None to accept the email.

    >>> reason_to_skip(["INBOX", "DRAFT"])
    'it has the label DRAFT'
    """
    for label in NOT_FOR_AGENTS:
        if label in label_ids:
            return f"it has the label {label}"
    return None if INBOX in label_ids else "it is no longer in the inbox"


def facts_of(message: Message, *, own: Collection[str] = (), secret: str = "") -> Data:
    """Return the facts to record about an email, without any address, subject or text.

    Times are in milliseconds since 1970, and sizes are in bytes. ``sender_hour`` is a hash of the
    sender and the hour: it lets you count one sender's emails, but does not reveal the sender. The
    hash needs a ``secret`` that is not in the store; without one, there is no ``sender_hour``.

    >>> facts_of(message)["domain"]
    'example.com'
    """
    facts: Data = {
        "date": int(message.date.timestamp() * 1000),
        "thread_id": message.thread_id,
        "domain": message.sender_domain if DOMAIN.fullmatch(message.sender_domain) else "",
        "size": message.size,
        "message_hash": hash_of(message.message_id),
    }
    if secret:
        facts["sender_hour"] = _sender_hour(message, own, secret)
    if message.automatic:
        facts["automatic"] = message.automatic.kind
    if message.problem is not None:
        facts["unreadable"] = True  # without the reason, which may quote the email
    return facts


def hash_of(message_id: str) -> str:
    """Return the hash that is recorded instead of a Message-ID, so as not to reveal the Message-ID.

    >>> hash_of("<1@example.com>")
    '72107cb5a7083976'
    """
    return hashlib.sha256(message_id.encode("utf-8", "replace")).hexdigest()[:16]


def _sender_hour(message: Message, own: Collection[str], secret: str) -> str:
    # A plain hash would not hide an address, because anyone could hash a list of addresses and
    # compare. This hash needs the secret, and it changes every hour.
    hour = int(message.date.timestamp()) // HOUR_SECONDS
    sender = f"{hour} {folded(correspondent(message, own).address)}"
    return hmac.new(secret.encode(), sender.encode("utf-8", "replace"), "sha256").hexdigest()[:16]


def _is_own(message: Message, own: Collection[str]) -> bool:
    """Return whether an email is from us and replies go to us, not to a user of our web form."""
    return is_in(message.sender.address, own) and is_in(
        correspondent(message, own).address or message.sender.address, own
    )


def _listed(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def _is_sender(entry: str) -> bool:
    return Address("", f"any{entry}" if entry.startswith("@") else entry).valid


def _reject(name: str, wrong: list[str], what: str) -> None:
    if wrong:
        shown = ", ".join(map(repr, wrong))
        raise BadSetting(name, f"not {what}: {shown}")
