"""What the pages about mail use: a fake Gmail and a fake CXone with a client of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from eventlab.mailroom.errors import WorkItemInDoubt, WorkItemRefused, WorkItemUnsent
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.mail_systems import MailSystems, hangs_up, responds

HOSTILE = "05-html-hostile"


@pytest.fixture(scope="module")
def shared() -> Iterator[MailSystems]:
    with MailSystems(mails=5) as systems:
        yield systems


@pytest.fixture
def systems(shared: MailSystems) -> MailSystems:
    shared.repair()
    shared.forget_work_items()
    shared.pauses.clear()
    return shared


def post(systems: MailSystems, id: str = "gmail:1") -> str | None:
    return systems.cxone.post_work_item(work_item_id=id, payload="x", sender="a@example.com")


def test_mail_systems_serve_the_samples_and_what_is_delivered(systems: MailSystems) -> None:
    assert systems.fetch_sample("01-plain").sender_address == "john.doe@example.com"
    assert systems.fetch(systems.deliver("a question")).subject == "a question"
    copy = systems.fetch(systems.deliver_sample("04-html-only"))
    assert copy.sender_address == systems.fetch_sample("04-html-only").sender_address


def test_mail_systems_show_the_parts_of_an_email(systems: MailSystems) -> None:
    root = systems.fetch_parts("02-alternative")
    assert [root["mimeType"], *(part["mimeType"] for part in root["parts"])] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_mail_systems_say_that_an_email_is_gone(systems: MailSystems) -> None:
    id = systems.deliver("short-lived")
    systems.fakes.gmail.delete(id)
    with pytest.raises(LookupError, match="it was deleted"):
        systems.fetch(id)


@pytest.mark.parametrize(
    ("fault", "error", "accepted"),
    [
        (responds(400, "Point of contact is not valid"), WorkItemRefused, 0),
        (responds(429, times=9), WorkItemUnsent, 0),
        (hangs_up("before"), WorkItemInDoubt, 0),
        (hangs_up("after"), WorkItemInDoubt, 1),
    ],
)
def test_cxone_fails_as_configured(
    systems: MailSystems, fault: Fault, error: type[Exception], accepted: int
) -> None:
    systems.cxone_fails(fault)
    with pytest.raises(error):
        post(systems)
    assert systems.accepted()["1"] == accepted


def test_cxone_fails_only_after_the_skipped_work_items(systems: MailSystems) -> None:
    systems.cxone_fails(responds(400, skip=1))
    contact = post(systems)
    with pytest.raises(WorkItemRefused):
        post(systems)
    assert systems.accepted() == {"1": 1}
    assert systems.contact_of("1") == contact


def test_repair_removes_the_faults_and_pauses_are_collected(systems: MailSystems) -> None:
    systems.cxone_fails(responds(429, retry_after=2), responds(400))
    systems.gmail_fails(systems.id_of("01-plain"))
    systems.repair()
    post(systems)
    assert systems.fetch_sample("01-plain")
    assert systems.pauses == []
    systems.cxone_fails(responds(429, retry_after=2))
    post(systems)
    assert [round(pause) for pause in systems.pauses] == [2]


def test_screen_pop_separates_the_page_from_the_frame(systems: MailSystems) -> None:
    pop = systems.screen_pop(systems.fetch_sample(HOSTILE))
    assert "<iframe" in pop.page
    assert (pop.page.count("31415"), pop.frame.count("31415")) == (1, 1)
    assert "&lt;" not in pop.frame
    assert "<script" not in pop.page + pop.frame


def test_mail_systems_leave_the_logging_as_it_was() -> None:
    log = logging.getLogger("eventlab")
    before = list(log.handlers)
    with MailSystems(mails=0):
        assert len(log.handlers) == len(before) + 1
    assert log.handlers == before
