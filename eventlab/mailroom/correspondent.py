"""The correspondent of an email: the address that an agent's reply in CXone should go to."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from eventlab.mailroom.address_match import folded, is_in
from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.message import Message

NOBODY = Address("", "")


def correspondent(message: Message, own: Collection[str] = ()) -> Address:
    """Return the address of an email's author, or an empty address if no valid address is known.

    The address becomes the ``from`` of the work item. It is the first valid address in this
    list that is not our own:

    1. the original sender, if a Google Group or another list forwarded the email in its own name;
    2. Reply-To (set by a web form, for example), if it is a single address, differs from From, and
       is not the address of a list that the email was sent to;
    3. the sender.

    Our own addresses are ``own`` (as returned by ``folded``) and those that the email was delivered
    to. If every valid address is our own, the result is the sender's address, provided that the
    sender's address is valid.
    """
    delivered = [folded(one.address) for one in message.delivered_to]
    ours = {*own, *delivered}
    valid = [one for one in _candidates(message) if one.valid]
    others = (one for one in valid if not is_in(one.address, ours))
    return next(others, message.sender if message.sender.valid else NOBODY)


def _candidates(message: Message) -> Iterator[Address]:
    if message.original_sender is not None:
        yield message.original_sender
    if len(message.reply_to) == 1:
        [reply_to] = message.reply_to
        known = [folded(one.address) for one in (message.sender, *message.to, *message.cc)]
        if folded(reply_to.address) not in known:
            yield reply_to
    yield message.sender
