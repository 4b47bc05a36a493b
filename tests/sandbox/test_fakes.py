"""Both fakes together: the screen pop shows the HTML of the mail that the fake Gmail has."""

from __future__ import annotations

import requests

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.sandbox.cxone.agent_client import AgentClient
from eventlab.sandbox.fakes import Fakes

MAIL = b"From: joe@example.com\r\nContent-Type: text/html\r\n\r\n<p>Hello <i>there</i></p>"


def test_screen_pop_frames_the_html_of_its_mail_and_of_no_other() -> None:
    with Fakes(mails=()) as fakes:
        settings = fakes.cxone.settings(fakes.cxone_url)
        mail = fakes.gmail.deliver(MAIL)
        pages = []
        with CXoneClient(settings) as cxone, AgentClient(settings) as agent:
            for id in (f"gmail:{mail}", "gmail:18f0ffffffffffff"):
                contact = cxone.post_work_item(work_item_id=id, payload="x", sender="j@example.com")
                assert contact is not None
                agent.next_events(20)
                agent.accept(contact)
                [answered] = agent.next_events(20)
                pages.append(requests.get(answered["ScreenPopUrl"], timeout=60).text)
                agent.end(contact)
                agent.next_events(20)
    assert "&lt;i&gt;there&lt;/i&gt;" in pages[0]
    assert "<iframe" in pages[0]
    assert "<iframe" not in pages[1]
