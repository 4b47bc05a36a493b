"""The router of a lesson that is killed when CXone has accepted a mail."""

from __future__ import annotations

from eventlab import EventStore
from eventlab.lessons.killed_router import route_until_killed
from eventlab.sandbox.fakes import Fakes
from eventlab.sandbox.samples import samples


def test_router_is_killed_between_the_acceptance_and_its_record(store: EventStore) -> None:
    mails = samples()[:2]
    with Fakes(mails=mails) as fakes:
        assert route_until_killed(store.category, fakes.environment(), call_seconds=30)
        assert len(fakes.cxone.work_items) == 1
    assert [store.read(mail.gmail_id)[-1].type for mail in mails] == ["submitting", "submitting"]


def test_router_without_mail_is_not_killed(store: EventStore) -> None:
    with Fakes(mails=[]) as fakes:
        assert not route_until_killed(store.category, fakes.environment())
